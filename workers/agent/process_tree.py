"""The processes of one run: start them, watch them, and leave none behind.

No single way finds every process of a hostile script, so four are used together:

* the group: the script runs in its own session, and one signal reaches every process that stays;
* the walk: children of children, followed once a second while the run lives;
* adoption (Linux): the agent is a subreaper, so a process that detaches becomes its own child;
* the tag: an environment variable that every descendant inherits; the next agent finds it, too.

macOS has no adoption and no death signal, and Windows has no process group either; the walk and
the tag remain.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Final, cast

import psutil

TAG_VARIABLE: Final = "XEENET_RUN_TAG"
_PR_SET_CHILD_SUBREAPER: Final = 36
_SIGNALLED: Final = 128
_KILL_PAUSE_SECONDS: Final = 0.02
_IS_LINUX: Final = sys.platform.startswith("linux")
_LAUNCHER: Final = Path(__file__).with_name("launch.py")


class _OwnChildren:
    """The processes that this agent started itself, as opposed to adopted ones."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.pids: set[int] = set()
        self.adopts_orphans = False


_own = _OwnChildren()


def adopt_orphans() -> bool:
    """Make this process the new parent of every descendant whose parent ends; return success.

    Call it once at the agent's start. It works only on Linux.
    """
    if _IS_LINUX:
        _own.adopts_orphans = ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    return _own.adopts_orphans


def kill_tagged(tag_prefix: str, patience_seconds: float = 5.0) -> tuple[int, list[int]]:
    """Kill every process whose tag starts with ``tag_prefix``; return (how many died, survivors).

    The sweep at the start uses it: an agent that was killed had no chance to end its scripts.
    """
    seen: set[psutil.Process] = set()
    end = time.monotonic() + patience_seconds
    while True:
        tagged = _tagged_processes()
        alive = _alive(process for process in tagged if _tag(process).startswith(tag_prefix))
        seen.update(alive)
        if not alive or time.monotonic() > end:
            return len(seen) - len(alive), [process.pid for process in alive]
        _kill_all(alive)
        time.sleep(_KILL_PAUSE_SECONDS)


