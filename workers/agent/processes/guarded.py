"""How the agent starts a command: below a guardian on Linux, as a plain child elsewhere."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, cast

from workers.agent.executables import helper_words
from workers.agent.grants import Priority
from workers.agent.processes import cgroups
from workers.agent.processes.priority import lower
from workers.agent.processes.process_table import TAG_VARIABLE

_GUARDIAN: Final = Path(__file__).with_name("guardian.py")
_START_SECONDS: Final = 60.0
_LINE_BYTES: Final = 4_096
# systemd-run finds the user's service manager by these. The guardian keeps them from the script.
_SCOPE_VARIABLES: Final = ("XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")


Spawn = Callable[..., "subprocess.Popen[bytes]"]


class EnclosureKind(StrEnum):
    """What holds all processes of a run together, so that one act kills them."""

    CGROUP = "cgroup"  # of version 2, below the agent's own
    SCOPE = "scope"  # a cgroup that the user's service manager makes for each run
    NAMESPACE = "namespace"  # of process ids: the kernel kills it with its first process
    NONE = "none"


@dataclass(frozen=True)
class Enclosure:
    """The enclosure of every run on this machine; ``why_not`` says why there is none."""

    kind: EnclosureKind = EnclosureKind.NONE
    parent_cgroup: Path | None = None
    why_not: str = ""


NO_ENCLOSURE: Final = Enclosure()


@dataclass(frozen=True)
class RunStart:
    """What is started for a run: its command and tag, and what it gets."""

    command: Sequence[str]
    tag: str
    environment: Mapping[str, str]
    folder: Path
    spawn: Spawn
    priority: Priority = Priority.NORMAL
    stdin: int = subprocess.DEVNULL  # or a pipe

    def start(
        self, words: Sequence[str], environment: Mapping[str, str], **options: Any
    ) -> subprocess.Popen[bytes]:
        """Start ``words`` in the run's folder, in a session of their own; raise OSError.

        stdout and stderr are unbuffered pipes.
        """
        return self.spawn(
            words,
            stdin=self.stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd=self.folder,
            env=environment,
            start_new_session=True,
            **options,
        )


class GuardedCommand:
    """A command below a guardian (Linux). ``pid`` is the command's, not the guardian's.

    In a process-id namespace ``pid`` is that of the namespace's first process. Raises OSError when
    the command cannot be started.
    """

    def __init__(self, run: RunStart, *, file_bytes: int, enclosure: Enclosure) -> None:
        self.exit_code: int | None = None
        self.cpu_seconds: float | None = None  # of all its processes, once `end` returned
        self.priority_problem = ""
        self.cgroup: Path | None = None
        if enclosure.kind is EnclosureKind.CGROUP and enclosure.parent_cgroup is not None:
            self.cgroup = cgroups.make(enclosure.parent_cgroup, run.tag)
        self._unread = b""
        self._problem = ""
        self._pid: int | None = None
        self._socket, guardians_end = socket.socketpair()
        words = [*helper_words(_GUARDIAN), str(guardians_end.fileno())]
        words += [
            f"{TAG_VARIABLE}={run.tag}",
            str(file_bytes),
            enclosure.kind,
            str(self.cgroup or ""),
            run.priority,
            *run.command,
        ]
        variables = dict(run.environment)
        if enclosure.kind is EnclosureKind.SCOPE:
            words = [*_in_scope(run.tag), *words]
            variables |= {name: os.environ[name] for name in _SCOPE_VARIABLES if name in os.environ}
        try:
            self.process = run.start(words, variables, pass_fds=(guardians_end.fileno(),))
        except BaseException:
            self._forget()
            raise
        finally:
            guardians_end.close()
        try:
            self.pid = self._wait_for_start()
        except BaseException:
            self._give_up()
            raise

    def has_ended(self) -> bool:
        """Return whether the command has ended; what it left behind may still be alive."""
        if self.exit_code is None and self.process.returncode is None:
            self._read(0.0)
        return self.exit_code is not None or self.process.poll() is not None

    def terminate(self) -> None:
        """Ask the command and its process group to end (SIGTERM)."""
        with contextlib.suppress(OSError):  # the guardian is gone
            self._socket.send(b"T")

    def end(self, seconds: float) -> bool:
        """Let the guardian kill everything, for so long at most; return whether it did.

        Afterwards the guardian is gone, and `exit_code` is the command's where it is known.
        """
        if self.cgroup is not None:
            cgroups.kill(self.cgroup)  # the script may have killed its guardian
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._read(0.0)
        if self.exit_code is None and self.process.returncode < 0:
            self.exit_code = self.process.returncode  # the script's, too: it dies with its guardian
        self._forget()
        return self.process.returncode == 0

    def _wait_for_start(self) -> int:
        """Return the command's process id as soon as it runs. Raises OSError."""
        end = time.monotonic() + _START_SECONDS
        while self._pid is None and not self._problem:
            if not self._read(max(0.0, end - time.monotonic())):
                break
        if self._pid is None:
            problem = self._problem or self._last_words()
            raise OSError(f"the script could not be started: {problem}")
        return self._pid

    def _read(self, seconds: float) -> bool:
        """Take what the guardian writes within so many seconds; False when nothing came."""
        self._socket.settimeout(seconds)
        try:
            text = self._socket.recv(_LINE_BYTES)
        except OSError:  # nothing yet, or the guardian is gone
            return False
        self._unread += text
        *lines, self._unread = self._unread.split(b"\n")
        for line in lines:
            self._take(*line.decode(errors="replace").partition(" ")[::2])
        return bool(text)

    def _take(self, word: str, rest: str) -> None:
        """Note what a line of the guardian says."""
        if word == "error":
            self._problem = rest or "for an unknown reason"
        elif word == "started":
            pid, _, folder = rest.partition(" ")
            self._pid, self.cgroup = int(pid), Path(folder) if folder else None
        elif word == "ended" and self.exit_code is None:
            self.exit_code = int(rest)
        elif word == "priority":
            self.priority_problem = rest
        elif word == "used":
            self.cpu_seconds = float(rest)

    def _last_words(self) -> str:
        """Return what a guardian that gave no answer wrote to stderr."""
        self.process.kill()
        _, text = self.process.communicate()
        return text.decode(errors="replace").strip()[-500:] or "its guardian gave no answer"

    def _give_up(self) -> None:
        self.end(_START_SECONDS / 10)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()

    def _forget(self) -> None:
        self._socket.close()
        if self.cgroup is not None:
            cgroups.remove(self.cgroup)


