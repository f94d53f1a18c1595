"""`lifecycle.claim` of a known worker that may claim, in four statements and one transaction.

The first reads the worker and takes its lock, the second reads whose turn it is, the third locks
the tasks, the fourth writes all that a claim writes. What has to see the locks' effect (the leases
held, whether the claim is a repetition, the tasks' earlier attempts) is read after the statement
that took them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, NamedTuple

from django.db import transaction

from campaigns.clock import read_at
from campaigns.lifecycle import claims
from campaigns.lifecycle.claim_reasons import NOTHING_WAITS, why_fewer, why_full, why_nothing
from campaigns.lifecycle.claim_turns import charge
from campaigns.lifecycle.claims import Claim, lease_to
from campaigns.lifecycle.expiry import sweep
from campaigns.lifecycle.guards import budgets_of, experiments_guarded
from campaigns.lifecycle.statements import claim_moves, claim_speeds, claim_tasks, claim_worker
from campaigns.lifecycle.statements.claim_worker import Caller
from campaigns.lifecycle.statements.seen import see
from campaigns.models import Attempt, Task
from workers import lifecycle as worker_lifecycle
from workers.models import Worker


class Claimed(NamedTuple):
    """A claim that was taken: by whom, its answer, and when."""

    worker: Worker
    claim: Claim
    now: dt.datetime


class _Unusual(Exception):
    """The verb does more than this for such a claim."""


def claim(
    token_hash: str, data: Mapping[str, Any], *, now: dt.datetime | None = None
) -> Claimed | None:
    """Lease tasks as a claim does; `data` is a checked `protocol.ClaimRequest`.

    None, with nothing changed, for a token that opens nothing, and for whatever the verbs `see`,
    `describe` and `claim` do besides: the caller then authenticates and goes through them.
    """
    sweep(now=now)
    try:
        # One transaction: task and attempt must agree, and the worker's lock ends with it.
        with transaction.atomic():
            got = _lease(token_hash, data, now)
    except (_Unusual, *claims.UNUSABLE):
        return None
    reason = _why_fewer(got, data)
    return Claimed(got.worker, Claim(got.attempts, reason, pace=got.worker.pace), got.now)


class _Got(NamedTuple):
    """What a claim got, and what says why it did not get more."""

    worker: Worker
    now: dt.datetime
    attempts: list[Attempt]
    held: int  # leases before
    waits: bool  # see `claim_tasks.Offered`


def _lease(token_hash: str, data: Mapping[str, Any], now: dt.datetime | None) -> _Got:
    caller = claim_worker.read(token_hash, data["boot_id"])
    if caller is None:
        raise _Unusual
    worker, now = caller.worker, now or read_at(caller.worker)
    if not (_is_usual(caller, data, now) and claim_speeds.are_known(worker, data, now)):
        raise _Unusual
    see(worker, caller.session_seen_at, data["boot_id"], now)
    longest = claims.longest_budget(data.get("longest_seconds"))
    pick = claim_tasks.Pick(worker, data["claim_id"], longest, now)
    offered = pick.offered()
    if offered.is_repeated or not _has_slots(worker, data, offered.held):
        raise _Unusual
    count = min(data["count"], _room(data, offered.held))
    tasks = pick.in_turn(offered.claimants, count)
    attempts = _leased(list(tasks), worker, longest, now)
    if attempts and not claim_moves.write(worker, data["claim_id"], attempts, now):
        raise _Unusual
    charge([(attempt, tasks[attempt.task]) for attempt in attempts], offered.claimants)
    return _Got(worker, now, attempts, offered.held, offered.waits)


def _room(data: Mapping[str, Any], held: int) -> int:
    """Return how many leases more the worker may hold."""
    return max(0, claims.most_held(data.get("slots")) - held)


def _why_fewer(got: _Got, data: Mapping[str, Any]) -> str:
    """Return why the claim got fewer tasks than it wants, as the verb says it; "" if it got all."""
    if len(got.attempts) == data["count"]:
        return ""
    if len(got.attempts) == _room(data, got.held):
        return why_full(got.held + len(got.attempts), claims.most_held(data.get("slots")))
    if not got.attempts and not got.waits:
        return NOTHING_WAITS
    longest = claims.longest_budget(data.get("longest_seconds"))
    return why_fewer(got.worker, None, runs_own_script=False, longest_budget=longest)


def _is_usual(caller: Caller, data: Mapping[str, Any], now: dt.datetime) -> bool:
    """Return whether the worker may claim, is as it was described, and has this session."""
    worker = caller.worker
    described = worker_lifecycle.reported(
        hardware=data.get("hardware", {}),
        simulates=data["simulate"],
        version=data.get("agent_version", worker.agent_version),
        isolation=data.get("isolation", ""),
        accepts_uploaded_scripts=data.get("accepts_uploaded_scripts", False),
        scripts=data.get("scripts"),
        runs_server_code=data.get("runs_server_code", False),
    )
    return (
        caller.is_alone
        and worker.claiming_boot == data["boot_id"]
        and caller.session_seen_at is not None
        and all(getattr(worker, name) == value for name, value in described.items())
        and not why_nothing(worker, now)
        # One that could not begin its last tasks looks elsewhere first.
        and not worker.consecutive_env_errors
    )


def _has_slots(worker: Worker, data: Mapping[str, Any], held: int) -> bool:
    """Return whether the slots that the claim tells are those that are stored."""
    if "slots" not in data:
        return True
    slots = claims.most_held(data["slots"])
    return worker_lifecycle.known_slots(worker, slots, held=held) == worker.slots


def _leased(tasks: list[Task], worker: Worker, longest: float, now: dt.datetime) -> list[Attempt]:
    """Return the attempts of a claim that was handed these tasks, unsaved and without numbers."""
    experiments = experiments_guarded(tasks)
    models = claim_speeds.guarding_models(worker, experiments, now) if experiments else {}
    budgets = budgets_of(tasks, models)
    return [
        lease_to(worker, task, budgets[task.pk], now=now)
        for task in tasks
        if budgets[task.pk] <= longest
    ]
