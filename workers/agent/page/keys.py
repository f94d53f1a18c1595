"""Who may see the page: tickets that open it once, and the tokens that they are exchanged for.

A ticket stands in the fragment of an address, so it gets into no log of requests. The page
exchanges it at once for a token of its own, which only its tab knows.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Callable
from typing import Final

TICKET_SECONDS: Final = 600.0
_MOST: Final = 16  # tickets, and tokens; the oldest go first


class Keys:
    """The tickets and tokens of one page, in memory only. Thread-safe."""

    def __init__(self, seconds: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        # By their hashes: a comparison that ends early tells nothing of the secret itself.
        self._tickets: dict[bytes, float] = {}
        self._tokens: dict[bytes, None] = {}

    def new_ticket(self) -> str:
        """Return a ticket that can be exchanged once within `TICKET_SECONDS`."""
        ticket = secrets.token_urlsafe(32)
        with self._lock:
            self._tickets[_hash(ticket)] = self._seconds() + TICKET_SECONDS
            _keep_newest(self._tickets)
        return ticket

    def exchange(self, ticket: str) -> str | None:
        """Return a token for a ticket, which that uses up; None for one that opens nothing."""
        token = secrets.token_urlsafe(32)
        with self._lock:
            ends_at = self._tickets.pop(_hash(ticket), None)
            if ends_at is None or self._seconds() >= ends_at:
                return None
            self._tokens[_hash(token)] = None
            _keep_newest(self._tokens)
        return token

    def still_opens(self, ticket: str) -> bool:
        """Return whether a ticket can be exchanged now; that does not use it up."""
        with self._lock:
            ends_at = self._tickets.get(_hash(ticket))
        return ends_at is not None and self._seconds() < ends_at

    def knows(self, token: str) -> bool:
        """Return whether this token was given out."""
        with self._lock:
            return _hash(token) in self._tokens


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _keep_newest(secrets_by_hash: dict[bytes, float] | dict[bytes, None]) -> None:
    while len(secrets_by_hash) > _MOST:
        del secrets_by_hash[next(iter(secrets_by_hash))]
