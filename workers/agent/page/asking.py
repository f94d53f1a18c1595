"""How another program asks a running agent for its page: two small files in the state folder.

The one who asks writes `REQUEST_FILE`; the agent serves its page and writes the address into
`ANSWER_FILE`, which only the owner can read. Nobody needs the state folder's lock.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import time
from pathlib import Path
from typing import Final

from workers.agent.files import read_regular, write_new
from workers.agent.state import STATUS_FILE
from workers.agent.status.file import read_status

REQUEST_FILE: Final = "page-request.json"
ANSWER_FILE: Final = "page-answer.json"
ASK_SECONDS: Final = 15.0
_LOOK_SECONDS: Final = 0.1
_STALE_SECONDS: Final = 60.0  # nobody waits for the answer any more
_MAX_BYTES: Final = 4096
_ID: Final = re.compile(r"[0-9a-f]{32}")
# A program of this user could answer in the agent's place, but send nobody to another machine.
_ADDRESS: Final = re.compile(r"http://127\.0\.0\.1:[0-9]{1,5}/#[A-Za-z0-9_-]{20,100}")


class NoPage(Exception):
    """The agent gave no address; the message says why and what to do."""


class NoAgent(NoPage):
    """No agent runs on this state folder."""


def ask_for_page(root: Path, seconds: float = ASK_SECONDS) -> str:
    """Return an address of the page of the agent that runs on the state folder ``root``.

    It opens the page once, within ten minutes. Raises `NoAgent`, `NoPage`, OSError.
    """
    reading = read_status(root / STATUS_FILE)
    if not reading.is_living:
        raise NoAgent(f"No agent runs on {root}.")
    request_id = secrets.token_hex(16)
    _write(root, REQUEST_FILE, {"id": request_id})
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            if (address := _answer(root, request_id)) is not None:
                return address
            time.sleep(_LOOK_SECONDS)
    finally:
        for name in (REQUEST_FILE, ANSWER_FILE):
            with contextlib.suppress(OSError):
                (root / name).unlink()
    raise NoPage(
        f"The agent on {root} does not answer. It hangs, or is too old to have a page: "
        "see `xeenet-worker status`."
    )


def take_request(root: Path) -> str:
    """Return the id of a request that waits, and remove it; "" when nobody asks."""
    path = root / REQUEST_FILE
    try:
        age = time.time() - path.lstat().st_mtime
        content = read_regular(path, _MAX_BYTES)
    except FileNotFoundError:
        return ""
    except OSError:
        content, age = b"", 0.0
    with contextlib.suppress(OSError):
        path.unlink()
    request_id = _text(content, "id")
    return request_id if _ID.fullmatch(request_id) and abs(age) < _STALE_SECONDS else ""


def write_answer(root: Path, request_id: str, address: str) -> None:
    """Tell the one who asked the address. Raises OSError."""
    _write(root, ANSWER_FILE, {"id": request_id, "address": address})


def _answer(root: Path, request_id: str) -> str | None:
    try:
        content = read_regular(root / ANSWER_FILE, _MAX_BYTES)
    except OSError:
        return None
    address = _text(content, "address")
    is_ours = _text(content, "id") == request_id
    return address if is_ours and _ADDRESS.fullmatch(address) else None


def _text(content: bytes, name: str) -> str:
    """Return a text of a JSON object; "" when there is none."""
    try:
        value = json.loads(content)[name]
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""
    return value if isinstance(value, str) else ""


def _write(root: Path, name: str, value: dict[str, str]) -> None:
    temporary = root / f"{name}.{os.getpid()}.tmp"
    write_new(temporary, json.dumps(value), mode=0o600)
    temporary.replace(root / name)
