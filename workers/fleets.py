"""Fleet tokens and the ephemeral workers that enrol with them, one function per verb.

An ephemeral worker is one job on one machine of a fleet. Its identity is the fleet's token, the
machine's key and which of the jobs there at a time it is: the next job on the machine gets the same
worker, with its name and its measured speed. Between two jobs it is retired.

| verb          | from             | to      | effect                                            |
|---------------|------------------|---------|---------------------------------------------------|
| create        | –                | –       | makes a fleet token                               |
| revoke        | –                | –       | nobody enrols with it; its workers claim no more  |
| enrol         | –, retired       | active  | makes a worker of the fleet, or revives one       |
| retire_silent | active, draining | retired | its token is dead, lists and counts hide it       |
| prune         | retired          | –       | deletes workers that nothing refers to            |

A worker that says good-bye is retired by `workers.lifecycle.leave`.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import secrets
from typing import Any, Final

from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import F, Max, ProtectedError, Q, Value

from workers.fleet_token import FleetToken
from workers.lifecycle import DEAD_TOKEN, EnrolmentRefused, WorkerError, WorkerNameTaken
from workers.models import Calibration, Worker, WorkerState
from workers.tokens import FLEET_PREFIX, WORKER_PREFIX, hash_token, new_token

# A retired worker that never had a task is kept so long for the next job on its machine.
KEPT_FOR: Final = dt.timedelta(days=7)
# A job that finds its fleet full tries again after so many seconds; the spread parts the jobs.
RETRY_AFTER_SECONDS: Final = 20
RETRY_AFTER_SPREAD_SECONDS: Final = 20
_LIVE: Final = (WorkerState.ACTIVE, WorkerState.DRAINING)
# Characters of the digest that stands in a worker's name, and of the next try when it is taken.
_NAME_DIGITS: Final = (8, 32)


class FleetFull(WorkerError):
    """As many workers of this fleet live as its token allows; try again when one has ended."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.retry_after = RETRY_AFTER_SECONDS + secrets.randbelow(RETRY_AFTER_SPREAD_SECONDS)


class FleetTokenRevoked(WorkerError):
    """This fleet token is revoked already."""


def create(
    *,
    label: str,
    name_prefix: str,
    max_live: int,
    now: dt.datetime,
    tier: str = "",
    expires_at: dt.datetime | None = None,
    created_by: User | None = None,
) -> tuple[FleetToken, str]:
    """Make a fleet token; return it with the secret, which is not stored.

    The caller has checked the fields, as `FleetToken.full_clean` does.
    """
    secret = new_token(FLEET_PREFIX)
    token = FleetToken.objects.create(
        label=label,
        token_hash=hash_token(secret),
        name_prefix=name_prefix,
        max_live=max_live,
        tier=tier,
        expires_at=expires_at,
        created_by=created_by,
        created_at=now,
    )
    return token, secret


def revoke(token: FleetToken, *, now: dt.datetime) -> None:
    """Let nobody enrol with the token, and its workers claim no more. Raises FleetTokenRevoked."""
    if not FleetToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=now):
        raise FleetTokenRevoked
    token.revoked_at = now


def find_open(token_hash: str, *, now: dt.datetime) -> FleetToken | None:
    """Return the token with this hash, unless it is unknown, revoked or expired."""
    token = FleetToken.objects.filter(token_hash=token_hash).first()
    return token if token is not None and token.is_open(now) else None


def enrol(
    secret: str,
    *,
    machine_key: str,
    now: dt.datetime,
    hardware: dict[str, Any] | None = None,
    agent_version: str = "",
) -> tuple[Worker, str]:
    """Give a job on a fleet's machine its worker; return it with its token, which is not stored.

    It is the machine's retired worker, come back to life, or a new one while all of that machine
    live. Raises EnrolmentRefused, FleetFull, and WorkerNameTaken.
    """
    token_hash, worker_secret = hash_token(secret), new_token(WORKER_PREFIX)
    with transaction.atomic():
        # This update locks the token's row, so that enrolments with one token come one after the
        # other: otherwise two that count at once exceed max_live, and two jobs on one machine get
        # the same worker.
        is_open = Q(revoked_at=None) & (Q(expires_at=None) | Q(expires_at__gt=now))
        tokens = FleetToken.objects.filter(token_hash=token_hash)
        if not tokens.filter(is_open).update(last_used_at=now):
            raise EnrolmentRefused(
                "This fleet token is unknown, revoked or expired; ask the operator for a new one."
            )
        token = tokens.get()
        # Not only the job does so, because a full fleet must not depend on a running q-cluster.
        retire_silent(now=now, of=token)
        if Worker.objects.live_of(token).count() >= token.max_live:
            raise FleetFull(
                f"{token.max_live} workers of the fleet {token} live, as many as its token allows; "
                "try again when one has ended."
            )
        of_machine = Worker.objects.filter(fleet_token=token, machine_key=machine_key)
        if disabled := of_machine.filter(state=WorkerState.DISABLED).first():
            raise EnrolmentRefused(
                f"The worker {disabled} of this machine is disabled; an operator can resume it."
            )
        present = {
            "token_hash": hash_token(worker_secret),
            "state": WorkerState.ACTIVE,
            "agent_version": agent_version,
            "enrolled_at": now,
            # Its silence counts from here.
            "last_seen_at": now,
        }
        retired = of_machine.filter(state=WorkerState.RETIRED).order_by("machine_job").first()
        if retired is None:
            worker = _new(token, machine_key, hardware=hardware or {}, **present)
        else:
            # A pause after its own errors stays: otherwise the next job has them again at once.
            present["hardware"] = hardware or retired.hardware
            Worker.objects.filter(pk=retired.pk).update(**present)
            worker = Worker.objects.get(pk=retired.pk)
        _inherit_calibrations(worker)
    return worker, worker_secret


