"""Child processes that are watched together and stopped without a rest: for `serve` and `demo`.

Each child leads a session of its own. Ctrl-C in the terminal therefore reaches only us, and we
stop the children in the right order; and whatever a child leaves behind (a q-cluster whose master
was killed goes on working through its children) is still found in its process group.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Final, Self

import psutil

STOP_PATIENCE_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.05
_TAIL_BYTES: Final = 16 * 1024
_STOP_SIGNALS: Final = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
_LAUNCHER: Final = Path(__file__).with_name("die_with_parent.py")


class Child:
    """One started command. With `log` its output goes to that file, else where ours goes."""

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path | None
    ) -> None:
        self.name = name
        self.log = log
        if sys.platform == "linux":
            launcher = [sys.executable, "-I", "-S", str(_LAUNCHER), str(os.getpid())]
            command = [*launcher, *command]
        with contextlib.ExitStack() as stack:
            output = stack.enter_context(log.open("wb")) if log else None
            self._popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if output else None,
                env=dict(environment),
                start_new_session=True,
            )
        self.pid = self._popen.pid
        self._descendants: set[psutil.Process] = set()

    @property
    def is_running(self) -> bool:
        """Whether the command itself lives. Does not collect a dead one: its pid stays reserved."""
        if self._popen.returncode is not None:
            return False
        if os.name != "posix":
            return self._popen.poll() is None
        try:
            return bool(psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return False

    def how_it_ended(self) -> str:
        """Say it in words; only after `stop_all` or `Supervisor.newly_ended` has collected it."""
        code = self._popen.returncode
        return f"killed by signal {-code}" if code < 0 else f"exit code {code}"

    def log_tail(self, lines: int = 15) -> str:
        """Return the last lines of the log file; "" without one."""
        if self.log is None or not self.log.exists():
            return ""
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def terminate(self) -> None:
        """Ask the command to end: the leader alone, who ends its own children in order."""
        self.remember_descendants()
        if self._popen.returncode is not None:
            return
        if os.name == "posix":
            # Not Popen.terminate: it collects a dead child, and its group id would be free.
            os.kill(self.pid, signal.SIGTERM)
        else:
            self._popen.terminate()

    def remember_descendants(self) -> None:
        """Note who descends from the command: once it is dead they cannot be found that way."""
        with contextlib.suppress(psutil.Error):
            self._descendants.update(psutil.Process(self.pid).children(recursive=True))

    def kill_and_collect(self) -> None:
        """Kill the command, its process group and every descendant seen, and collect it."""
        if self._popen.returncode is None:
            self.remember_descendants()
            # Before the leader is collected: until then its group id belongs to nobody else.
            if hasattr(os, "killpg"):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self.pid, signal.SIGKILL)
            self._popen.kill()
            self._popen.wait()
        for process in self._descendants:
            with contextlib.suppress(psutil.Error):
                process.kill()  # psutil compares start times: a reused pid is left alone
        psutil.wait_procs(self._descendants, timeout=2.0)


class Supervisor:
    """A context manager that owns children: at its end, however it comes, none is left.

    SIGINT, SIGTERM and SIGHUP become a request to stop (`stop_requested`), seen by `wait`; a
    second one makes the stopping impatient.
    """

    def __init__(self, log_folder: Path | None = None) -> None:
        self.children: list[Child] = []
        self._log_folder = log_folder
        self._signals = 0
        self._wake = threading.Event()
        self._former_handlers: dict[int, signal.Handlers | object] = {}

    @property
    def stop_requested(self) -> bool:
        """Whether Ctrl-C or a signal asked us to end."""
        return self._signals > 0

    def __enter__(self) -> Self:
        for number in _STOP_SIGNALS:
            self._former_handlers[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        try:
            self.stop(self.children)
        finally:
            for number, handler in self._former_handlers.items():
                signal.signal(number, handler)  # type: ignore[arg-type]

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._signals += 1
        self._wake.set()

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> Child:
        """Start a command; with a log folder its output goes to a file there. Raises OSError."""
        log = self._log_folder / f"{name.replace(' ', '-')}.log" if self._log_folder else None
        child = Child(name, command, environment, log)
        self.children.append(child)
        return child

    def wait(self, seconds: float) -> bool:
        """Sleep, at most until a request to stop; return whether there is one."""
        self._wake.wait(seconds)
        return self.stop_requested

    def newly_ended(self) -> list[Child]:
        """Return children that ended since the last call, each cleaned up after."""
        ended = [child for child in self.children if not child.is_running]
        for child in self.children:
            child.remember_descendants()
        self.stop(ended)
        return ended

    def stop(
        self, children: Iterable[Child], patience_seconds: float = STOP_PATIENCE_SECONDS
    ) -> None:
        """End children together: SIGTERM, patience (none after a second Ctrl-C), then SIGKILL."""
        stopping = list(children)
        for child in stopping:
            child.terminate()
        end = time.monotonic() + patience_seconds
        while any(child.is_running for child in stopping) and time.monotonic() < end:
            if self._signals >= 2:
                break
            for child in stopping:
                child.remember_descendants()
            time.sleep(_POLL_SECONDS)
        for child in stopping:
            child.kill_and_collect()
        self.children = [child for child in self.children if child not in stopping]
