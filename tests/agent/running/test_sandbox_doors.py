"""Isolation tier T1: the doors into the kernel that are shut inside, and the trial that looks."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.agent.runs import MIB, Run, linux_only, working_sandbox
from workers.agent.processes import guarded
from workers.agent.running import sandbox as sandbox_module
from workers.agent.running.enter_sandbox import MACHINES, system_call_filter
from workers.agent.running.environment import script_environment
from workers.agent.running.interpreter import Interpreter
from workers.agent.running.sandbox import SandboxUnavailable, find_sandbox
from workers.protocol import IsolationTier

pytestmark = linux_only

MACHINE = MACHINES.get(os.uname().machine)
needs_filter = pytest.mark.skipif(MACHINE is None, reason="no filter for this processor")
LIBC = ctypes.CDLL(None, use_errno=True)
IPC_CREAT, IPC_RMID = 0o1000, 0
SHARED_KEY = 0x0EE7

# Reports what the script could do: a number or True where it could, the error's name where not.
DOORS = """
import ctypes, errno, json, os, pathlib, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    result = libc.syscall(number, *arguments)
    return result if result >= 0 else errno.errorcode[ctypes.get_errno()]
def opened(*arguments):
    try:
        socket.socket(*arguments).close()
    except OSError as error:
        return errno.errorcode[error.errno]
    return True
def written(path, mode="r+b"):
    try:
        open(path, mode).close()
    except OSError as error:
        return errno.errorcode[error.errno]
    return True
