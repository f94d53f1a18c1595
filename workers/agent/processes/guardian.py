"""Stand between the agent and one script, so that nothing of the script outlives its run.

Linux only; runs as a plain file:

    python -I -S guardian.py SOCKET NAME=TAG FILE_BYTES ENCLOSURE CGROUP PRIORITY COMMAND…

The guardian starts the command and becomes the parent of every process that detaches from it. So it
can reap them while the script runs, and when it has no child left, nothing of the run is alive. It
ends the run when the agent closes the socket, which the kernel does for an agent that dies.

To the agent it writes lines: ``started PID [CGROUP]`` or ``error TEXT``, then ``ended CODE``
(negative for a signal), and last ``used SECONDS``, the processor time of the whole run. From the
agent it reads T, the request to send SIGTERM to the script.

ENCLOSURE is "namespace" (own process ids: its first process takes all others with it), "cgroup"
(the folder CGROUP), "scope" (a folder in the guardian's own cgroup), or "none". PRIORITY is
"normal", "low" or "idle"; the guardian keeps the agent's, so that it can end the run in time.
Where the kernel refuses it, the guardian writes ``priority TEXT``.

It is a program of its own because ``preexec_fn`` may deadlock in an agent with several threads, and
because it has to outlive the agent for a moment.
"""

import contextlib
import ctypes
import os
import resource
import select
import signal
import sys
import time

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID = 0x00020000, 0x10000000, 0x20000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_PRIVATE = 2, 4, 8, 0x4000, 0x40000
# Makes the kernel's out-of-memory killer choose the script, not the agent or its neighbours.
OOM_SCORE_ADJUSTMENT = "500"
# What systemd-run needed to make the scope; scripts have no use for it.
SCOPE_VARIABLES = ("XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")
# By priority: nice value, scheduling policy, and the disk's class and level (linux/ioprio.h).
IOPRIO_CLASS_SHIFT, BEST_EFFORT, DISK_IDLE = 13, 2, 3
PRIORITIES = {
    "low": (10, os.SCHED_OTHER, BEST_EFFORT << IOPRIO_CLASS_SHIFT | 7),
    "idle": (19, os.SCHED_IDLE, DISK_IDLE << IOPRIO_CLASS_SHIFT),
}
IOPRIO_SET = {"x86_64": 251, "aarch64": 30, "riscv64": 30}  # numbers of the system call
IOPRIO_WHO_PROCESS = 1
STRIKE_SECONDS = 4.0
REAPED_AT_A_TIME = 1_000
PAUSE_SECONDS = 0.002

libc = ctypes.CDLL(None, use_errno=True)


class Guardian:
    """The processes of one run, as their adoptive parent sees them."""

    def __init__(self, agent: int) -> None:
        self.agent = agent  # the socket
        self.child = 0  # the script, or the first process of its namespace
        self.has_namespace = False
        self.cgroup = ""
        self.exit_code: int | None = None

    def tell(self, line: str) -> None:
        """Write a line to the agent; nothing happens when the agent is gone."""
        with contextlib.suppress(OSError):
            os.write(self.agent, line.encode(errors="replace") + b"\n")

    def reap(self) -> bool:
        """Collect children that ended, some at a time; return whether any child is left."""
        for _ in range(REAPED_AT_A_TIME):
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self.child and self.exit_code is None:
                self.exit_code = os.waitstatus_to_exitcode(status)
                if self.exit_code != 0 or not self.has_namespace:  # else the first process told
                    self.tell(f"ended {self.exit_code}")
        return True

    def wait(self) -> None:
        """Return when the script has ended, or when the agent wants the end or is gone."""
        awake, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        poll = select.poll()
        poll.register(self.agent, select.POLLIN)
        poll.register(awake, select.POLLIN)
        self.reap()  # a child may have ended before the handler was in place
        while self.exit_code is None:
            ready = {handle for handle, _ in poll.poll(1_000)}
            if awake in ready:
                os.read(awake, 65_536)
            self.reap()
            if self.agent not in ready or self.exit_code is not None:
                continue
            if self.next_request() != b"T":
                return
            with contextlib.suppress(OSError):
                os.killpg(self.child, signal.SIGTERM)

    def next_request(self) -> bytes:
        """Return the agent's next request; b"" when it wants the end or is gone."""
        try:
            return os.read(self.agent, 1)
        except OSError:
            return b""

    def strike(self) -> bool:
        """Kill the children until none is left; return False when time runs out before.

        A killed child hands its own children over to the guardian, so the next round reaches them.
        """
        end = time.monotonic() + STRIKE_SECONDS
        before: list[int] = []
        while time.monotonic() < end:
            kill_cgroup(self.cgroup)
            children = children_of_this_process()
            for pid in children:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            if not self.reap():
                return True
            if children == before:  # nothing new to kill: let the kernel finish
                time.sleep(PAUSE_SECONDS)
            before = children
        return False


