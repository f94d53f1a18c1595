"""Tell an agent what only a program in the person's session can see. A process of its own.

    python -m workers.agent.limits.session_helper [FILE]

Every few seconds it writes a line of JSON to stdout, or anew into FILE: since when the person has
not touched anything, who tells so, and whether the network is metered. It is a process of its own
because a library of X11 ends its process together with the X server, and because other programs,
which it asks, may hang. Without FILE it ends when its stdin closes, so it never outlives its agent.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from workers.agent.files import write_new
from workers.agent.limits.idle import Source, find_source
from workers.agent.limits.sensors import metered

FILE_NAME: Final = "presence.json"
LOOK_SECONDS: Final = 2.0
_METERED_EVERY: Final = 15  # looks


class Observer:
    """Looks at the session; one that has no source of idle times yet tries to find one."""

    def __init__(
        self,
        find: Callable[[], tuple[Source | None, str]] = find_source,
        is_metered: Callable[[], bool | None] = metered,
    ) -> None:
        self._find = find
        self._is_metered = is_metered
        self._source: Source | None = None
        self._name = ""
        self._looks = 0
        self._metered: bool | None = None

    def look(self) -> dict[str, Any]:
        """Return what there is to tell now."""
        if self._looks % _METERED_EVERY == 0:
            self._metered = self._is_metered()
            if self._source is None:
                self._source, self._name = self._find()
        self._looks += 1
        idle = None if self._source is None else self._source()
        return {"idle_seconds": idle, "source": self._name, "metered": self._metered}


def write_presence(path: Path, seen: dict[str, Any]) -> None:
    """Put the observation into the file, whole, for the owner only. Raises OSError."""
    temporary = path.with_name(f"presence.{os.getpid()}.tmp")
    write_new(temporary, json.dumps(seen), mode=0o600)
    temporary.replace(path)


def main(arguments: list[str]) -> int:
    """Tell until the agent is gone, or for ever into a file."""
    observer = Observer()
    if arguments:
        path = Path(arguments[0])
        try:
            while True:
                write_presence(path, observer.look())
                time.sleep(LOOK_SECONDS)
        except KeyboardInterrupt:
            return 0
        finally:
            path.unlink(missing_ok=True)
    ended = threading.Event()

    def wait_for_the_end() -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stdin.buffer.read()
        ended.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    while not ended.is_set():
        try:
            print(json.dumps(observer.look()), flush=True)
        except OSError:  # the agent is gone
            break
        ended.wait(LOOK_SECONDS)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
