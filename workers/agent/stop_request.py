"""How another program asks an agent to stop: by a small file in the state folder.

Windows has no signal that lets a process end in its own way. The agent that is named gives its
tasks back; one that started since then is not meant.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Final

from workers.agent.files import read_regular, write_new
from workers.agent.state import STATUS_FILE
from workers.agent.status.file import read_status
from workers.agent.status.living import is_living, start_mark

STOP_FILE: Final = "stop-request.json"
_LOOK_SECONDS: Final = 0.2
_MAX_BYTES: Final = 4096


def ask_to_stop(root: Path, pid: int) -> None:
    """Ask the agent with this process number on ``root`` to stop. Raises OSError."""
    temporary = root / f"{STOP_FILE}.{os.getpid()}.tmp"
    write_new(temporary, json.dumps({"pid": pid, "mark": start_mark(pid)}), mode=0o600)
    temporary.replace(root / STOP_FILE)


def stop_agent(root: Path, seconds: float) -> bool:
    """Ask the agent that runs on ``root``, if any, to stop; return whether none runs afterwards.

    Raises OSError.
    """
    reading = read_status(root / STATUS_FILE)
    if reading.status is None or not reading.is_living:
        return True
    who, end = reading.status.identity, time.monotonic() + seconds
    ask_to_stop(root, who.pid)
    while is_living(who.pid, who.start_mark):
        if time.monotonic() > end:
            return False
        time.sleep(_LOOK_SECONDS)
    return True


def is_asked_to_stop(root: Path) -> bool:
    """Return whether this process is asked to stop; a request is taken away with that."""
    path = root / STOP_FILE
    try:
        content = read_regular(path, _MAX_BYTES)
    except FileNotFoundError:
        return False
    except OSError:
        content = b""
    with contextlib.suppress(OSError):
        path.unlink()
    try:
        asked = json.loads(content)
        pid, mark = asked["pid"], asked["mark"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return False
    own = os.getpid()
    return bool(pid == own and mark and mark == start_mark(own))
