"""Become a command that gets SIGTERM when its parent ends. Linux only; runs as a plain file.

``python -I -S die_with_parent.py PARENT_PID COMMAND…``. For a `serve` or `demo` that is killed
with -9: its children then stop by themselves. A step of its own instead of ``preexec_fn``, which
may deadlock in a parent with several threads.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Bind the own life to the parent's and exec the command."""
    parent_pid, command = int(sys.argv[1]), sys.argv[2:]
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent_pid:  # the parent ended before the request above
        sys.exit(1)
    # Python ignores SIGPIPE, and an ignored signal would survive exec.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
