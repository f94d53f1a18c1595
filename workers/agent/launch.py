"""Start a command so that it dies with the agent. Linux only; runs as a plain file.

``python -I -S launch.py PARENT_PID FILE_BYTES COMMAND…`` asks the kernel to send SIGKILL to this
process when its parent ends and to let no file grow beyond FILE_BYTES, then becomes the command.
It is a separate program because ``preexec_fn`` may deadlock in an agent with several threads.
"""

import contextlib
import ctypes
import os
import resource
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
# Makes the kernel's out-of-memory killer choose the script, not the agent or its neighbours.
OOM_SCORE_ADJUSTMENT = b"500"


def lower_limit(kind: int, value: int) -> None:
    """Set a resource limit to ``value`` for good, unless a stricter one is in force."""
    _, hard = resource.getrlimit(kind)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))


def main() -> None:
    """Tie the life of this process to its parent's, then exec the command."""
    parent_pid, file_bytes, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:  # the agent ended before the request took effect
        os.kill(os.getpid(), signal.SIGKILL)
    with contextlib.suppress(OSError):  # best effort: some containers forbid it
        Path("/proc/self/oom_score_adj").write_bytes(OOM_SCORE_ADJUSTMENT)
    lower_limit(resource.RLIMIT_FSIZE, file_bytes)
    lower_limit(resource.RLIMIT_CORE, 0)  # a crash must not write a memory dump to the disk
    # Python ignores SIGPIPE, and an ignored signal would survive exec.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
