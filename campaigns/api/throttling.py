"""How often one caller may send each kind of request. The limits are in settings.XEENET.

Requests are counted in the memory of each web server process, so that a limit costs no query; with
N processes a caller may get up to N times as many. The limits stop a program that runs wild, and
lie far above what an agent needs. A limit that must hold exactly (tries to sign in) is counted in
the database instead.
"""

from __future__ import annotations

import time
import zlib
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
