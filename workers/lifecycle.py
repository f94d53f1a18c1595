"""Every change of a worker's state or presence, one function per verb.

What only ephemeral workers know is in `workers.fleets`.

| verb    | from               | to       | effect                                               |
|---------|--------------------|----------|------------------------------------------------------|
| invite  | –                  | –        | makes a single-use enrolment token                   |
| withdraw | –                 | –        | deletes an unused invitation                         |
| enrol   | –                  | active   | uses up the invitation, makes a worker token         |
| identity_of | –              | active   | makes a worker without token for a person's program  |
| see     | active, draining   | same     | records presence, where due (any authenticated call) |
| pause   | active             | active   | no claims for a while: after an error of its         |
|         |                    |          | environment (twice as long each time), after a loss  |
| drain   | active             | draining | finishes the tasks it holds, claims no more          |
| resume  | draining, disabled | active   | claims again; also lifts a pause                     |
| disable | active, draining   | disabled | its token is rejected from the next request on       |
| leave   | active, draining   | disabled | its agent's owner ended it: its token is dead for good |
| leave   | active, draining   | retired  | the same for an ephemeral worker: `workers.fleets`   |
| note_slots | any               | same     | stores how many tasks its agent runs at once         |
| note_owner_pause | any         | same     | stores whether its owner's rules pause its agent     |
| note_pace | any                | same     | stores how long its leases last after a heartbeat    |
| admit_calibration | any      | same     | work budgets again, although its values are off      |
| rotate  | active, draining   | same     | makes a new token; the old one is rejected           |
"""

from __future__ import annotations

import datetime as dt
import inspect
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import CharField, F, Q, QuerySet, Value
from django.db.models.functions import Cast, Concat, Least

from workers import presence
from workers.models import EnrolmentToken, Worker, WorkerSession, WorkerState
from workers.pace import Pace, usual
from workers.scripts import believed
from workers.tokens import ENROLMENT_PREFIX, WORKER_PREFIX, hash_token, new_token
from xeenet_site.web.formats import whole_minute

MAX_PAUSE = dt.timedelta(hours=1)
MAX_ENV_ERRORS = 1_000
_SAME_END = dt.timedelta(minutes=2)
MAX_NAME_LENGTH = 100
# The worker names of people's own programs begin with this.
PROGRAM_PREFIX = "ask:"
# What no token has as its hash, another one for each worker.
DEAD_TOKEN = Concat(Value("dead "), Cast("pk", CharField()))
# Why a worker is disabled that ended itself.
LEFT = "It left: whoever runs its machine ended it there."


class WorkerError(Exception):
    """Base of every refusal of a worker verb; a subclass's docstring is its default message."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or inspect.getdoc(type(self)))


class EnrolmentRefused(WorkerError):
    """The enrolment token is unknown, used or expired; ask the operator for a new one."""


class InvitationUsed(WorkerError):
    """A worker has joined with this invitation; disable the worker instead."""


class WorkerNameRefused(WorkerError):
    """A machine cannot have this name; choose another."""


class WorkerNameTaken(WorkerNameRefused):
    """A worker of this name is already enrolled; choose another name."""


class WorkerNameReserved(WorkerNameRefused):
    """This name is reserved for people's own programs; choose another name."""


class WrongWorkerState(WorkerError):
    """The worker is not in a state that allows this."""


class NotHere(WorkerError):
    """No worker can be run on the server's own machine."""


def invite(
    *, now: dt.datetime, label: str = "", created_by: User | None = None
) -> tuple[EnrolmentToken, str]:
    """Make a single-use enrolment token; return it with the secret, which is not stored."""
    secret = new_token(ENROLMENT_PREFIX)
    lifetime = dt.timedelta(hours=settings.XEENET["ENROLMENT_TOKEN_HOURS"])
    token = EnrolmentToken.objects.create(
        token_hash=hash_token(secret),
        label=label,
        created_by=created_by,
        created_at=now,
        expires_at=now + lifetime,
    )
    return token, secret


def withdraw(token: EnrolmentToken) -> None:
    """Delete an invitation, so that nobody can join with it. Raises InvitationUsed."""
    # Guarded by used_at: when a worker joins while a person withdraws, only one of them succeeds.
    if not EnrolmentToken.objects.filter(pk=token.pk, used_at=None).delete()[0]:
        raise InvitationUsed(f"A worker has joined with {token}: disable the worker instead.")


