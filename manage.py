#!/usr/bin/env python
"""Django's command-line entry point for XeeNet."""

import os
import select
import sys
from typing import TextIO

# The status with which a shell reports a program that SIGPIPE ended.
_BROKEN_PIPE_STATUS = 128 + 13


def main() -> None:
    """Run one management command with the project's settings."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "xeenet_site.settings")
    try:
        from django.core.exceptions import ImproperlyConfigured
        from django.core.management import execute_from_command_line
    except ImportError as error:
        raise SystemExit(
            "Django is not installed for this Python. Run `python dev.py setup` once, "
            "then use .venv/bin/python (on Windows .venv\\Scripts\\python)."
        ) from error
    try:
        try:
            execute_from_command_line(sys.argv)
        finally:
            sys.stdout.flush()
    except ImproperlyConfigured as error:
        # Invalid settings: print only the message, which says what to do, without a traceback.
        raise SystemExit(f"Configuration: {error}") from error
    except BrokenPipeError:
        if not _output_is_closed():
            raise
        raise SystemExit(_BROKEN_PIPE_STATUS) from None


def _output_is_closed() -> bool:
    """Return whether the reader of our output has gone, as in `manage.py leaderboard | head`.

    What is still buffered then goes nowhere; otherwise Python would complain about it at its end.
    """
    closed = [stream for stream in (sys.stdout, sys.stderr) if _has_no_reader(stream)]
    for stream in closed:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return bool(closed)


def _has_no_reader(stream: TextIO) -> bool:
    try:
        stream.flush()
    except BrokenPipeError:
        return True
    if not hasattr(select, "poll"):  # Windows
        return False
    # Without a buffer there was nothing left to flush; the kernel knows whether anybody reads.
    poll = select.poll()
    poll.register(stream.fileno(), 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


if __name__ == "__main__":
    main()
