"""Child processes of `serve` and `demo`: watched together and stopped without leaving any behind.

Each child leads its own session. Ctrl-C in the terminal therefore reaches only us, and we stop the
children in the right order. What a child leaves behind is still found in its process group: for
example, the workers of a q-cluster go on after their master was killed.
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
    """One started command. Its output is added to the file `log`, or is ours without one."""

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path | None
    ) -> None:
        self.name = name
        self.log = log
        if sys.platform == "linux":
            launcher = [sys.executable, "-I", "-S", str(_LAUNCHER), str(os.getpid())]
            command = [*launcher, *command]
        with contextlib.ExitStack() as stack:
            output = stack.enter_context(log.open("ab")) if log else None
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
        """Whether the command itself runs. Does not reap it, so that its pid stays reserved."""
        if self._popen.returncode is not None:
            return False
        if os.name != "posix":
            return self._popen.poll() is None
        try:
            return bool(psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return False

    def how_it_ended(self) -> str:
        """Describe how the command ended. Only valid after `kill_and_collect` has reaped it."""
        code = self._popen.returncode
        return f"killed by signal {-code}" if code < 0 else f"exit code {code}"

    def log_tail(self, lines: int = 15) -> str:
        """Return the last lines of the log file, or "" if there is none."""
        if self.log is None or not self.log.exists():
            return ""
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def terminate(self) -> None:
        """Send SIGTERM to the command alone; it stops its own children in order."""
        self.remember_descendants()
        if self._popen.returncode is not None:
            return
        if os.name == "posix":
            # Not Popen.terminate: it would reap a dead child and so free its process group id.
            os.kill(self.pid, signal.SIGTERM)
        else:
            self._popen.terminate()

    def remember_descendants(self) -> None:
        """Remember the command's descendants: they cannot be looked up once it is dead."""
        with contextlib.suppress(psutil.Error):
            self._descendants.update(psutil.Process(self.pid).children(recursive=True))

    def kill_and_collect(self) -> None:
        """Kill the command, its process group and every descendant seen, and reap the command."""
        if self._popen.returncode is None:
            self.remember_descendants()
            # Kill the group before reaping its leader: until then its id cannot be reused.
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
    """A context manager that owns child processes and leaves none behind, however it is left.

    SIGINT, SIGTERM and SIGHUP set `stop_requested` and wake `wait`; a second signal makes `stop`
    kill without waiting any longer.
    """

    def __init__(self, log_folder: Path | None = None) -> None:
        self.children: list[Child] = []
        self._log_folder = log_folder
        self._logs: set[Path] = set()
        self._signals = 0
        self._wake = threading.Event()
        self._former_handlers: dict[int, signal.Handlers | object] = {}

    @property
    def stop_requested(self) -> bool:
        """Whether Ctrl-C or another stop signal has arrived."""
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

    def start(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        log: Path | None = None,
    ) -> Child:
        """Start a command; with a log folder its output goes to a file there. Raises OSError.

        Another start under the same name adds to the file, which says why the first one ended. A
        `log` of its own is only added to.
        """
        if log is not None:
            return self._added(Child(name, command, environment, log))
        log = self._log_folder / f"{name.replace(' ', '-')}.log" if self._log_folder else None
        if log is not None and log not in self._logs:
            self._logs.add(log)
            log.unlink(missing_ok=True)  # that of a former supervisor
        return self._added(Child(name, command, environment, log))

    def _added(self, child: Child) -> Child:
        self.children.append(child)
        return child

    def wait(self, seconds: float) -> bool:
        """Sleep until a stop is requested, at most `seconds`; return whether one was."""
        self._wake.wait(seconds)
        return self.stop_requested

    def newly_ended(self) -> list[Child]:
        """Return the children that ended since the last call, after killing what they left."""
        ended = [child for child in self.children if not child.is_running]
        for child in self.children:
            child.remember_descendants()
        self.stop(ended)
        return ended

    def stop(
        self, children: Iterable[Child], patience_seconds: float = STOP_PATIENCE_SECONDS
    ) -> None:
        """Stop children together: SIGTERM, up to `patience_seconds` of waiting, then SIGKILL.

        A second Ctrl-C ends the waiting.
        """
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
