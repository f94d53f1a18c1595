"""Isolation tier T1: a script in a bubblewrap sandbox (Linux with bubblewrap 0.8 or newer).

Inside there is no network and no process but the script's own. The file system holds only what a
script needs: the system's libraries, its Python with torch, the GPU's devices and the data set,
all read-only; only the task folder and a small /dev/shm are writable. Everything else is absent:
the agent's token, its outbox, other tasks, the owner's home.

The kernel refuses some system calls inside, and the script has a session keyring of its own: see
`workers.agent.running.enter_sandbox`.

Everything inside ends with the agent: bubblewrap ends the first process of the process-id namespace
with its parent, and the kernel ends a namespace with its first process. The guardian does the same
in the moment before bubblewrap has asked for it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from workers.agent.attempt import StopRequest
from workers.agent.executables import helper_words
from workers.agent.running.environment import script_environment
from workers.agent.running.execution import Ending, Limits, execute
from workers.agent.running.interpreter import NO_PYTHON, Interpreter, own_interpreter

# The memory watch misses pages that no process has mapped, so the size itself must be small.
SHARED_MEMORY_BYTES: Final = 256 * 1024 * 1024
_PROGRAM: Final = "bwrap"
_ENTRANCE: Final = Path(__file__).with_name("enter_sandbox.py")
_PROBE: Final = Path(__file__).with_name("sandbox_probe.py")
_PROBE_SECONDS: Final = 20.0
_PROBE_MEMORY_BYTES: Final = 512 * 1024 * 1024

_SYSTEM: Final = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/opt/rocm"),
    *("/sys/devices/system/cpu", "/sys/devices/system/node", "/run/opengl-driver"),
    *("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives"),
    *("/etc/localtime", "/etc/passwd", "/etc/group", "/etc/nsswitch.conf"),
)
_FOR_DOWNLOADS: Final = (
    *("/etc/resolv.conf", "/etc/hosts", "/etc/ssl", "/etc/pki", "/etc/ca-certificates"),
    "/run/systemd/resolve",  # where resolv.conf often points to
)
_KEY_LISTINGS: Final = ("/proc/keys", "/proc/key-users")
# The trial compares them inside and outside. Not all kernels have the one of control groups.
_NAMESPACES: Final = ("ipc", "mnt", "net", "pid", "user", "uts")
_GPU_DEVICES: Final = ("nvidia*", "dri", "kfd", "dxg")


class SandboxUnavailable(Exception):
    """T1 does not work on this machine; the message says why."""


@dataclass(frozen=True)
class Sandbox:
    """A bubblewrap that passed its trial on this machine."""

    program: str
    python: Interpreter = field(default_factory=own_interpreter)  # of the scripts

    def wrap(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        readable: Sequence[Path] = (),
        downloads_to: Path | None = None,
    ) -> list[str]:
        """Return ``command`` wrapped so that it runs in the sandbox, in the writable ``folder``.

        It can also read the files and folders in ``readable``. ``downloads_to`` gives it the
        network and write access to that folder: only for code that came with this installation.
        """
        arguments = [*helper_words(_ENTRANCE), self.program]
        arguments += _namespaces(network=downloads_to is not None)
        for path in _readable_paths(self.python, network=downloads_to is not None):
            arguments += ["--ro-bind-try", path, path]
        arguments += ["--proc", "/proc", "--dev", "/dev"]
        for path in _settings_of_the_machine():
            arguments += ["--ro-bind-try", path, path]
        for listing in _KEY_LISTINGS:  # the names of the owner's keys
            if Path(listing).exists():
                arguments += ["--ro-bind", os.devnull, listing]
        arguments += ["--size", str(SHARED_MEMORY_BYTES), "--tmpfs", "/dev/shm"]  # noqa: S108
        devices = gpu_devices()
        for device in devices:
            arguments += ["--dev-bind", device, device]
        if devices:  # the drivers' libraries look up their hardware there
            arguments += ["--ro-bind", "/sys", "/sys"]
        arguments += ["--remount-ro", "/dev", "--dir", "/tmp"]  # noqa: S108
        for file in readable:
            arguments += ["--ro-bind", str(file), str(file)]
        for writable in (folder, downloads_to):
            if writable is not None:
                arguments += ["--bind", str(writable), str(writable)]
        return [*arguments, "--chdir", str(folder), "--remount-ro", "/", "--", *command]


def find_sandbox(
    state_root: Path, work: Path, tag: str, python: Interpreter | None = None
) -> Sandbox:
    """Return the sandbox after a trial showed that it isolates. Raises `SandboxUnavailable`.

    Scripts run with ``python``, by default the agent's own, and must not see ``state_root``. The
    trial makes its own folder in ``work``.
    """
    if not sys.platform.startswith("linux"):
        raise SandboxUnavailable("bubblewrap exists on Linux only")
    program = shutil.which(_PROGRAM)
    if program is None:
        raise SandboxUnavailable("bubblewrap is not installed (the program bwrap)")
    sandbox = Sandbox(program, python or own_interpreter())
    if sandbox.python == NO_PYTHON:
        raise SandboxUnavailable("there is no Python for scripts yet")
    _check_nothing_private_is_readable(sandbox.python, state_root)
    with tempfile.TemporaryDirectory(prefix="sandbox-check-", dir=work) as name:
        problem = _trial(sandbox, Path(name), state_root, tag)
    if problem:
        raise SandboxUnavailable(problem)
    return sandbox


def gpu_devices() -> list[str]:
    """Return the device files through which scripts reach this machine's GPUs."""
    return sorted(str(path) for pattern in _GPU_DEVICES for path in Path("/dev").glob(pattern))


