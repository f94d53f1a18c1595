"""Carries out a plan, and undoes one by its record."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from workers.agent.files import read_regular, write_new
from workers.agent.service.plan import Command, Plan, PlannedFile, ServiceError
from workers.agent.service.record import (
    RECORD_FILE,
    Record,
    digest_of,
    read_record,
    write_record,
)

_COMMAND_SECONDS: Final = 180.0  # stopping waits until the agent has given its tasks back
_MAKER: Final = "xeenet-worker service install"  # stands in every file of ours
_MAX_BYTES: Final = 256 * 1024
LINGER_ON: Final = ("loginctl", "enable-linger")
LINGER_OFF: Final = ("loginctl", "disable-linger")

Run = Callable[[Sequence[str]], str]  # returns why it failed, "" for success


def run_command(words: Sequence[str]) -> str:
    """Run a command; return why it failed, "" when it did not."""
    try:
        ended = subprocess.run(
            list(words),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_COMMAND_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if ended.returncode == 0:
        return ""
    said = (ended.stderr or ended.stdout).strip()
    return said or f"it ended with exit code {ended.returncode}"


def changes(plan: Plan) -> list[PlannedFile]:
    """Return the files that are not there yet as planned."""
    return [file for file in plan.files if content_at(Path(file.path)) != content_of(file)]


def check_room(plan: Plan, state: Path) -> None:
    """Raise `ServiceError` where the plan would replace what this installation did not write."""
    record = read_record(state)
    if record is not None and (record.kind, record.name) != (plan.kind, plan.name):
        raise ServiceError(
            f"A service of this worker is installed as {record.name!r}. Remove it first: "
            "xeenet-worker service remove"
        )
    known = record.files if record is not None else {}
    for file in changes(plan):
        path = Path(file.path)
        if not os.path.lexists(path) or str(path) in known:
            continue
        content = content_at(path)
        if content is not None and _MAKER.encode() in content:
            raise ServiceError(
                f"{path} belongs to the service of another worker. Give this one a name of its "
                "own: --name NAME"
            )
        raise ServiceError(
            f"{path} is there already and was not written by `service install`. Move it away, or "
            "give this service a name of its own: --name NAME"
        )


def install(plan: Plan, state: Path, run: Run, *, linger: bool = False) -> list[str]:
    """Write the files and start the service; return what failed of what can be done without.

    A second time it changes nothing that is as planned. Raises `ServiceError` when the service
    does not start, and OSError; what was written by then is in the record.
    """
    check_room(plan, state)
    changed = changes(plan)
    record = read_record(state)
    is_new = record is None
    if record is None:
        record = Record(plan.kind, plan.name, {}, (), linger=False)
    folders = [*record.folders]
    for file in plan.files:
        folders += [str(folder) for folder in _missing_above(Path(file.path))]
    planned = {str(file.path): digest_of(content_of(file)) for file in plan.files}
    dropped = [name for name in record.files if name not in planned]
    record = replace(
        record, files={**record.files, **planned}, folders=tuple(dict.fromkeys(folders))
    )
    write_record(state, record)  # first, so that whatever is made can be undone
    for file in changed:
        _write(file)
    for name in dropped:  # such as the helper's entry, which is not wanted any more
        with contextlib.suppress(OSError):
            Path(name).unlink()
    record = replace(record, files=planned)
    write_record(state, record)
    problems = []
    if linger and not record.linger:
        if problem := run(LINGER_ON):
            problems.append(f"`{' '.join(LINGER_ON)}` failed: {problem}")
        else:
            write_record(state, replace(record, linger=True))
    _run_all(plan.start if is_new or not changed else plan.restart, run)
    return problems


def changed_since(record: Record) -> list[str]:
    """Return the files that somebody has changed since they were written."""
    contents = {name: content_at(Path(name)) for name in record.files}
    return [
        name
        for name, content in contents.items()
        if content is not None and digest_of(content) != record.files[name]
    ]


def remove(plan: Plan, record: Record, state: Path, run: Run) -> list[str]:
    """Stop the service and take away what was made for it; return what failed of that.

    ``plan`` gives the commands, the record the files. Raises OSError when a file stays.
    """
    problems = [
        f"`{' '.join(command.words)}` failed: {problem}"
        for command in plan.stop
        if (problem := run(command.words))
    ]
    for name in record.files:
        Path(name).unlink(missing_ok=True)
    for name in sorted(record.folders, key=len, reverse=True):
        with contextlib.suppress(OSError):  # somebody else uses it by now
            Path(name).rmdir()
    for command in plan.after:
        run(command.words)
    if record.linger and (problem := run(LINGER_OFF)):
        problems.append(f"`{' '.join(LINGER_OFF)}` failed: {problem}")
    (state / RECORD_FILE).unlink(missing_ok=True)
    return problems


def content_of(file: PlannedFile) -> bytes:
    """Return the bytes of a planned file."""
    return file.text.replace("\n", file.newline).encode()


def content_at(path: Path) -> bytes | None:
    """Return what is at a path; None when there is no plain file of a usual size."""
    try:
        return read_regular(path, _MAX_BYTES)
    except OSError:
        return None


def _write(file: PlannedFile) -> None:
    path = Path(file.path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    write_new(temporary, content_of(file).decode(), mode=0o644, newline="")
    temporary.replace(path)


def _missing_above(path: Path) -> list[Path]:
    missing = []
    for folder in path.parents:
        if folder.exists():
            break
        missing.append(folder)
    return missing


def _run_all(commands: Sequence[Command], run: Run) -> None:
    for command in commands:
        problem = run(command.words)
        if problem and command.needed:
            raise ServiceError(
                f"`{' '.join(command.words)}` failed: {problem}\nThe files are written; "
                "`xeenet-worker service install` tries again, `service remove` takes them away."
            )
