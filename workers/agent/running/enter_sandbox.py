"""Become bubblewrap, with what it cannot do by itself. Linux only; runs as a plain file.

    python -I -S enter_sandbox.py BUBBLEWRAP ARGUMENTS…

* A new, empty session keyring: a script would otherwise inherit the keys of the owner's session.
* A filter on system calls, which bubblewrap gives to everything inside. It closes what no namespace
  holds: sockets that lead to the host or its hypervisor (AF_VSOCK), to its hardware or into rare
  kernel code; keyrings; io_uring, which would open such sockets past the filter; and some calls of
  which scripts have no need, but attackers.

The filter is a program of classic BPF: eight bytes for each instruction. It exists for the machines
in `MACHINES`. Elsewhere the sandbox works without it, as long as its trial finds no such socket.
"""

import ctypes
import errno
import os
import socket
import struct
import sys
from typing import NamedTuple

# Offsets in the kernel's struct seccomp_data.
NUMBER, ARCHITECTURE, FIRST_ARGUMENT, THIRD_ARGUMENT = 0, 4, 16, 32
# Instructions, as in linux/bpf_common.h: load a word, compare, return.
LOAD, JUMP_IF_EQUAL, JUMP_IF_AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
ALLOW, FAIL = 0x7FFF0000, 0x00050000
X32_CALLS = 0x40000000  # a second set of system calls of x86_64, with other numbers

NETLINK_ROUTE = 0  # lists the interfaces; the other protocols of AF_NETLINK are rare kernel code
FAMILIES = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6)

KEYCTL_JOIN_SESSION_KEYRING = 1


class Machine(NamedTuple):
    """The numbers of one kind of processor."""

    architecture: int
    socket: int
    socketpair: int
    keyctl: int
    absent: tuple[int, ...]  # calls that seem not to exist: programs have something in their place
    forbidden: tuple[int, ...]


# absent: io_uring_setup, _enter, _register.
# forbidden: add_key, request_key, keyctl, bpf, userfaultfd, perf_event_open.
_GENERIC = ((425, 426, 427), (217, 218, 219, 280, 282, 241))
MACHINES = {
    "x86_64": Machine(0xC000003E, 41, 53, 250, (425, 426, 427), (248, 249, 250, 321, 323, 298)),
    "aarch64": Machine(0xC00000B7, 198, 199, 219, *_GENERIC),
    "riscv64": Machine(0xC00000F3, 198, 199, 219, *_GENERIC),
}

Instruction = tuple[int, int, int, int]  # code, steps over if true, steps over if false, value


def system_call_filter(machine: Machine) -> bytes:
    """Return the filter for this kind of processor.

    The domain of `socket` is an int, so its lower 32 bits are all that the kernel looks at.
    """
    allow: Instruction = (RETURN, 0, 0, ALLOW)
    route = [_load(THIRD_ARGUMENT), *_if_equal(NETLINK_ROUTE, allow)]
    sockets = [_load(FIRST_ARGUMENT)]
    for family in FAMILIES:
        sockets += _if_equal(family, allow)
    sockets += [(JUMP_IF_EQUAL, 0, len(route), socket.AF_NETLINK), *route]
    sockets += [_fail(errno.EAFNOSUPPORT)]
    program = [
        _load(ARCHITECTURE),
        # The 32-bit calls of the same processor have other numbers, and nobody needs them.
        *((JUMP_IF_EQUAL, 1, 0, machine.architecture), _fail(errno.ENOSYS)),
        _load(NUMBER),
        *((JUMP_IF_AT_LEAST, 0, 1, X32_CALLS), _fail(errno.ENOSYS)),
    ]
    for number in machine.absent:
        program += _if_equal(number, _fail(errno.ENOSYS))
    for number in machine.forbidden:
        program += _if_equal(number, _fail(errno.EPERM))
    program += [(JUMP_IF_EQUAL, 1, 0, machine.socket)]
    program += [(JUMP_IF_EQUAL, 0, len(sockets), machine.socketpair), *sockets, allow]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def _load(offset: int) -> Instruction:
    return (LOAD, 0, 0, offset)


def _fail(number: int) -> Instruction:
    return (RETURN, 0, 0, FAIL | number)


def _if_equal(value: int, action: Instruction) -> list[Instruction]:
    return [(JUMP_IF_EQUAL, 0, 1, value), action]


def leave_session_keyring(machine: Machine) -> None:
    """Give this process a session keyring of its own. Raises OSError.

    Where the kernel has no keyrings, or a container forbids them, there is nothing to leave.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(machine.keyctl, KEYCTL_JOIN_SESSION_KEYRING, None) < 0:
        number = ctypes.get_errno()
        if number not in (errno.ENOSYS, errno.EPERM):
            raise OSError(number, f"no session keyring: {os.strerror(number)}")


def main() -> None:
    """Leave the owner's keys behind, and exec bubblewrap with the filter."""
    bubblewrap, *arguments = sys.argv[1:]
    machine = MACHINES.get(os.uname().machine)
    if machine is not None:
        leave_session_keyring(machine)
        reading, writing = os.pipe()
        os.write(writing, system_call_filter(machine))  # a few hundred bytes, so it never blocks
        os.close(writing)
        os.set_inheritable(reading, True)
        arguments = ["--seccomp", str(reading), *arguments]
    os.execv(bubblewrap, [bubblewrap, *arguments])


if __name__ == "__main__":
    main()