class PlainCommand:
    """A command as a child with a process group of its own, where there is no guardian."""

    cpu_seconds: float | None = None  # nobody counts what processes used that have ended

    def __init__(self, run: RunStart) -> None:
        self.cgroup: Path | None = None
        self.process = run.start(
            run.command,
            {**run.environment, TAG_VARIABLE: run.tag},
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        self.pid = self.process.pid
        self.priority_problem = lower(self.pid, run.priority)

    @property
    def exit_code(self) -> int | None:
        """The command's exit code; None until `end` collects it."""
        return cast("int | None", self.process.returncode)

    def has_ended(self) -> bool:
        """Return whether the command has ended, without collecting it.

        The uncollected child keeps its process group id reserved, so that the group signal in
        `end` cannot hit an unrelated process that got the same number.
        """
        if self.process.returncode is not None:
            return True
        if not hasattr(os, "waitid"):  # Windows, older macOS
            return self.process.poll() is not None
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self.pid, flags) is not None

    def terminate(self) -> None:
        """Ask the command and its process group to end (SIGTERM; Ctrl-Break on Windows)."""
        if hasattr(os, "killpg"):
            self._signal_group(signal.SIGTERM)
        else:
            with contextlib.suppress(OSError, ValueError):
                self.process.send_signal(getattr(signal, "CTRL_BREAK_EVENT", signal.SIGTERM))

    def end(self, seconds: float) -> bool:
        """Kill the command and its process group; return whether it ended within the seconds."""
        self._signal_group(getattr(signal, "SIGKILL", signal.SIGTERM))
        if not hasattr(os, "killpg"):
            self.process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        return self.process.returncode is not None

    def _signal_group(self, number: int) -> None:
        # Once the child is collected, its group id may belong to an unrelated process.
        if hasattr(os, "killpg") and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)


def _in_scope(tag: str) -> list[str]:
    """Return the words that start a command in a new scope of the user's service manager."""
    unit = f"{cgroups.new_name(tag)}.scope"
    options = ["--user", "--scope", "--quiet", "--collect", f"--unit={unit}"]
    program = shutil.which("systemd-run") or "systemd-run"  # by the agent's own PATH
    return [program, *options, "--property=Delegate=yes", "--"]