def children_of_this_process() -> list[int]:
    """Return the ids of the direct children, dead ones that are not reaped included."""
    own = os.getpid()
    try:
        with open(f"/proc/self/task/{own}/children") as file:  # noqa: PTH123 (starts faster)
            return [int(word) for word in file.read().split()]
    except OSError:  # a kernel without CONFIG_PROC_CHILDREN
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208
        return [pid for pid in pids if parent_of(pid) == own]


def parent_of(pid: int) -> int:
    """Return the id of a process's parent; 0 when the process is gone."""
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
            return int(file.read().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def used_seconds() -> float:
    """Return the processor time of this process and of all children that it has reaped.

    A process that ended counts in its parent, and one that detached counts here.
    """
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(times.ru_utime + times.ru_stime for times in used)


def kill_cgroup(folder: str) -> None:
    """Kill every process in the cgroup at once; nothing can be started in it meanwhile."""
    if folder:
        with contextlib.suppress(OSError):
            write(folder + "/cgroup.kill", "1")


def write(path: str, text: str) -> None:
    """Write into a file of the kernel, which must exist. Raises OSError."""
    handle = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(handle, text.encode())
    finally:
        os.close(handle)


def check(result: int, action: str) -> None:
    """Raise OSError when a call of the C library failed."""
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{action}: {os.strerror(number)}")


def die_with(parent: int) -> None:
    """Let the kernel kill this process when its parent, now ``parent``, ends."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before the request took effect
        os._exit(1)


def unshare_processes() -> None:
    """Give the next child a process-id namespace. Raises OSError.

    An ordinary user may do so only in a user namespace, in which the user stays the same.
    """
    user, group = os.geteuid(), os.getegid()
    if libc.unshare(CLONE_NEWPID) == 0:
        return
    check(libc.unshare(CLONE_NEWUSER | CLONE_NEWPID), "unshare")
    write("/proc/self/setgroups", "deny")
    write("/proc/self/uid_map", f"{user} {user} 1")
    write("/proc/self/gid_map", f"{group} {group} 1")


def mount_own_processes() -> None:
    """Show the namespace's own processes in /proc. Raises OSError."""
    check(libc.unshare(CLONE_NEWNS), "unshare")
    check(libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None), "mount /")
    flags = MS_NOSUID | MS_NODEV | MS_NOEXEC
    check(libc.mount(b"proc", b"/proc", b"proc", flags, None), "mount /proc")


def be_first_process(guardian: Guardian, script: int) -> None:
    """Reap everything in the namespace until the script ends, and tell how. Does not return."""
    while True:
        try:
            pid, status = os.waitpid(-1, 0)
        except ChildProcessError:
            os._exit(1)
        if pid == script:
            guardian.tell(f"ended {os.waitstatus_to_exitcode(status)}")
            os._exit(0)


def lower_limit(kind: int, value: int) -> None:
    """Set a resource limit to ``value`` for good, unless a stricter one is in force."""
    _, hard = resource.getrlimit(kind)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))


def stand_back(priority: str, cgroup: str) -> str:
    """Give this process, and so its children to come, a priority; return what did not work.

    The kernel compares nice values inside a group only. A desktop's kernel makes such a group of
    each session, and a service manager one of each cgroup, so these stand back as a whole, too.
    """
    if priority not in PRIORITIES:
        return ""
    nice, policy, disk = PRIORITIES[priority]
    problems = []
    try:
        nice = max(nice, os.getpriority(os.PRIO_PROCESS, 0))  # up again only root could go
        os.setpriority(os.PRIO_PROCESS, 0, nice)
        os.sched_setscheduler(0, policy, os.sched_param(0))
    except OSError as error:
        problems.append(f"processor: {error.strerror}")
    if number := IOPRIO_SET.get(os.uname().machine):
        try:
            check(libc.syscall(number, IOPRIO_WHO_PROCESS, 0, disk), "ioprio_set")
        except OSError as error:
            problems.append(f"disk: {error.strerror}")
    groups = [("/proc/self/autogroup", str(nice))]
    if cgroup:
        groups.append((cgroup + "/cpu.weight.nice", str(nice)))
        if policy == os.SCHED_IDLE:
            groups.append((cgroup + "/cpu.idle", "1"))
    for path, text in groups:
        with contextlib.suppress(OSError):  # a kernel without such groups
            write(path, text)
    return "; ".join(problems)


