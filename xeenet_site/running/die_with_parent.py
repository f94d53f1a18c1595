"""Become a command that gets SIGTERM when its parent ends. Linux only; runs as a plain file.

``python -I -S die_with_parent.py PARENT_PID COMMAND…``. When `serve` or `demo` is killed with
SIGKILL, its children then stop by themselves. This is a program of its own because ``preexec_fn``
may deadlock in a parent with several threads.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ask the kernel for SIGTERM at the parent's death, then exec the command."""
    parent_pid, command = int(sys.argv[1]), sys.argv[2:]
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent_pid:  # the parent had already ended before prctl
        sys.exit(1)
    # Python ignores SIGPIPE, and the command would inherit that through exec.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