def enrol(
    secret: str,
    *,
    now: dt.datetime,
    name: str = "",
    hardware: dict[str, Any] | None = None,
    agent_version: str = "",
) -> tuple[Worker, str]:
    """Turn an invitation into a worker; return the worker with its token, which is not stored.

    Raises EnrolmentRefused, and WorkerNameRefused (the invitation then stays usable, and keeps why
    for its page).
    """
    try:
        return _enrol(secret, now=now, name=name, hardware=hardware, agent_version=agent_version)
    except WorkerNameRefused as error:
        EnrolmentToken.objects.filter(token_hash=hash_token(secret), used_at=None).update(
            refused_name=name[:MAX_NAME_LENGTH], refusal=str(error)[:200], refused_at=now
        )
        raise


def _enrol(
    secret: str, *, now: dt.datetime, name: str, hardware: dict[str, Any] | None, agent_version: str
) -> tuple[Worker, str]:
    worker_secret = new_token(WORKER_PREFIX)
    # One transaction: the invitation must not be used up when the name is refused.
    with transaction.atomic():
        invitation = EnrolmentToken.objects.filter(token_hash=hash_token(secret)).first()
        # Guarded by used_at: when two machines race for one invitation, only one update succeeds.
        used = invitation is not None and EnrolmentToken.objects.filter(
            pk=invitation.pk, used_at=None, expires_at__gt=now
        ).update(used_at=now)
        if invitation is None or not used:
            raise EnrolmentRefused
        check_name(name)
        try:
            with transaction.atomic():
                worker = Worker.objects.create(
                    name=name or f"worker-{invitation.pk}",
                    token_hash=hash_token(worker_secret),
                    hardware=hardware or {},
                    agent_version=agent_version,
                    enrolled_at=now,
                )
        except IntegrityError as error:
            raise WorkerNameTaken from error
        EnrolmentToken.objects.filter(pk=invitation.pk).update(worker=worker)
    return worker, worker_secret


def check_name(name: str) -> None:
    """Raise WorkerNameReserved for a name that looks like that of a person's own program."""
    if name.casefold().startswith(PROGRAM_PREFIX):
        raise WorkerNameReserved(
            f"Names that begin with {PROGRAM_PREFIX} are kept for people's own programs; choose "
            "another name."
        )


def register(
    name: str, *, now: dt.datetime, hardware: dict[str, Any] | None = None
) -> tuple[Worker, str]:
    """Make a worker without an invitation, for the command line; return it with its token.

    Raises WorkerNameRefused.
    """
    _, invitation = invite(now=now, label=name)
    return enrol(invitation, now=now, name=name, hardware=hardware)


def identity_of(person: User, *, now: dt.datetime) -> tuple[Worker, bool]:
    """Return the worker under which the person's own program holds leases, and whether it is new.

    Nobody holds this worker's token; the program authenticates with its owner's personal token.
    """
    worker = Worker.objects.filter(person=person).first()
    if worker is not None:
        return worker, False
    name = f"{PROGRAM_PREFIX}{person.get_username()}"[:MAX_NAME_LENGTH]
    if Worker.objects.filter(name=name).exists():
        # The name belongs to the program of an earlier account with the same user name.
        name = f"{PROGRAM_PREFIX}{person.pk}:{person.get_username()}"[:MAX_NAME_LENGTH]
    return Worker.objects.get_or_create(
        person=person,
        defaults={
            "name": name,
            "is_program": True,
            "token_hash": hash_token(new_token(WORKER_PREFIX)),
            "enrolled_at": now,
        },
    )


def see(worker: Worker, *, now: dt.datetime, boot_id: uuid.UUID | None = None) -> None:
    """Record that the worker called, and with `boot_id` the session of its agent, where due.

    What is due is in `workers.presence`; the first call of a session always is.
    """
    span = presence.recent(worker, now)
    Worker.objects.filter(presence.worker_due(span), pk=worker.pk).update(last_seen_at=now)
    if boot_id is None:
        return
    sessions = WorkerSession.objects.filter(worker=worker, boot_id=boot_id)
    if sessions.filter(presence.session_due(span)).update(last_seen_at=now, ended_at=None):
        return
    if not sessions.exists():
        # It may have been updated meanwhile, or started with other options.
        Worker.objects.filter(pk=worker.pk).exclude(refused_scripts="").update(refused_scripts="")
        # ignore_conflicts: an agent's first heartbeat and first claim may arrive at once.
        WorkerSession.objects.bulk_create(
            [WorkerSession(worker=worker, boot_id=boot_id, started_at=now, last_seen_at=now)],
            ignore_conflicts=True,
        )


