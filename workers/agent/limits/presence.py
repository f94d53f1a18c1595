"""What the helper in the person's session tells: one that the agent starts, or one of the person.

An agent that runs as a service is in no session. Then the person starts `xeenet-worker presence`
there, which writes into the state folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

from workers.agent.executables import module_words
from workers.agent.files import read_regular
from workers.agent.limits.session_helper import FILE_NAME
from workers.agent.processes.process_tree import start_own
from workers.protocol import is_number

_FRESH_SECONDS: Final = 15.0
_RESTART_SECONDS: Final = 60.0
_MAX_BYTES: Final = 4096
_MAX_SOURCE: Final = 200
_PACKAGES: Final = Path(__file__).parents[3]
# What the helper needs to find the session. The agent's secrets are not among it.
_VARIABLES: Final = (
    *("PATH", "HOME", "LANG", "DISPLAY", "XAUTHORITY", "WAYLAND_DISPLAY", "XDG_SESSION_TYPE"),
    *("XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "SYSTEMROOT", "WINDIR", "USERPROFILE"),
    *("LD_LIBRARY_PATH", "VIRTUAL_ENV"),
)


class Seen(NamedTuple):
    """What was told last. `source` says by whom, or why nobody tells."""

    idle_seconds: float | None = None
    source: str = ""
    metered: bool | None = None
    is_pending: bool = False  # the helper was just started


class Presence:
    """Starts the helper when it is first asked, and tells what is known."""

    def __init__(self, root: Path) -> None:
        self._file = root / FILE_NAME
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = -_RESTART_SECONDS
        self._told: tuple[float, Seen] | None = None  # when by the monotonic clock, and what

    def look(self) -> Seen:
        """Return what is known now; with two helpers the later input counts."""
        self._start()
        own = self._of_own_helper()
        other = self._of_file(time.time())
        if other is None or other.idle_seconds is None:
            return own
        if own.idle_seconds is None or other.idle_seconds < own.idle_seconds:
            return other._replace(metered=own.metered if own.metered is not None else other.metered)
        return own

    def stop(self) -> None:
        """End the helper that the agent started."""
        process, self._process = self._process, None
        if process is not None:
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
            process.kill()
            process.wait()

    def _start(self) -> None:
        """Start the helper, or start it again a while after it ended."""
        if self._process is not None and self._process.poll() is None:
            return
        now = time.monotonic()
        if now - self._started_at < _RESTART_SECONDS:
            return
        self._started_at = now
        environment = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
        try:
            self._process = start_own(
                module_words("workers.agent.limits.session_helper"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=_PACKAGES,
                env=environment | {"PYTHONPATH": str(_PACKAGES)},
                start_new_session=True,
            )
        except OSError as error:
            self._told = (now, Seen(source=f"its helper does not start: {error}"))
            return
        reader = threading.Thread(target=self._listen, args=(self._process,), daemon=True)
        reader.start()

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        """Take the helper's lines. The body of a thread."""
        with contextlib.suppress(OSError, ValueError):  # closed by `stop`
            while process.stdout is not None and (line := process.stdout.readline(_MAX_BYTES)):
                seen = read_seen(line)
                if seen is not None:
                    self._told = (time.monotonic(), seen)

    def _of_own_helper(self) -> Seen:
        if self._told is None:
            is_pending = time.monotonic() - self._started_at < _FRESH_SECONDS
            return Seen(source="its helper has not told yet", is_pending=is_pending)
        told_at, seen = self._told
        return _aged(seen, time.monotonic() - told_at)

    def _of_file(self, now_seconds: float) -> Seen | None:
        """Return what the person's helper wrote within the last seconds; None without one."""
        try:
            age = now_seconds - self._file.lstat().st_mtime
            seen = read_seen(read_regular(self._file, _MAX_BYTES))
        except OSError:
            return None
        return None if seen is None or abs(age) > _FRESH_SECONDS else _aged(seen, max(0.0, age))


def read_seen(line: bytes) -> Seen | None:
    """Return what a line of a helper tells; None for a line that is none."""
    try:
        value: Any = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    idle, metered = value.get("idle_seconds"), value.get("metered")
    return Seen(
        float(idle) if isinstance(idle, int | float) and is_number(idle) and idle >= 0 else None,
        str(value.get("source", ""))[:_MAX_SOURCE],
        metered if isinstance(metered, bool) else None,
    )


def _aged(seen: Seen, age: float) -> Seen:
    """Return what was told so many seconds ago as of now; too old, it tells nothing any more."""
    if seen.idle_seconds is None:
        return seen
    if age > _FRESH_SECONDS:
        return seen._replace(idle_seconds=None, source="its helper tells nothing any more")
    return seen._replace(idle_seconds=seen.idle_seconds + age)