"""


def inside(tmp_path: Path, source: str, **options: Any) -> Any:
    """Return what an expression in the sandbox evaluates to."""
    run = Run(tmp_path, DOORS + f"print(json.dumps({{'answer': {source}}}))", IsolationTier.T1)
    assert run.sandbox is not None
    if options:
        wrap = run.sandbox.wrap
        run.sandbox = _Wrapped(lambda command, **given: wrap(command, **given, **options))
    execution = run.execute(time_budget_seconds=30.0)
    assert execution.result is not None, execution.stderr_tail
    return execution.result["answer"]


class _Wrapped:
    def __init__(self, wrap: Any) -> None:
        self.wrap = wrap


@pytest.fixture
def shared_memory() -> Iterator[int]:
    """Make a System V segment, which every process of the machine can find by its key."""
    segment = LIBC.shmget(SHARED_KEY, 4096, IPC_CREAT | 0o666)
    assert segment >= 0
    yield segment
    LIBC.shmctl(segment, IPC_RMID, None)


def test_shared_memory_of_the_machine_is_not_found_inside(
    tmp_path: Path, shared_memory: int
) -> None:
    source = f"libc.shmget({SHARED_KEY}, 4096, 0)"
    outside = subprocess.run(
        [sys.executable, "-c", DOORS + f"print({source})"], capture_output=True, check=True
    )
    assert int(outside.stdout) == shared_memory
    assert inside(tmp_path, source) == -1


def test_the_names_of_the_machine_and_its_control_groups_are_not_inside(tmp_path: Path) -> None:
    assert inside(tmp_path, "os.uname().nodename") == "sandbox"
    groups = Path("/proc/self/ns/cgroup")
    if groups.exists():
        outside = str(groups.readlink())
        assert inside(tmp_path, "os.readlink('/proc/self/ns/cgroup')") != outside


def test_the_script_has_no_capabilities_and_can_gain_none(tmp_path: Path) -> None:
    source = (
        "[line.split()[1].strip('0') for line in open('/proc/self/status') if line[:3] == 'Cap']"
    )
    assert inside(tmp_path, source) == [""] * 5
    assert inside(tmp_path, "libc.unshare(0x10000000)") == -1


def test_only_sockets_of_its_own_loopback_can_be_made(tmp_path: Path) -> None:
    working_sandbox()
    if MACHINE is None:
        pytest.skip("no filter for this processor")
    allowed = [socket.AF_UNIX, socket.AF_INET, socket.AF_INET6]
    families = f"[opened(family) for family in {[int(family) for family in allowed]}]"
    assert inside(tmp_path, families) == [True, True, True]
    assert inside(tmp_path, "opened(socket.AF_NETLINK, socket.SOCK_RAW, 0)") is True
    closed = [family for family in range(1, 64) if family not in (*allowed, socket.AF_NETLINK)]
    kinds = f"{{opened(family, kind) for family in {closed} for kind in (1, 2, 3, 5)}}"
    assert inside(tmp_path, f"list({kinds})") == ["EAFNOSUPPORT"]
    others = "[opened(socket.AF_NETLINK, socket.SOCK_RAW, number) for number in range(1, 23)]"
    assert set(inside(tmp_path, others)) == {"EAFNOSUPPORT"}
    pair = f"call({MACHINE.socketpair}, 40, 1, 0, (ctypes.c_int * 2)())"
    assert inside(tmp_path, pair) == "EAFNOSUPPORT"


@needs_filter
def test_keyrings_io_uring_and_calls_of_attackers_are_refused(tmp_path: Path) -> None:
    assert MACHINE is not None
    calls = f"[call(number, 0, 0, 0, 0, 0) for number in {[*MACHINE.absent, *MACHINE.forbidden]}]"
    refused = ["ENOSYS"] * len(MACHINE.absent) + ["EPERM"] * len(MACHINE.forbidden)
    assert inside(tmp_path, calls) == refused


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="x32 exists on x86_64 only")
def test_the_same_calls_by_their_other_numbers_do_not_exist(tmp_path: Path) -> None:
    assert inside(tmp_path, "call(0x40000000 + 41, 40, 1, 0)") == "ENOSYS"


def test_the_names_of_the_owners_keys_cannot_be_read(tmp_path: Path) -> None:
    if not Path("/proc/keys").exists():
        pytest.skip("this kernel lists no keys")
    assert inside(tmp_path, "[written('/proc/keys', 'rb'), written('/proc/key-users', 'rb')]") == [
        "EACCES",
        "EACCES",
    ]


# Becomes bubblewrap's place-holder: it shows what the entrance leaves in the session keyring.
KEY_READER = """
import ctypes, errno, sys
libc = ctypes.CDLL(None, use_errno=True)
serial = libc.syscall({keyctl}, 10, -3, b"user", b"xeenet-test", 0)
print(serial if serial >= 0 else errno.errorcode[ctypes.get_errno()])
"""
KEY_OWNER = """
import ctypes, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)
assert libc.syscall({keyctl}, 1, None) >= 0  # a session of its own, for the test
assert libc.syscall({add_key}, b"user", b"xeenet-test", b"secret", 6, -3) >= 0
sys.exit(subprocess.run(sys.argv[1:]).returncode)
"""


@needs_filter
@pytest.mark.parametrize("entered", [True, False])
def test_the_sandbox_has_a_session_keyring_of_its_own(tmp_path: Path, entered: bool) -> None:
    assert MACHINE is not None
    numbers = {"keyctl": MACHINE.keyctl, "add_key": MACHINE.forbidden[0]}
    reader = tmp_path / "reader"
    body = textwrap.dedent(KEY_READER).format(**numbers)
    reader.write_text(f"#!{sys.executable}\n{body}")
    reader.chmod(0o755)
    entrance = [sys.executable, "-I", "-S", str(sandbox_module._ENTRANCE)] if entered else []
    owner = [sys.executable, "-c", KEY_OWNER.format(**numbers), *entrance, str(reader)]
    answer = subprocess.run(owner, capture_output=True, text=True, check=False)
    if answer.returncode != 0 and not entered:
        pytest.skip(f"no keyrings here: {answer.stderr[-200:]}")
    assert (answer.stdout.strip() == "ENOKEY") is entered


# The files that a script sees.


def test_what_a_script_may_read_it_may_not_write(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "set.txt").write_text("x")
    task = tmp_path / "task"
    task.mkdir()
    source = f"""[written({str(data / "set.txt")!r}), written(os.path.realpath(sys.executable)),
        written("/usr/xeenet", "w"), written("/xeenet", "w"), written("/tmp/xeenet", "w"),
        written("/dev/xeenet", "w"),
        written("here", "w")]"""
    answers = inside(task, source, readable=[data / "set.txt"])
    assert set(answers[:-1]) <= {"EROFS", "EACCES", "ETXTBSY"}
    assert answers[0] == "EROFS"
    assert answers[-1] is True


def test_nothing_in_proc_that_concerns_the_machine_can_be_opened_for_writing(
    tmp_path: Path,
) -> None:
    (tmp_path / "walk.py").write_text(
        textwrap.dedent(
            """
            import os
            writable = []
            for top, folders, files in os.walk("/proc"):
                if top == "/proc":
                    own = ("self", "thread-self")
                    folders[:] = [n for n in folders if not n.isdigit() and n not in own]
                for name in files:
                    try:
                        os.close(os.open(f"{top}/{name}", os.O_WRONLY | os.O_NONBLOCK))
                    except OSError:
                        continue
                    writable.append(f"{top}/{name}")
            """
        )
    )
    found = "__import__('runpy').run_path('walk.py')['writable']"
    assert inside(tmp_path, found) == []


def test_shared_memory_is_small(tmp_path: Path) -> None:
    source = 'os.statvfs("/dev/shm").f_blocks * os.statvfs("/dev/shm").f_frsize'
    assert inside(tmp_path, source) == 256 * MIB


def test_the_owners_home_inside_what_scripts_read_rules_the_sandbox_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    working_sandbox()
    python = Interpreter(sys.executable, "3.12.1", (tmp_path,))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with pytest.raises(SandboxUnavailable, match="lies in it"):
        find_sandbox(tmp_path.parent / "state", tmp_path, f"test/{uuid.uuid4()}", python)


# The trial at the agent's start.


@pytest.mark.parametrize(
    ("option", "values", "problem"),
    [
        ("--unshare-ipc", 0, "the namespace ipc"),
        ("--unshare-net", 0, "the namespace net"),
        ("--unshare-pid", 0, "the namespace pid"),
        ("--disable-userns", 0, "user namespaces can be made"),
        ("--cap-drop", 1, "there are capabilities"),
        ("/proc/sys", 1, "settings of the machine can be changed"),
        ("/proc/keys", 0, "the names of keys can be read"),
        ("entrance", 0, "the keyrings can be reached"),
        ("entrance", 0, "io_uring can be used"),
        ("entrance", 0, f"sockets of address family {int(socket.AF_VSOCK)} can be made"),
    ],
)
def test_the_trial_finds_each_hole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, values: int, problem: str
) -> None:
    whole = working_sandbox()
    if option == "--cap-drop" and os.geteuid() != 0:
        pytest.skip("an ordinary user's bubblewrap keeps no capabilities anyway")
    if option == "/proc/sys" and os.geteuid() != 0:
        pytest.skip("an ordinary user may change no settings anyway")
    if option == "/proc/keys" and not Path(option).exists():
        pytest.skip("this kernel lists no keys")
    if option == "entrance" and not _is_open_outside(problem):
        pytest.skip("closed outside, too")

    def wrap_with_a_hole(self: Any, command: list[str], **options: Any) -> list[str]:
        words = original(whole, command, **options)
        if option == "entrance":
            return words[words.index(whole.program) :]
        place = words.index(option)
        start = {"/proc/keys": place - 2, "/proc/sys": place - 1}.get(option, place)
        return words[:start] + words[place + 1 + values :]

    original = sandbox_module.Sandbox.wrap
    monkeypatch.setattr(sandbox_module.Sandbox, "wrap", wrap_with_a_hole)
    with pytest.raises(SandboxUnavailable, match="does not hold") as raised:
        find_sandbox(tmp_path, tmp_path, f"test/{uuid.uuid4()}")
    assert problem in str(raised.value)


def _is_open_outside(problem: str) -> bool:
    """Return whether the door stands open on this machine; somebody else may have shut it."""
    if MACHINE is None:
        return False
    if "keyrings" in problem:
        return int(LIBC.syscall(MACHINE.keyctl, 0, -3, 0)) >= 0
    if "io_uring" in problem:
        failed = LIBC.syscall(MACHINE.absent[0], 1, None) < 0
        return not failed or ctypes.get_errno() not in (errno.ENOSYS, errno.EPERM)
    try:
        socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM).close()
    except OSError:
        return False
    return True


def test_a_guardian_that_does_not_start_is_named_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    working_sandbox()
    monkeypatch.setattr(guarded, "_GUARDIAN", Path("/nowhere/guardian.py"))
    with pytest.raises(SandboxUnavailable, match="cannot be started"):
        find_sandbox(tmp_path, tmp_path, f"test/{uuid.uuid4()}")


# The filter's program, for every kind of processor.


def run_filter(program: bytes, *, architecture: int, number: int, first: int, third: int) -> int:
    """Interpret the few instructions that the filter uses; return its verdict."""
    data = {0: number, 4: architecture, 16: first, 32: third}
    instructions = list(struct.iter_unpack("=HBBI", program))
    place, value = 0, 0
    while True:
        code, if_true, if_false, operand = instructions[place]
        place += 1
        if code == 0x20:
            value = data[operand]
        elif code == 0x06:
            return int(operand)
        else:
            holds = value == operand if code == 0x15 else value >= operand
            place += if_true if holds else if_false


@pytest.mark.parametrize("name", list(MACHINES))
def test_the_filter_of_each_processor_allows_and_refuses_the_same(name: str) -> None:
    machine = MACHINES[name]
    program = system_call_filter(machine)

    def verdict(number: int, first: int = 0, third: int = 0, architecture: int = 0) -> int:
        architecture = architecture or machine.architecture
        return run_filter(
            program, architecture=architecture, number=number, first=first, third=third
        )

    allow, fail = 0x7FFF0000, 0x00050000
    assert verdict(1) == allow
    for call in (machine.socket, machine.socketpair):
        assert [verdict(call, family) for family in (1, 2, 10, 16)] == [allow] * 4
        assert {verdict(call, family) for family in (0, 3, 9, 11, 15, 17, 38, 40, 44)} == {
            fail | 97
        }
        assert verdict(call, 16, third=12) == fail | 97
    assert {verdict(number) for number in machine.forbidden} == {fail | 1}
    assert {verdict(number) for number in machine.absent} == {fail | 38}
    assert verdict(1, architecture=0x40000003) == fail | 38
    assert verdict(0x40000001) == fail | 38


def test_the_entrance_ends_with_the_reason_when_the_sandbox_cannot_be_entered(
    tmp_path: Path,
) -> None:
    answer = subprocess.run(
        [sys.executable, "-I", "-S", str(sandbox_module._ENTRANCE), "/nowhere/bwrap"],
        capture_output=True,
        text=True,
        check=False,
        env=script_environment(tmp_path, tmp_path),
    )
    assert answer.returncode != 0
    assert "No such file" in answer.stderr