def describe(
    worker: Worker,
    *,
    hardware: dict[str, Any],
    simulates: bool,
    version: str,
    isolation: str = "",
    accepts_uploaded_scripts: bool = False,
    scripts: Sequence[str] | None = None,
    runs_server_code: bool = False,
) -> None:
    """Store what the agent reports about its machine, which may have changed since enrolment.

    Empty `hardware` keeps the stored profile. Isolation and uploaded scripts fall back to the
    weakest when they are not reported: an older agent may have replaced a newer one. Without
    `scripts` the agent has those that its version came with.
    """
    columns = reported(
        hardware=hardware,
        simulates=simulates,
        version=version,
        isolation=isolation,
        accepts_uploaded_scripts=accepts_uploaded_scripts,
        scripts=scripts,
        runs_server_code=runs_server_code,
    )
    Worker.objects.filter(pk=worker.pk).update(**columns)


def reported(
    *,
    hardware: dict[str, Any],
    simulates: bool,
    version: str,
    isolation: str = "",
    accepts_uploaded_scripts: bool = False,
    scripts: Sequence[str] | None = None,
    runs_server_code: bool = False,
) -> dict[str, Any]:
    """Return the columns that `describe` stores, with their values."""
    known, runs_any = believed(scripts, version, runs_server_code=runs_server_code)
    columns: dict[str, Any] = {
        "scripts": " ".join(known),
        "runs_any_script": runs_any,
        "simulates": simulates,
        "agent_version": version,
        "isolation": isolation,
        "accepts_uploaded_scripts": accepts_uploaded_scripts,
    }
    return columns | ({"hardware": hardware} if hardware else {})


def note_slots(worker: Worker, slots: int, *, held: int) -> None:
    """Store how many tasks the worker's agent runs at once, from what its claim tells.

    `slots` also counts the results that it has not delivered yet. Their leases are among the `held`
    ones, so the true number lies between `slots - held` and `slots`; what is known stays within.
    """
    known = known_slots(worker, slots, held=held)
    if known != worker.slots:
        Worker.objects.filter(pk=worker.pk).update(slots=known)


def known_slots(worker: Worker, slots: int, *, held: int) -> int:
    """Return the slots that `note_slots` stores."""
    if held and worker.slots is not None:
        return min(max(worker.slots, slots - held), slots)
    return slots


def note_owner_pause(worker: Worker, pause: Mapping[str, Any] | None, *, now: dt.datetime) -> None:
    """Store that its owner's rules pause the agent, from what its heartbeat tells; None: not.

    An end that moved by less than two minutes stays: heartbeats take their time, and pages that
    show it do not change for that.
    """
    seconds = pause["seconds"] if pause else None
    until, known = None, worker.owner_pauses_until
    if seconds is not None:
        until = whole_minute(now + dt.timedelta(seconds=seconds))
        if known is not None and abs(until - known) < _SAME_END:
            until = known
    told = {"owner_pauses": pause is not None, "owner_pauses_until": until}
    if told != {name: getattr(worker, name) for name in told}:
        Worker.objects.filter(pk=worker.pk).update(**told)


def note_pace(worker: Worker, granted: Pace) -> None:
    """Store how long the worker's leases last after a heartbeat from now on.

    Its leases must have been renewed by a longer lease time before the worker is told the longer
    interval that belongs to it: call it in one transaction with the renewals.
    """
    known = None if granted == usual() else granted.lease_time
    Worker.objects.filter(pk=worker.pk).update(lease_time=known)
    worker.lease_time = known


def close_silent_sessions(*, now: dt.datetime, limit: int = 500) -> int:
    """End up to `limit` sessions that were silent for the lease time; return how many."""
    usually = now - usual().lease_time
    own = Q(worker__lease_time=None) | Q(last_seen_at__lt=Value(now) - F("worker__lease_time"))
    silent = WorkerSession.objects.filter(own, ended_at=None, last_seen_at__lt=usually)
    batch = list(silent.order_by("last_seen_at").values_list("pk", flat=True)[:limit])
    # Filter again by silence: a worker that called after the select keeps its session.
    return silent.filter(pk__in=batch).update(ended_at=F("last_seen_at"))


def pause_after_env_error(worker: Worker, reason: str, *, now: dt.datetime) -> None:
    """Pause the worker's claims, twice as long after each error in a row, one hour at most."""
    first = dt.timedelta(seconds=settings.XEENET["WORKER_PAUSE_SECONDS"])
    pause = min(MAX_PAUSE, first * 2 ** min(worker.consecutive_env_errors, 10))
    Worker.objects.filter(pk=worker.pk).update(
        paused_until=now + pause,
        pause_reason=reason[:500],
        # Bounded, because the column is a small integer and the pauses are at most an hour each.
        consecutive_env_errors=Least(F("consecutive_env_errors") + 1, MAX_ENV_ERRORS),
    )


