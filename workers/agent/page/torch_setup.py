"""Starts `xeenet-worker setup` for the page: first its plan, then, if the owner agrees, the set-up.

Both are processes beside the agent, which goes on working. How far a set-up is comes back through
its file in the state folder, as when a person started it in a terminal.
"""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from workers.agent.executables import agent_words
from workers.agent.plain_text import plain, short
from workers.agent.processes.process_tree import start_own
from workers.agent.secrecy import ENROLMENT_VARIABLE, TOKEN_VARIABLE

_PLAN_SECONDS: Final = 120.0  # it tries the present torch, on a busy machine, too
_MAX_LINES: Final = 30
_MAX_CHARACTERS: Final = 300
_NOTHING: Final = "Plan     nothing"  # as the command writes it
_PACKAGES: Final = Path(__file__).parents[3]
_SECRET: Final = frozenset({TOKEN_VARIABLE, ENROLMENT_VARIABLE})


class SetUpRefused(Exception):
    """It is not started; the message says why."""


class TorchSetup:
    """The set-up of the agent on the state folder ``root``, one at a time."""

    def __init__(self, root: Path, program: Sequence[str] | None = None) -> None:
        self._root = root
        self._program = program or agent_words()
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    @property
    def is_running(self) -> bool:
        """Whether one that was started here has not ended."""
        return self._process is not None and self._process.poll() is None

    def plan(self) -> tuple[list[str], bool]:
        """Return what a set-up would do, with its sizes and reasons, and whether it may start.

        Raises `SetUpRefused`.
        """
        with self._lock:
            self._check_free()
            process = self._start(["--plan"], subprocess.PIPE)
        try:
            output, _ = process.communicate(timeout=_PLAN_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise SetUpRefused("The plan took too long. Try it in a terminal.") from None
        lines = [line for line in output.decode(errors="replace").splitlines() if line.strip()]
        does_something = not any(line.startswith(_NOTHING) for line in lines)
        shown = [short(plain(line), _MAX_CHARACTERS) for line in lines[:_MAX_LINES]]
        return shown, process.returncode == 0 and does_something

    def start(self) -> None:
        """Carry the plan out. Raises `SetUpRefused`."""
        with self._lock:
            self._check_free()
            self._process = self._start(["--yes"], subprocess.DEVNULL)

    def _check_free(self) -> None:
        if self.is_running:
            raise SetUpRefused("A set-up is under way.")

    def _start(self, words: Sequence[str], output: int) -> subprocess.Popen[bytes]:
        environment: dict[str, Any] = {
            name: value for name, value in os.environ.items() if name not in _SECRET
        }
        try:
            return start_own(
                [*self._program, "setup", *words, "--state-dir", str(self._root)],
                cwd=_PACKAGES,
                env=environment | {"PYTHONIOENCODING": "utf-8"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C for the agent is none for it
            )
        except OSError as error:
            raise SetUpRefused(f"The set-up does not start: {error}") from error
