"""Report from inside the sandbox what can be reached although it must not be.

Run as a plain file with the arguments STATE_FOLDER NAMESPACE…, in a writable folder; the namespaces
are those outside, as ``/proc/self/ns`` names them. Prints one JSON line ``{"problems": [...]}``.
"""

import ctypes
import errno
import json
import os
import socket
import sys
import tempfile
from pathlib import Path

# Sockets of these families lead nowhere but to loopback, and to the list of interfaces.
FAMILIES = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK)
KEYCTL = {"x86_64": 250, "aarch64": 219, "riscv64": 219}
IO_URING_SETUP = 425
# What root may write without any capability; the first names a program that the kernel starts.
SETTINGS = (
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/vm/overcommit_memory",
    "/proc/sysrq-trigger",
)
CLONE_NEWUSER = 0x10000000


def problems(state_folder: Path, outside: list[str]) -> list[str]:
    """Return one sentence for each hole in the sandbox."""
    sentences = []
    inside = Path.cwd()
    # The folders above the task folder exist as mount points, with nothing else in them.
    visible = {path for path in state_folder.rglob("*") if not path.is_relative_to(inside)}
    if visible - set(inside.parents):
        sentences.append("the agent's state folder can be read")
    if [name for _, name in socket.if_nameindex() if name != "lo"]:
        sentences.append("there is a network")
    # Only bubblewrap's own first process and this process live in the sandbox.
    if sum(path.name.isdigit() for path in Path("/proc").iterdir()) > 2:
        sentences.append("processes outside can be seen")
    for folder in ("/", "/tmp", "/dev", "/usr", str(Path(sys.executable).parent)):  # noqa: S108
        if can_write(folder):
            sentences.append(f"{folder} can be written")
    if any(can_open_to_write(path) for path in SETTINGS):
        sentences.append("settings of the machine can be changed")
    if not can_write(str(inside)):
        sentences.append("the task folder cannot be written")
    shared = [name for name in outside if name == namespace(name.partition(":")[0])]
    sentences += [f"the namespace {name} is shared with the machine" for name in shared]
    return sentences + kernel_problems()


def kernel_problems() -> list[str]:
    """Return one sentence for each door into the kernel that stands open."""
    sentences = []
    status = Path("/proc/self/status").read_text().splitlines()
    if any(line.startswith("Cap") and int(line.split()[1], 16) for line in status):
        sentences.append("there are capabilities")
    sentences += [
        f"sockets of address family {family} can be made"
        for family in range(1, 64)
        if family not in FAMILIES and can_open(family)
    ]
    libc = ctypes.CDLL(None, use_errno=True)
    if os.uname().machine in KEYCTL and libc.syscall(KEYCTL[os.uname().machine], 0, -3, 0) >= 0:
        sentences.append("the keyrings can be reached")
    if can_read("/proc/keys"):
        sentences.append("the names of keys can be read")
    refused = (errno.ENOSYS, errno.EPERM)
    if libc.syscall(IO_URING_SETUP, 1, None) >= 0 or ctypes.get_errno() not in refused:
        sentences.append("io_uring can be used")
    if libc.unshare(CLONE_NEWUSER) == 0:
        sentences.append("user namespaces can be made")
    return sentences


def namespace(kind: str) -> str:
    """Return the namespace of this kind in which this process is."""
    return os.readlink(f"/proc/self/ns/{kind}")  # noqa: PTH115 (it names no file)


def can_open_to_write(path: str) -> bool:
    """Return whether a file can be opened for writing; nothing is written."""
    try:
        os.close(os.open(path, os.O_WRONLY))
    except OSError:
        return False
    return True


def can_read(path: str) -> bool:
    """Return whether there is something to read in a file."""
    try:
        return bool(Path(path).read_bytes())
    except OSError:
        return False


def can_open(family: int) -> bool:
    """Return whether a socket of the family can be made."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET, socket.SOCK_RAW):
        try:
            socket.socket(family, kind).close()
        except OSError:
            continue
        return True
    return False


def can_write(folder: str) -> bool:
    """Return whether a file can be created in ``folder``."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


if __name__ == "__main__":
    print(json.dumps({"problems": problems(Path(sys.argv[1]), sys.argv[2:])}), flush=True)
