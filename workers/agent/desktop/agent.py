"""The agent as a process of its own, started for its window and stopped with it."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from workers.agent.page.asking import NoPage, ask_for_page
from workers.agent.secrecy import ENROLMENT_VARIABLE, TOKEN_VARIABLE
from workers.agent.service.program import this_program
from workers.agent.state import DESKTOP_LOG_FILE, STATUS_FILE
from workers.agent.status.file import read_status
from workers.agent.status.model import Status
from workers.agent.stop_request import ask_to_stop

# Asked to stop, the agent gives its tasks back; beyond this it is killed, and its leases run out.
_STOP_SECONDS: Final = 60.0
_ASK_SECONDS: Final = 5.0


class AgentProcess:
    """The agent on the state folder ``root``. Its log is in a file there, anew with each start."""

    def __init__(
        self, root: Path, options: Sequence[str] = (), *, has_signals: bool = os.name == "posix"
    ) -> None:
        self.root = root
        self._has_signals = has_signals
        self._options = tuple(options)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, words: Sequence[str] = (), secrets: Mapping[str, str] | None = None) -> None:
        """Start it with some options more. Secrets go through its environment. Raises OSError."""
        program = this_program(self.root)
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        environment = {name: value for name, value in os.environ.items() if name not in _SECRET}
        command = [*program.words, "--log", "--state-dir", str(self.root)]
        with (self.root / DESKTOP_LOG_FILE).open("wb") as log:
            self._process = subprocess.Popen(
                [*command, *self._options, *words],
                cwd=program.folder,
                env={**environment, **(secrets or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C in the terminal of the window is for the window's program, which then
                # stops the agent; both at once would count as a second Ctrl-C.
                start_new_session=os.name == "posix",
            )

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs, and before it was started."""
        return None if self._process is None else self._process.poll()

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def status(self) -> Status | None:
        """Return what this very process has told; None before its first word."""
        status = read_status(self.root / STATUS_FILE).status
        is_its = status is not None and self._process is not None
        return status if is_its and status.identity.pid == self._process.pid else None  # type: ignore[union-attr]

    def address(self) -> str:
        """Return an address of its page; "" while it has none to give."""
        with contextlib.suppress(NoPage, OSError):
            return ask_for_page(self.root, _ASK_SECONDS)
        return ""

    def stop(self) -> None:
        """Let it give its tasks back and end; wait for that."""
        if self._process is None:
            return
        with contextlib.suppress(OSError):
            if self._has_signals:
                self._process.terminate()
            elif self._process.poll() is None:  # there `terminate` would end it on the spot
                ask_to_stop(self.root, self._process.pid)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def why_ended(agent: AgentProcess) -> str:
    """Return in a sentence why the agent ended at its start."""
    status = agent.status()
    if status is not None and status.stopped:
        return status.stopped
    where = agent.root / DESKTOP_LOG_FILE
    try:
        last = where.read_text(errors="replace").strip().splitlines()[-1:]
    except OSError:
        last = []
    if last:
        return last[0]
    how = "hangs" if agent.is_running else f"ended with exit code {agent.exit_code}"
    return f"It {how}. Its log: {where}"


_SECRET: Final = frozenset({TOKEN_VARIABLE, ENROLMENT_VARIABLE})
