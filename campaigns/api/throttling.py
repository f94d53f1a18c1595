"""How often one caller may send each kind of request. The limits are in settings.XEENET.

Requests are counted in the memory of each web server process, so that a limit costs no query; with
N processes a caller may get up to N times as many. The limits stop a program that runs wild, and
lie far above what an agent needs. A limit that must hold exactly (tries to sign in) is counted in
the database instead.
"""

from __future__ import annotations

import time
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.core.cache import caches
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from workers.fleet_token import FleetToken
from workers.models import Worker
from xeenet_site.web.client_address import client_address

if TYPE_CHECKING:  # REST framework loads this module from its settings, before its views
    from rest_framework.views import APIView

CACHE: Final = "throttles"
WINDOW_SECONDS: Final = 60
ENROLMENTS: Final = "ENROLMENTS_PER_MINUTE"
ANONYMOUS: Final = "ANONYMOUS_REQUESTS_PER_MINUTE"
# Name of the route -> the setting with its limit per caller.
_LIMITS: Final = {
    "api-claim": "CLAIMS_PER_MINUTE",
    "api-ask": "CLAIMS_PER_MINUTE",
    "api-heartbeat": "HEARTBEATS_PER_MINUTE",
    "api-result": "SUBMITS_PER_MINUTE",
    # Each result of a list counts.
    "api-results-of-agents": "SUBMITS_PER_MINUTE",
    "api-release": "SUBMITS_PER_MINUTE",
    "api-calibration": "CALIBRATIONS_PER_MINUTE",
    "api-enrol": ENROLMENTS,
    "api-fleet-demand": "FLEET_DEMANDS_PER_MINUTE",
}


class CallerThrottle(BaseThrottle):
    """Limit a caller's requests of one kind per minute. A limit of 0 means no limit.

    The caller is the worker, the person, or for anonymous requests the address. The minute starts
    at a different second for each caller, so that throttled callers do not all retry at once.
    """

    def __init__(self) -> None:
        self._wait_seconds = 0.0

    def allow_request(self, request: Request, view: APIView) -> bool:
        caller = _caller(request)
        window = _window(request, caller)
        if window is None:
            return True
        self._wait_seconds = window.wait_seconds
        return _count(window.key) <= window.limit

    def wait(self) -> float:
        return self._wait_seconds


@dataclass(frozen=True)
class _Window:
    """The minute in which a request is counted."""

    key: str
    limit: int
    wait_seconds: float


def _window(request: Request, caller: str) -> _Window | None:
    """Return where to count the request; None for one without a limit."""
    match = request.resolver_match
    name = _LIMITS.get(match.url_name or "") if match is not None else None
    if name is None and not caller.startswith("address:"):
        return None
    name = name or ANONYMOUS
    limit: int = settings.XEENET[name]
    if limit <= 0:
        return None
    key = f"{name}:{caller}"
    shifted = time.time() + zlib.crc32(key.encode()) % WINDOW_SECONDS
    wait_seconds = WINDOW_SECONDS - shifted % WINDOW_SECONDS
    return _Window(f"{key}:{int(shifted // WINDOW_SECONDS)}", limit, wait_seconds)


def of_worker(token_hash: str) -> str:
    """Return the name under which the requests with a worker's token are counted."""
    return f"worker:{token_hash}"


def wait_of_known(request: Request, caller: str) -> float | None:
    """Count the request of a caller that has made others in this minute, and was let in.

    Returns for how many seconds it has to wait: 0 while it is within its limit. None if this is its
    first, to be counted once it is let in: tokens that open nothing would fill the counts.
    """
    window = _window(request, caller)
    if window is None:
        return 0.0
    try:
        count = int(caches[CACHE].incr(window.key))
    except ValueError:
        return None
    return window.wait_seconds if count > window.limit else 0.0


def count_first(request: Request, caller: str) -> None:
    """Count a request that `wait_of_known` did not count."""
    if window := _window(request, caller):
        _count(window.key)


def _caller(request: Request) -> str:
    if isinstance(request.auth, Worker):
        return of_worker(request.auth.token_hash)
    if isinstance(request.auth, FleetToken):
        return f"fleet:{request.auth.pk}"
    if request.user.is_authenticated:
        return f"person:{request.user.pk}"
    return f"address:{client_address(request)}"


def _count(key: str) -> int:
    """Return the number of requests in this window, this one included. Both steps are atomic."""
    cache = caches[CACHE]
    cache.add(key, 0, timeout=2 * WINDOW_SECONDS)
    try:
        return int(cache.incr(key))
    except ValueError:  # the full cache evicted the key between the two steps
        return 1
