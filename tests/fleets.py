"""Fleet tokens and ephemeral workers for tests."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Any

from tests.factories import NOW
from workers import fleets
from workers.fleet_token import FleetToken
from workers.models import Worker

_numbers = itertools.count(1)


def fleet_token(*, now: dt.datetime = NOW, **fields: Any) -> tuple[FleetToken, str]:
    """Create a fleet token; return it with its secret."""
    number = next(_numbers)
    scope = {"label": f"fleet {number}", "name_prefix": f"fleet-{number}", "max_live": 100}
    return fleets.create(now=now, **scope | fields)


def fleet_worker(
    secret: str = "", *, now: dt.datetime = NOW, isolation: str = "", **of_token: Any
) -> Worker:
    """Enrol an ephemeral worker of a machine of its own, by default of a fleet of its own."""
    secret = secret or fleet_token(now=now, **of_token)[1]
    enrolled, _ = fleets.enrol(secret, machine_key=f"machine-{next(_numbers)}", now=now)
    Worker.objects.filter(pk=enrolled.pk).update(isolation=isolation)
    enrolled.isolation = isolation
    return enrolled