def _new(token: FleetToken, machine_key: str, **fields: Any) -> Worker:
    of_machine = Worker.objects.filter(fleet_token=token, machine_key=machine_key)
    job = (of_machine.aggregate(last=Max("machine_job"))["last"] or 0) + 1
    digest = hashlib.sha256(f"{token.pk}:{machine_key}".encode()).hexdigest()
    for digits in _NAME_DIGITS:
        name = f"{token.name_prefix}-{digest[:digits]}{f'-{job}' if job > 1 else ''}"
        try:
            with transaction.atomic():
                return Worker.objects.create(
                    name=name,
                    fleet_token=token,
                    machine_key=machine_key,
                    machine_job=job,
                    **fields,
                )
        except IntegrityError:
            continue  # somebody else has the name
    raise WorkerNameTaken


def retire_silent(*, now: dt.datetime, of: FleetToken | None = None, limit: int = 500) -> int:
    """Retire up to `limit` ephemeral workers that were silent for too long; return how many.

    One that still holds a lease stays until the lease is taken back.
    """
    since = now - dt.timedelta(seconds=settings.XEENET["FLEET_SILENCE_SECONDS"])
    ephemeral = Q(fleet_token__isnull=False) if of is None else Q(fleet_token=of)
    beyond_its_lease = Q(lease_time=None) | Q(last_seen_at__lt=Value(now) - F("lease_time"))
    silent = Worker.objects.filter(
        ephemeral, beyond_its_lease, state__in=_LIVE, last_seen_at__lt=since, leased_tasks=None
    )
    batch = list(silent.order_by("last_seen_at").values_list("pk", flat=True)[:limit])
    # Filter again by silence: a worker that called after the select lives on.
    return silent.filter(pk__in=batch).update(state=WorkerState.RETIRED, token_hash=DEAD_TOKEN)


def prune(*, now: dt.datetime, limit: int = 500) -> int:
    """Delete up to `limit` retired workers that nothing refers to; return how many.

    Their own sessions and calibrations go with them, so they are kept for a while.
    """
    unused = Worker.objects.filter(
        state=WorkerState.RETIRED,
        last_seen_at__lt=now - KEPT_FOR,
        attempts=None,
        leased_tasks=None,
    )
    pruned = 0
    for pk in list(unused.order_by("last_seen_at").values_list("pk", flat=True)[:limit]):
        try:
            # Guarded by the state: one that came back to life meanwhile stays.
            with transaction.atomic():
                pruned += bool(unused.filter(pk=pk).delete()[0])
        except ProtectedError:
            continue  # something refers to it after all
    return pruned


def _siblings(worker: Worker) -> Any:
    """Return the other workers of the machine of an ephemeral worker."""
    of_machine = Worker.objects.filter(
        fleet_token=worker.fleet_token_id, machine_key=worker.machine_key
    )
    return of_machine.exclude(pk=worker.pk)


def _inherit_calibrations(worker: Worker) -> None:
    """Copy what the machine's other workers measured of its speed later than this one."""
    known: set[tuple[str, str]] = set()
    rows = Calibration.objects.filter(worker__in=[worker, *_siblings(worker)])
    for calibration in rows.order_by("-taken_at", "-id"):
        of_script = calibration.experiment, calibration.script_sha256
        if of_script not in known:
            known.add(of_script)
            if calibration.worker_id != worker.pk:
                _copy(calibration, worker)


def share_calibration(calibration: Calibration) -> None:
    """Copy a new measurement to the other live workers of the machine, so that none repeats it."""
    if calibration.worker.fleet_token_id is None:
        return
    for sibling in _siblings(calibration.worker).filter(state__in=_LIVE):
        _copy(calibration, sibling)


def _copy(calibration: Calibration, worker: Worker) -> None:
    copy = Calibration.objects.get(pk=calibration.pk)
    copy.pk, copy.worker = None, worker
    copy.save(force_insert=True)