def pause_after_loss(workers: Iterable[Worker], *, now: dt.datetime) -> None:
    """Pause the claims of machines that lost a lease for their lease time; a longer pause stays.

    Otherwise a machine that claims and stays silent takes the next tasks at once and loses them,
    too. A person's own program is not paused: it claims only tasks of its own campaigns.
    """
    paused: dict[dt.datetime, set[int]] = {}
    for worker in workers:
        paused.setdefault(now + worker.pace.lease_time, set()).add(worker.pk)
    for until, pks in paused.items():
        shorter = Q(paused_until=None) | Q(paused_until__lt=until)
        machines = Worker.objects.machines().filter(shorter, pk__in=pks)
        with transaction.atomic():
            # Locked in one order, otherwise two sweeps at once may deadlock.
            list(machines.select_for_update(no_key=True).order_by("pk").values_list("pk"))
            machines.update(
                paused_until=until,
                pause_reason="It lost a task: it was not heard of for the lease time.",
            )


def note_good_result(worker: Worker) -> None:
    """Lift a pause after a good result, and let the next pause start short again."""
    Worker.objects.filter(pk=worker.pk).exclude(consecutive_env_errors=0).update(
        consecutive_env_errors=0, paused_until=None, pause_reason=""
    )


def drain(worker: Worker) -> None:
    """Let the worker finish the tasks it holds and claim no more. Raises WrongWorkerState."""
    _move(worker, {WorkerState.ACTIVE}, WorkerState.DRAINING)


def resume(worker: Worker) -> None:
    """Let the worker claim again. Raises WrongWorkerState unless draining, disabled or paused."""
    paused = Worker.objects.filter(pk=worker.pk, state=WorkerState.ACTIVE).exclude(
        paused_until=None
    )
    if not paused.update(paused_until=None, pause_reason="", consecutive_env_errors=0):
        _move(worker, {WorkerState.DRAINING, WorkerState.DISABLED}, WorkerState.ACTIVE)


def disable(worker: Worker) -> None:
    """Reject the worker's token from its next request on. Raises WrongWorkerState."""
    _move(worker, {WorkerState.ACTIVE, WorkerState.DRAINING}, WorkerState.DISABLED)


def leave(worker: Worker, *, now: dt.datetime) -> None:
    """Disable the worker for its own agent, and make its token worthless for good.

    A worker that an operator resumes afterwards needs a new token: its owner has ended it. An
    ephemeral worker is retired instead, until the next job on its machine enrols. Raises
    WrongWorkerState.
    """
    working = {WorkerState.ACTIVE, WorkerState.DRAINING}
    if worker.fleet_token_id is None:
        _move(worker, working, WorkerState.DISABLED)
        Worker.objects.filter(pk=worker.pk).update(token_hash=DEAD_TOKEN, pause_reason=LEFT)
    elif not _in_states(worker, working).update(state=WorkerState.RETIRED, token_hash=DEAD_TOKEN):
        raise WrongWorkerState(f"{worker} is neither active nor draining, so it cannot leave.")
    WorkerSession.objects.filter(worker=worker, ended_at=None).update(ended_at=now)


def admit_calibration(worker: Worker, *, actor: User | None, now: dt.datetime) -> None:
    """Let the worker have work budgets although its values were off the known ones.

    Raises WrongWorkerState when no calibration holds it back.
    """
    held_back = worker.calibrations.filter(flagged=True, admitted_at=None)
    if not held_back.update(admitted_at=now, admitted_by=actor):
        raise WrongWorkerState(f"No calibration of {worker} is flagged and waits for an operator.")


def rotate_token(worker: Worker) -> str:
    """Replace the worker's token; return the new one. Raises WrongWorkerState when disabled."""
    secret = new_token(WORKER_PREFIX)
    usable = _in_states(worker, {WorkerState.ACTIVE, WorkerState.DRAINING})
    if not usable.update(token_hash=hash_token(secret)):
        raise WrongWorkerState(f"{worker} is disabled; resume it first.")
    return secret


def _in_states(worker: Worker, states: set[WorkerState]) -> QuerySet[Worker]:
    return Worker.objects.filter(pk=worker.pk, state__in=states)


def _move(worker: Worker, allowed: set[WorkerState], to: WorkerState) -> None:
    if not _in_states(worker, allowed).update(state=to, paused_until=None, pause_reason=""):
        wanted = " or ".join(sorted(allowed))
        raise WrongWorkerState(f"{worker} is not {wanted}, so it cannot become {to}.")
    worker.state = to