def become(command: list[str], tag: str, file_bytes: int, hidden: tuple[str, ...]) -> None:
    """Set the script's limits and become it. Raises OSError."""
    with contextlib.suppress(OSError):  # best effort: some containers forbid it
        write("/proc/self/oom_score_adj", OOM_SCORE_ADJUSTMENT)
    lower_limit(resource.RLIMIT_FSIZE, file_bytes)
    lower_limit(resource.RLIMIT_CORE, 0)  # a crash must not write a memory dump to the disk
    # Ignored signals would stay ignored after exec.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    for name in hidden:
        os.environ.pop(name, None)
    name, _, value = tag.partition("=")
    os.execve(command[0], command, {**os.environ, name: value})


def start(
    guardian: Guardian, enclosure: str, command: list[str], tag: str, size: int, priority: str
) -> str:
    """Start the command in its enclosure; return what went wrong, "" when it runs.

    The pipe closes by itself when the command takes the child's place.
    """
    problem, problem_end = os.pipe2(os.O_CLOEXEC)
    own = os.getpid()
    try:
        if enclosure == "scope":
            guardian.cgroup = make_cgroup_in_own()
        if enclosure == "namespace":
            unshare_processes()
    except OSError as error:
        return str(error)
    guardian.child = os.fork()
    if guardian.child == 0:
        try:
            os.setsid()
            die_with(0 if enclosure == "namespace" else own)
            if guardian.cgroup:
                write(guardian.cgroup + "/cgroup.procs", "0")
            if refused := stand_back(priority, guardian.cgroup):
                guardian.tell(f"priority {refused}")
            if enclosure == "namespace":
                mount_own_processes()
                script = os.fork()
                if script > 0:
                    os.close(problem_end)
                    leave_output()
                    be_first_process(guardian, script)
                die_with(1)
            become(command, tag, size, SCOPE_VARIABLES if enclosure == "scope" else ())
        except BaseException as error:  # noqa: BLE001 (the agent must hear of whatever it is)
            os.write(problem_end, str(error).encode(errors="replace")[:1_000])
        os._exit(1)
    os.close(problem_end)
    words = b""
    while chunk := os.read(problem, 1_000):
        words += chunk
    os.close(problem)
    return words.decode(errors="replace").replace("\n", " ")


def make_cgroup_in_own() -> str:
    """Make the script's cgroup inside the one that a service manager gave this process."""
    with open("/proc/self/cgroup") as file:  # noqa: PTH123
        own = next(line[3:].strip() for line in file if line.startswith("0::"))
    with open("/proc/self/mountinfo") as file:  # noqa: PTH123
        mount = next(line.split()[4] for line in file if " - cgroup2 " in line)
    folder = f"{mount}{own.rstrip('/')}/run"
    os.mkdir(folder)  # noqa: PTH102
    return folder


def leave_output() -> None:
    """Let go of the script's pipes and folder, so that only the script itself holds them."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    os.close(nothing)
    os.chdir("/")


def main() -> int:
    """Start the script, wait for its end or the agent's, and leave nothing of it behind."""
    agent, tag, size, enclosure, cgroup, priority, *command = sys.argv[1:]
    guardian = Guardian(int(agent))
    guardian.cgroup, guardian.has_namespace = cgroup, enclosure == "namespace"
    os.set_inheritable(guardian.agent, False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    problem = start(guardian, enclosure, command, tag, int(size), priority)
    leave_output()
    if problem:
        guardian.tell(f"error {problem}")
    else:
        guardian.tell(f"started {guardian.child} {guardian.cgroup}".rstrip())
        guardian.wait()
    clean = guardian.strike()
    guardian.tell(f"used {used_seconds():.3f}")
    if guardian.cgroup:
        with contextlib.suppress(OSError):
            os.rmdir(guardian.cgroup)  # noqa: PTH106
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main())
