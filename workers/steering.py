"""What people do to workers: check the permission, apply the verb, write the audit entry.

Views, admin, API and commands call this. Every verb raises PermissionDenied when the actor is not
an operator, and the refusals of `workers.lifecycle`. An actor of None is the command line on the
server, which may do everything.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import TypeVar

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Count, Q, QuerySet

from workers import audit, lifecycle
from workers import fleets as fleet_verbs
from workers.fleet_token import FleetToken
from workers.joining import here
from workers.models import SHUT_OUT, EnrolmentToken, Worker, WorkerState
from xeenet_site.web import roles

T = TypeVar("T")


def invite(actor: User | None, *, now: dt.datetime, label: str = "") -> tuple[EnrolmentToken, str]:
    """Make a single-use enrolment token; return it with its secret."""
    _must_operate(actor)
    # One transaction: a change must not be committed without its audit entry.
    with transaction.atomic():
        token, secret = lifecycle.invite(now=now, label=label, created_by=actor)
        audit.record(actor, "invite", token, now=now)
    return token, secret


def invitations(actor: User | None) -> QuerySet[EnrolmentToken]:
    """Return every invitation, newest first, with `created_by` and `worker` loaded."""
    _must_operate(actor)
    return EnrolmentToken.objects.select_related("created_by", "worker")


def withdraw(actor: User | None, token: EnrolmentToken, *, now: dt.datetime) -> None:
    """Delete an unused invitation, so that nobody can join with it. Raises InvitationUsed."""
    _must_operate(actor)
    with transaction.atomic():
        lifecycle.withdraw(token)
        audit.record(actor, "withdraw", token, now=now)


def fleets(actor: User | None) -> QuerySet[FleetToken]:
    """Return every token of a fleet, newest first, with `created_by` loaded.

    `live` is how many of its workers live.
    """
    _must_operate(actor)
    counts = Count("workers", filter=~Q(workers__state__in=SHUT_OUT))
    return FleetToken.objects.select_related("created_by").annotate(live=counts)


def create_fleet(
    actor: User | None,
    *,
    now: dt.datetime,
    label: str,
    name_prefix: str,
    max_live: int,
    tier: str = "",
    lifetime: dt.timedelta | None = None,
) -> tuple[FleetToken, str]:
    """Make a fleet's token, valid for `lifetime` (None: until revoked); return it with its secret.

    The caller has checked the fields, as `FleetTokenForm` does.
    """
    _must_operate(actor)
    with transaction.atomic():
        token, secret = fleet_verbs.create(
            label=label,
            name_prefix=name_prefix,
            max_live=max_live,
            now=now,
            tier=tier,
            expires_at=now + lifetime if lifetime else None,
            created_by=actor,
        )
        detail = f"{max_live} live, names {name_prefix}-…, tier {tier or 'any'}"
        audit.record(actor, "create_fleet", token, now=now, detail=detail)
    return token, secret


def revoke_fleet(actor: User | None, token: FleetToken, *, now: dt.datetime) -> None:
    """Let nobody enrol with the token, and its workers claim no more. Raises FleetTokenRevoked."""
    _must_operate(actor)
    with transaction.atomic():
        fleet_verbs.revoke(token, now=now)
        audit.record(actor, "revoke_fleet", token, now=now)


def register(actor: User | None, name: str, *, now: dt.datetime) -> tuple[Worker, str]:
    """Make a worker without an invitation; return it with its token. Raises WorkerNameRefused."""
    _must_operate(actor)
    with transaction.atomic():
        worker, secret = lifecycle.register(name, now=now)
        audit.record(actor, "enrol", worker, now=now)
    return worker, secret


def run_here(actor: User | None, *, now: dt.datetime) -> None:
    """Let `serve` run a worker on the server's own machine, enrolled if it is not yet.

    Raises NotHere when this server may not.
    """
    _must_operate(actor)
    if why := here.why_not():
        raise lifecycle.NotHere(why)
    worker, secret = here.joined_worker(), ""
    with transaction.atomic():
        if worker is None:
            here.forget_credentials()
            token, secret = lifecycle.invite(now=now, label="this machine", created_by=actor)
            audit.record(actor, "invite", token, now=now)
        elif worker.state == WorkerState.DISABLED:
            raise lifecycle.NotHere(f"{worker} is disabled; resume it first.")
        else:
            audit.record(actor, "run_here", worker, now=now)
        _order(is_wanted=True, invitation=secret)


def stop_here(actor: User | None, *, now: dt.datetime) -> None:
    """Let `serve` end its worker, which gives its tasks back. Raises NotHere."""
    _must_operate(actor)
    worker = here.joined_worker()
    with transaction.atomic():
        if target := worker or actor:  # it may never have joined
            audit.record(actor, "stop_here", target, now=now)
        _order(is_wanted=False)


def _order(*, is_wanted: bool, invitation: str = "") -> None:
    try:
        here.order(is_wanted=is_wanted, invitation=invitation)
    except OSError as error:
        raise lifecycle.NotHere(f"The order cannot be written: {error}") from error


def drain(actor: User | None, worker: Worker, *, now: dt.datetime) -> None:
    """Let the worker finish the tasks it holds and claim no more. Raises WrongWorkerState."""
    _act(actor, lifecycle.drain, worker, now)


def resume(actor: User | None, worker: Worker, *, now: dt.datetime) -> None:
    """Let the worker claim again. Raises WrongWorkerState."""
    _act(actor, lifecycle.resume, worker, now)


def disable(actor: User | None, worker: Worker, *, now: dt.datetime) -> None:
    """Reject the worker's token from its next request on. Raises WrongWorkerState."""
    _act(actor, lifecycle.disable, worker, now)


def admit_calibration(actor: User | None, worker: Worker, *, now: dt.datetime) -> None:
    """Let the worker have work budgets although its values are off. Raises WrongWorkerState."""
    _must_operate(actor)
    with transaction.atomic():
        lifecycle.admit_calibration(worker, actor=actor, now=now)
        audit.record(actor, "admit_calibration", worker, now=now)


def rotate_token(actor: User | None, worker: Worker, *, now: dt.datetime) -> str:
    """Replace the worker's token, revoking the old one; return the new. Raises WrongWorkerState."""
    return _act(actor, lifecycle.rotate_token, worker, now)


def _act(actor: User | None, verb: Callable[[Worker], T], worker: Worker, now: dt.datetime) -> T:
    _must_operate(actor)
    with transaction.atomic():
        answer = verb(worker)
        audit.record(actor, verb.__name__, worker, now=now)
    return answer


def _must_operate(actor: User | None) -> None:
    if actor is not None and not roles.may_operate(actor):
        raise PermissionDenied("Only operators may invite and steer workers.")