def _namespaces(*, network: bool) -> list[str]:
    options = ["--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-uts"]
    options += ["--unshare-cgroup-try", "--hostname", "sandbox"]
    if not network:
        options.append("--unshare-net")
    # Allow no user namespaces inside: most ways out of a sandbox begin with one.
    return [*options, "--disable-userns", "--cap-drop", "ALL", "--die-with-parent"]


def _readable_paths(python: Interpreter, *, network: bool) -> list[str]:
    """Return what every script may read: the system, its Python, and torch's libraries."""
    paths = [*_SYSTEM, *map(str, (*python.folders, *python.links)), *_library_folders()]
    return paths + list(_FOR_DOWNLOADS if network else ())


def _settings_of_the_machine() -> list[str]:
    """Return what in /proc concerns the whole machine and can be written.

    The kernel lets root's processes change most of it, without any capability. So a script of an
    agent that runs as root could name a program that the kernel starts outside the sandbox.
    """
    paths = []
    for path in sorted(Path("/proc").iterdir()):
        with contextlib.suppress(OSError):  # a process that has ended
            mode = path.lstat().st_mode
            is_folder = stat.S_ISDIR(mode) and not path.name.isdigit()
            if is_folder or (stat.S_ISREG(mode) and mode & 0o222):
                paths.append(str(path))
    return paths


def _library_folders() -> list[str]:
    """Return the owner's LD_LIBRARY_PATH, which scripts inherit."""
    entries = os.environ.get("LD_LIBRARY_PATH", "").split(":")
    return [entry for entry in entries if entry.startswith("/") and entry != "/"]


def _check_nothing_private_is_readable(python: Interpreter, state_root: Path) -> None:
    """Raise `SandboxUnavailable` when a folder that scripts need contains private files."""
    home = os.path.expanduser("~")  # noqa: PTH111 (Path raises for a user without a home)
    for path in _readable_paths(python, network=False):
        folder = Path(path).resolve()
        private = [state_root]
        if home.startswith("/") and not folder.is_relative_to("/usr"):
            private.append(Path(home))
        for secret in private:
            if secret.resolve().is_relative_to(folder):
                raise SandboxUnavailable(
                    f"scripts need to read {folder}, and {secret} lies in it; "
                    "use a Python environment and a state folder apart from each other"
                )


def _trial(sandbox: Sandbox, folder: Path, state_root: Path, tag: str) -> str:
    """Run the probe in the sandbox; return what is wrong, "" when the sandbox isolates."""
    outside = [os.readlink(f"/proc/self/ns/{name}") for name in _NAMESPACES]  # noqa: PTH115
    command = [sandbox.python.executable, "-I", "-S", str(_PROBE), str(state_root), *outside]
    try:
        execution = execute(
            sandbox.wrap(command, folder=folder, readable=[_PROBE]),
            tag=tag,
            environment=script_environment(folder, folder),
            folder=folder,
            limits=Limits(_PROBE_SECONDS, 1.0, _PROBE_MEMORY_BYTES),
            stop=StopRequest(),
            sandboxed=True,
        )
    except OSError as error:
        return f"bwrap cannot be started: {error}"
    if execution.ending is not Ending.EXITED:
        return f"bwrap was not done after {_PROBE_SECONDS:g} s"
    if execution.exit_code != 0 or execution.result is None:
        return f"bwrap ended with {execution.exit_code}: {execution.last_words}"
    problems = execution.result.get("problems")
    return "" if problems == [] else f"the sandbox does not hold: {json.dumps(problems)}"
