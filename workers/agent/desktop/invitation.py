"""What a person pastes to join: a link, a whole command, or the invitation alone. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

_TOKEN: Final = re.compile(r"xe_[A-Za-z0-9_-]{20,200}")
_ADDRESS: Final = re.compile(r"https?://[^\s'\"<>`]+", re.IGNORECASE)
_SERVER_OPTION: Final = re.compile(r"--server[=\s]+['\"]?(https?://[^\s'\"<>`]+)", re.IGNORECASE)
_MAX_CHARACTERS: Final = 4000
_MAX_CANDIDATES: Final = 6


@dataclass(frozen=True)
class Invitation:
    """An enrolment token, and where its server may be: the likeliest address first."""

    token: str = ""
    candidates: tuple[str, ...] = ()


def read_invitation(text: str, server: str = "") -> Invitation:
    """Return what is in a pasted text; ``server`` is an address that the person typed beside it.

    The token is never part of an address: a link with the token in its path ends before it.
    """
    text = text[:_MAX_CHARACTERS]
    token = match.group() if (match := _TOKEN.search(text)) else ""
    named = server.strip()
    if not named and (option := _SERVER_OPTION.search(text)):
        named = option.group(1)
    if not named and (address := _ADDRESS.search(text)):
        named = address.group()
    elif named and "://" not in named:
        named = f"https://{named}"
    return Invitation(token, _candidates(named))


def _candidates(address: str) -> tuple[str, ...]:
    """Return the addresses at which the server of a link may be, the longest path last.

    A server may lie below a path of its site, and the link leads to a page below that.
    """
    try:
        parts = urlsplit(address)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.port == 0:
            return ()
    except ValueError:  # a port that is no number, a broken IPv6 address
        return ()
    host = parts.netloc.rpartition("@")[2]
    base, found = f"{parts.scheme}://{host}", []
    for segment in ["", *filter(None, parts.path.split("/"))]:
        if _TOKEN.search(segment):
            break
        base = f"{base}/{segment}" if segment else base
        found.append(base)
    return tuple(found[:_MAX_CANDIDATES])
