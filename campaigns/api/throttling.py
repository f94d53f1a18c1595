"""How often one caller may ask, by kind of request: the limits are in settings.XEENET.

Counted in the memory of each web server process, so that a limit costs no query: with N processes
a caller gets N times as much at the most. The limits are there to stop a program that runs wild,
and lie far above what an agent needs. What must hold exactly (tries to sign in) is counted in the
database.
"""

from __future__ import annotations

import time
import zlib
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.core.cache import caches
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from workers.models import Worker
from xeenet_site.web.client_address import client_address

if TYPE_CHECKING:  # the settings name this module, so it is loaded before the views are
    from rest_framework.views import APIView

CACHE: Final = "throttles"
WINDOW_SECONDS: Final = 60
ENROLMENTS: Final = "ENROLMENTS_PER_MINUTE"
ANONYMOUS: Final = "ANONYMOUS_REQUESTS_PER_MINUTE"
# The route's name -> the setting that limits it per caller.
_LIMITS: Final = {
    "api-claim": "CLAIMS_PER_MINUTE",
    "api-ask": "CLAIMS_PER_MINUTE",
    "api-heartbeat": "HEARTBEATS_PER_MINUTE",
    "api-result": "SUBMITS_PER_MINUTE",
    "api-release": "SUBMITS_PER_MINUTE",
    "api-enrol": ENROLMENTS,
}


class CallerThrottle(BaseThrottle):
    """Count a caller's requests of one kind within a minute; 0 as limit switches it off.

    The caller is the worker, the person, or for everybody else the address. Each caller's minutes
    begin at another second, so that those who had to wait do not all come back at once.
    """

    def __init__(self) -> None:
        self._wait_seconds = 0.0

    def allow_request(self, request: Request, view: APIView) -> bool:
        caller = _caller(request)
        match = request.resolver_match
        name = _LIMITS.get(match.url_name or "") if match is not None else None
        if name is None and not caller.startswith("address:"):
            return True
        name = name or ANONYMOUS
        limit: int = settings.XEENET[name]
        if limit <= 0:
            return True
        key = f"{name}:{caller}"
        shifted = time.time() + zlib.crc32(key.encode()) % WINDOW_SECONDS
        self._wait_seconds = WINDOW_SECONDS - shifted % WINDOW_SECONDS
        return _count(f"{key}:{int(shifted // WINDOW_SECONDS)}") <= limit

    def wait(self) -> float:
        return self._wait_seconds


def _caller(request: Request) -> str:
    if isinstance(request.auth, Worker):
        return f"worker:{request.auth.pk}"
    if request.user.is_authenticated:
        return f"person:{request.user.pk}"
    return f"address:{client_address(request)}"


def _count(key: str) -> int:
    """Return how many came in this window, this one included. Both steps are atomic."""
    cache = caches[CACHE]
    cache.add(key, 0, timeout=2 * WINDOW_SECONDS)
    try:
        return int(cache.incr(key))
    except ValueError:  # thrown out of the full cache in between
        return 1
