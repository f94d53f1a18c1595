"""``xeenet-worker supervised``: the agent below something that knows little of exit codes.

launchd starts again whatever fails, so a failure that starting again does not mend ends as a
success. The start-up folder of Windows starts a program once and gives it no stderr, so with
``--restart`` this process starts the agent again, and writes its log into the state folder.
"""

from __future__ import annotations

import argparse
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from workers.agent.exits import EXIT_OK, FINAL_EXITS
from workers.agent.service.program import this_program
from workers.agent.state import SERVICE_LOG_FILE, default_state_folder

_MAX_LOG_BYTES: Final = 1024 * 1024
_FIRST_WAIT_SECONDS: Final = 10.0
_MAX_WAIT_SECONDS: Final = 300.0
# A start after which the next failure counts as the first one again.
_GOOD_RUN_SECONDS: Final = 600.0

Run = Callable[[Sequence[str]], int]


def supervised_command(words: Sequence[str], run: Run) -> int:
    """Run the agent with the options after "supervised"; return what a supervisor understands."""
    parser = argparse.ArgumentParser(prog="xeenet-worker supervised", add_help=False)
    parser.add_argument("--restart", action="store_true")
    parser.add_argument("--state-dir", type=Path)
    options, others = parser.parse_known_args(list(words))
    state = (options.state_dir or default_state_folder()).expanduser().absolute()
    agent = ["--log", "--state-dir", str(state), *others]
    if options.restart:
        return keep_running(lambda: _as_a_process(state, agent))
    code = run(agent)
    return EXIT_OK if code in FINAL_EXITS else code


def keep_running(
    run: Callable[[], int],
    *,
    wait: Callable[[float], None] = time.sleep,
    seconds: Callable[[], float] = time.monotonic,
) -> int:
    """Call ``run`` until it ends well or will never do so; wait longer after each failure."""
    pause = _FIRST_WAIT_SECONDS
    while True:
        started_at = seconds()
        code = run()
        if code == EXIT_OK or code in FINAL_EXITS:
            return code
        if seconds() - started_at >= _GOOD_RUN_SECONDS:
            pause = _FIRST_WAIT_SECONDS
        wait(pause)
        pause = min(2 * pause, _MAX_WAIT_SECONDS)


def _as_a_process(state: Path, agent: Sequence[str]) -> int:
    program = this_program(state)
    state.mkdir(parents=True, exist_ok=True)
    path = state / SERVICE_LOG_FILE
    is_long = path.exists() and path.stat().st_size > _MAX_LOG_BYTES
    with path.open("w" if is_long else "a") as log:
        return subprocess.call([*program.words, *agent], cwd=program.folder, stderr=log, stdout=log)