class ProcessTree:
    """A started command and everything that descends from it.

    ``tag`` identifies the run and must be unique among the current runs on this machine. Start it
    from a thread that outlives the run: the kernel sends the death signal when the *thread* ends.
    The processes cannot make a file larger than ``file_bytes`` (Linux). ``sandboxed`` says that the
    command is bubblewrap with the script inside.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        tag: str,
        environment: Mapping[str, str],
        folder: Path,
        file_bytes: int = sys.maxsize,
        sandboxed: bool = False,
    ) -> None:
        self.tag = tag
        self._sandboxed = sandboxed
        self.started_at = time.monotonic()
        if _IS_LINUX:
            launcher = [sys.executable, "-I", "-S", str(_LAUNCHER)]
            command = [*launcher, str(os.getpid()), str(file_bytes), *command]
        with _own.lock:
            self._popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                cwd=folder,
                env={**environment, TAG_VARIABLE: tag},
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )
            _own.pids.add(self._popen.pid)
        self.pid = self._popen.pid
        self._root: psutil.Process | None = None
        self._known: set[psutil.Process] = set()
        with contextlib.suppress(psutil.Error):
            self._root = psutil.Process(self.pid)
        self._created_at = self._root.create_time() if self._root else time.time()

    @property
    def stdout(self) -> IO[bytes]:
        """The read end of the script's stdout, unbuffered."""
        return cast(IO[bytes], self._popen.stdout)

    @property
    def stderr(self) -> IO[bytes]:
        """The read end of the script's stderr, unbuffered."""
        return cast(IO[bytes], self._popen.stderr)

    @property
    def exit_code(self) -> int | None:
        """Exit code of the script, negative for a signal; None until `kill` collects it."""
        code = self._popen.returncode
        if self._sandboxed and code is not None and code > _SIGNALLED:
            return _SIGNALLED - code  # bubblewrap reports signals as shells do
        return code

    def has_exited(self) -> bool:
        """Return whether the direct child has ended, without collecting it.

        The uncollected child keeps its process group id reserved, so that the group signal in
        `kill` cannot hit an unrelated process that got the same number.
        """
        if self._popen.returncode is not None:
            return True
        if not hasattr(os, "waitid"):  # Windows, older macOS
            return self._popen.poll() is not None
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self.pid, flags) is not None

    def terminate(self) -> bool:
        """Ask the whole group to end (SIGTERM; Ctrl-Break on Windows); return whether it was asked.

        Just after the start of a sandbox there is no script yet that could be asked.
        """
        if self._sandboxed:
            return self._terminate_inside()
        if hasattr(os, "killpg"):
            self._signal_group(signal.SIGTERM)
        else:
            with contextlib.suppress(OSError, ValueError):
                self._popen.send_signal(getattr(signal, "CTRL_BREAK_EVENT", signal.SIGTERM))
        return True

    def _terminate_inside(self) -> bool:
        """Ask the processes in the sandbox to end, except the first two; return whether any exist.

        The first two are bubblewrap, which waits outside, and the first process inside. SIGTERM
        would end them, and their death would kill the script before it could print a result.
        """
        try:
            sandbox = psutil.Process(self.pid)
            inside = set(sandbox.children(recursive=True)) - set(sandbox.children())
        except psutil.Error:
            return False
        for process in inside:
            with contextlib.suppress(psutil.Error):
                process.terminate()
        return bool(inside)

    def resident_bytes(self) -> int:
        """Return the summed resident memory of the tree in bytes, and remember its processes."""
        total = 0
        for process in self._members():
            with contextlib.suppress(psutil.Error):
                total += process.memory_info().rss
        return total

    def kill(self, patience_seconds: float = 5.0) -> list[int]:
        """Kill every process of the run and collect it; return the pids that would not die."""
        end = time.monotonic() + patience_seconds
        while True:
            self._signal_group(getattr(signal, "SIGKILL", signal.SIGTERM))
            alive = _alive(self._members() | self._tagged_members())
            _kill_all(alive)
            self._collect_adopted()
            if not alive and self.has_exited():
                break
            if time.monotonic() > end:
                return [process.pid for process in alive]
            time.sleep(_KILL_PAUSE_SECONDS)
        self._popen.wait()
        with _own.lock:
            _own.pids.discard(self.pid)
        return []

    def _signal_group(self, number: int) -> None:
        # Once the child is collected, its group id may belong to an unrelated process.
        if hasattr(os, "killpg") and self._popen.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def _members(self) -> set[psutil.Process]:
        """Return the living processes of the run: known ones, their descendants, adopted ones."""
        roots = [] if self._root is None else [self._root]
        roots += [*self._known, *self._adopted()]
        members: set[psutil.Process] = set()
        for process in roots:
            # A walk reads the whole process table: start none at a process already reached.
            if process not in members:
                members.add(process)
                with contextlib.suppress(psutil.Error):
                    members.update(process.children(recursive=True))
        self._known = set(_alive(members))
        return set(self._known)

    def _tagged_members(self) -> set[psutil.Process]:
        return {process for process in _tagged_processes() if _tag(process) == self.tag}

    def _adopted(self) -> set[psutil.Process]:
        """Return detached processes that the agent adopted: with this run's tag, or without a tag.

        A process that detaches *and* strips its environment could belong to any parallel run. No
        honest script does that, so any run may kill it.
        """
        return {child for child in self._foreign_children() if _tag(child) in ("", self.tag)}

    def _foreign_children(self) -> list[psutil.Process]:
        """Return the agent's children that it did not start and that are younger than the run."""
        if not _own.adopts_orphans:
            return []
        children = psutil.Process().children()
        with _own.lock:  # after listing: a process that was just being started is now registered
            own = set(_own.pids)
        return [
            child
            for child in children
            if child.pid not in own and _created_at(child) >= self._created_at
        ]

    def _collect_adopted(self) -> None:
        """Reap dead adopted children; otherwise they stay zombies until the agent ends."""
        for process in self._foreign_children():
            with contextlib.suppress(psutil.Error, ChildProcessError):
                if process.status() == psutil.STATUS_ZOMBIE:
                    os.waitpid(process.pid, os.WNOHANG)


def _created_at(process: psutil.Process) -> float:
    """Return the creation time of the process in psutil's seconds; 0 when it is already gone."""
    try:
        return float(process.create_time())
    except psutil.Error:
        return 0.0


def _tagged_processes() -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if _tag(process)]


def _tag(process: psutil.Process) -> str:
    """Return the run tag in a process's environment; "" when absent or unreadable."""
    try:
        return process.environ().get(TAG_VARIABLE, "")
    except (psutil.Error, OSError):
        return ""


def _alive(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    alive = []
    for process in processes:
        with contextlib.suppress(psutil.Error):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                alive.append(process)
    return alive


def _kill_all(processes: Iterable[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.kill()
