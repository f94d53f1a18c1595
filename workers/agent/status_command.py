"""``xeenet-worker status``: what the agent on this state folder is doing, from outside of it.

It reads one file, takes no lock and changes nothing. The exit code is 0 where an agent runs, 2 for
wrong options, 3 when the file cannot be read, 6 where no agent runs, and 7 where its process is
there but has told nothing for a minute.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from workers.agent.exits import EXIT_NOT_RUNNING, EXIT_OK, EXIT_SILENT, EXIT_STATE_FOLDER
from workers.agent.plain_text import plain
from workers.agent.state import HISTORY_FILE, HOME_VARIABLE, STATUS_FILE, default_state_folder
from workers.agent.status import words
from workers.agent.status.encoding import SCHEMA, as_dict
from workers.agent.status.file import Reading, read_status
from workers.agent.status.history import read_history
from workers.agent.status.model import State, Status

_LAST_TASKS: Final = 5
_NAMED: Final = frozenset({State.IDLE, State.TROUBLE})  # their sentences do not name the state


def main(arguments: Sequence[str]) -> int:
    """Print what the agent is doing; return the exit code."""
    options = _parser().parse_args(arguments)
    folder = (options.state_dir or default_state_folder()).expanduser().absolute()
    reading, now = read_status(folder / STATUS_FILE), time.time()
    if options.json:
        print(json.dumps(_as_json(reading, now), indent=2))
    else:
        for line in _lines(reading, folder, now):
            print(plain(line))
    return _exit_code(reading, now)


def _exit_code(reading: Reading, now: float) -> int:
    if reading.problem:
        return EXIT_STATE_FOLDER
    if not reading.is_living:
        return EXIT_NOT_RUNNING
    return EXIT_SILENT if reading.is_silent(now) else EXIT_OK


def _as_json(reading: Reading, now: float) -> dict[str, Any]:
    """Return the file's content, with whether its agent runs; without one only that."""
    about = {"running": reading.is_living, "silent": reading.is_silent(now)}
    if reading.status is None:
        return {"schema": SCHEMA, **about, "problem": reading.problem}
    return {**as_dict(reading.status, reading.written_at), **about, "problem": ""}


def _lines(reading: Reading, folder: Path, now: float) -> Iterator[str]:
    """Yield the answer for people, line by line."""
    status = reading.status
    if reading.problem:
        yield f"Nothing can be told: {reading.problem}"
        return
    if status is None:
        yield f"No agent has run on {folder}."
        return
    who = status.identity
    if not reading.is_living:
        yield _not_running(status, reading, now)
    elif reading.is_silent(now):
        quiet = words.span(now - reading.written_at)
        yield f"Process {who.pid} is there, but has told nothing for {quiet}. Before that:"
    if reading.is_living:
        named = f"{status.state.capitalize()}. " if status.state in _NAMED else ""
        yield named + words.headline(status, now)
    yield from _details(status, now, is_living=reading.is_living)
    last = [task for task in read_history(folder / HISTORY_FILE) if task.number][-_LAST_TASKS:]
    for task in reversed(last):
        when = words.clock(task.ended_at, now)
        said = words.delivered(task)
        result = words.came_out(task)
        yield f"  {when}  {task.number}  {result}" + (f": {said}" if said else "")


def _not_running(status: Status, reading: Reading, now: float) -> str:
    when = words.clock(reading.written_at, now)
    if status.exit_code is None:
        return f"No agent runs here: the last one was gone without a word after {when}."
    why = f": {status.stopped}" if status.stopped else ""
    return f"No agent runs here: it ended at {when} with exit code {status.exit_code}{why}"


def _details(status: Status, now: float, *, is_living: bool) -> Iterator[str]:
    who = status.identity
    parts = [who.name, *words.about(who)]
    if is_living:
        parts.append(f"for {words.span(now - who.started_at)}, pid {who.pid}")
    if who.simulated_because:
        parts.append("SIMULATED results only")
    yield "  " + " · ".join(part for part in parts if part)
    for task in status.tasks if is_living else ():
        figures = [words.progress_text(task, now), words.latest(task), words.params_text(task)]
        yield f"  now    {task.number}: " + " · ".join(part for part in figures if part)
    if is_living:
        for trouble in status.troubles:
            yield f"  note   {words.sentence(words.trouble_text(trouble))}"
        if status.torch_setup is not None and status.state is not State.SETTING_UP:
            yield f"  note   {words.sentence(words.setup_text(status.torch_setup))}"
        if text := words.cold_text(who):
            yield f"  note   {words.sentence(text)}"
        yield f"  limits {words.may_use(status)}"
    given = f" · {words.span(status.totals.seconds)} of training" if status.totals.seconds else ""
    yield f"  so far {words.totals_text(status.totals, status.to_send)}{given}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="xeenet-worker status",
        description="Say what the agent on this machine is doing, without disturbing it.",
        epilog="Exit codes: 0 it runs, 3 its file cannot be read, 6 it does not run, 7 its process "
        "is there but has told nothing for a minute.",
    )
    add = parser.add_argument
    add("--json", action="store_true", help="print all that is known as one JSON object")
    place = f"the agent's state folder (default: {HOME_VARIABLE}, or the platform's usual place)"
    add("--state-dir", type=Path, help=place)
    return parser
