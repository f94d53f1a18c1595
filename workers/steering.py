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
from django.db.models import QuerySet

from workers import audit, lifecycle
from workers.joining import here
from workers.models import EnrolmentToken, Worker, WorkerState
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
