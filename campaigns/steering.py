"""What people do to campaigns and tasks: each verb checks permission, acts, writes the audit log.

Views, admin, API and commands call these verbs for people, never `lifecycle` directly. Each raises
PermissionDenied (with a sentence) for a person who may not, and what its `lifecycle` verb raises.
An actor of None is the command line on the server, which may do everything.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction

from campaigns import lifecycle
from campaigns.lifecycle import CampaignSpec, Claim, InvalidCampaign
from campaigns.models import Arm, Campaign, Note, Race, Task
from campaigns.search.samplers import Params
from campaigns.standings.shares import share_of
from workers import audit
from workers import lifecycle as worker_lifecycle
from workers.models import WorkerState
from xeenet_site.web import roles


def may_change(user: roles.Person, campaign: Campaign) -> bool:
    """Return whether this person may change the campaign and its tasks."""
    return roles.may_change(user, campaign.owner_id)


def must_create(actor: User | None) -> None:
    """Raise PermissionDenied unless the actor may create campaigns, and so preview them."""
    if actor is not None and not roles.may_create(actor):
        raise PermissionDenied("Only researchers and operators may create campaigns.")


def create_campaign(
    actor: User | None,
    spec: CampaignSpec,
    *,
    now: dt.datetime,
    owner: User | None = None,
    detail: str = "",
) -> Campaign:
    """Store a draft that belongs to the actor; the command line may name another owner."""
    must_create(actor)
    # One transaction in every verb here: no change without its audit entry.
    with transaction.atomic():
        campaign = lifecycle.create_campaign(spec, owner=actor or owner, now=now)
        audit.record(actor, "create", campaign, now=now, detail=detail)
    return campaign


def launch(actor: User | None, campaign: Campaign, *, now: dt.datetime) -> None:
    """Make the campaign's tasks and hand them out."""
    _steer(actor, campaign, "launch", now)


def pause(actor: User | None, campaign: Campaign, *, now: dt.datetime, reason: str = "") -> None:
    """Hand out no more tasks."""
    _steer(actor, campaign, "pause", now, detail=reason, reason=reason)


def resume(actor: User | None, campaign: Campaign, *, now: dt.datetime) -> None:
    """Hand out tasks again."""
    _steer(actor, campaign, "resume", now)


def cancel(actor: User | None, campaign: Campaign, *, now: dt.datetime, reason: str = "") -> None:
    """End the campaign and its open tasks."""
    _steer(actor, campaign, "cancel", now, detail=reason, reason=reason)


def add_tasks(actor: User | None, campaign: Campaign, count: int, *, now: dt.datetime) -> None:
    """Sample more tasks."""
    _steer(actor, campaign, "add_tasks", now, detail=f"{count} tasks", count=count)


def start_race(
    actor: User | None,
    campaign: Campaign,
    arms: Sequence[int],
    *,
    now: dt.datetime,
    seeds: int | None = None,
    min_effect: float | None = None,
) -> Race:
    """Let arms race, given by their numbers; see `lifecycle.start_race`."""
    _must_change(actor, campaign)
    with transaction.atomic():
        race = lifecycle.start_race(
            campaign,
            arms,
            seeds=seeds,
            min_effect=min_effect,
            now=now,
            actor=lifecycle.person(actor),
        )
        detail = f"race {race.number}: arms {', '.join(map(str, race.arms))}"
        audit.record(actor, "race", campaign, now=now, detail=detail)
    return race


def set_race_options(
    actor: User | None,
    campaign: Campaign,
    *,
    now: dt.datetime,
    races_automatically: bool | None = None,
    min_effect: float | None = None,
) -> None:
    """Choose whether a race begins by itself, and the smallest difference that races look for."""
    words = {None: "", True: "races by itself", False: "does not race by itself"}
    effect = "" if min_effect is None else f"smallest difference {min_effect:g}"
    detail = ", ".join(part for part in (words[races_automatically], effect) if part)
    _must_change(actor, campaign)
    with transaction.atomic():
        lifecycle.set_race_options(
            campaign, races_automatically=races_automatically, min_effect=min_effect, now=now
        )
        audit.record(actor, "race_options", campaign, now=now, detail=detail)


def set_share(
    actor: User | None, campaign: Campaign, chosen: Mapping[str, Any], *, now: dt.datetime
) -> None:
    """Set `weight` or `place`, or both or none of them, as `set_weight` and `set_place` do.

    Raises InvalidCampaign when neither is given.
    """
    _must_change(actor, campaign)
    if not chosen:
        raise InvalidCampaign({"place": ["give this or weight"]})
    with transaction.atomic():
        share = share_of(campaign)
        if "weight" in chosen and chosen["weight"] != share.weight:
            set_weight(actor, campaign, chosen["weight"], now=now)
        if "place" in chosen and chosen["place"] != share.place:
            set_place(actor, campaign, chosen["place"], now=now)


def set_weight(actor: User | None, campaign: Campaign, weight: float, *, now: dt.datetime) -> None:
    """Weigh the campaign beside others. For operators, not for its owner."""
    if actor is not None and not roles.may_operate(actor):
        raise PermissionDenied("Only operators may set the weight of a campaign.")
    with transaction.atomic():
        lifecycle.set_weight(campaign, weight)
        audit.record(actor, "weight", campaign, now=now, detail=f"weight {weight:g}")


def set_place(
    actor: User | None, campaign: Campaign, place: int | None, *, now: dt.datetime
) -> None:
    """Put the campaign at a place among those of its owner; None is behind all with a place."""
    _must_change(actor, campaign)
    with transaction.atomic():
        lifecycle.set_place(campaign, place)
        detail = "no place" if place is None else f"place {place}"
        audit.record(actor, "place", campaign, now=now, detail=detail)


def finish(actor: User | None, campaign: Campaign, *, now: dt.datetime) -> None:
    """Say that no outside program will ask again; see `lifecycle.finish`."""
    _steer(actor, campaign, "finish", now)


def raise_attempts(
    actor: User | None,
    campaign: Campaign,
    *,
    max_failed_attempts: int,
    max_lost_attempts: int,
    now: dt.datetime,
) -> None:
    """Allow more tries for each task."""
    _must_change(actor, campaign)
    tries = {"max_failed_attempts": max_failed_attempts, "max_lost_attempts": max_lost_attempts}
    detail = f"{max_failed_attempts} failures, {max_lost_attempts} losses"
    with transaction.atomic():
        lifecycle.raise_attempts(campaign, **tries)
        audit.record(actor, "raise_attempts", campaign, now=now, detail=detail)


def enqueue(
    actor: User | None,
    campaign: Campaign,
    params: Params,
    *,
    now: dt.datetime,
    seed: int | None = None,
) -> Task:
    """Add one task with given params."""
    _must_change(actor, campaign)
    with transaction.atomic():
        person = lifecycle.person(actor)
        task = lifecycle.enqueue(campaign, params, seed=seed, now=now, actor=person)
        audit.record(actor, "enqueue", task, now=now)
    return task


def run_again(actor: User | None, arm: Arm, times: int, *, now: dt.datetime) -> list[Task]:
    """Add tasks of an arm on its next seeds, all or none; see `lifecycle.run_again`."""
    _must_change(actor, arm.campaign)
    with transaction.atomic():
        tasks = lifecycle.run_again(arm, times, now=now, actor=lifecycle.person(actor))
        numbers = ", ".join(str(task.number) for task in tasks)
        detail = f"arm {arm.number}: task{'s' if times > 1 else ''} {numbers}"
        audit.record(actor, "run_again", arm.campaign, now=now, detail=detail)
    return tasks


def write_note(
    actor: User | None,
    subject: Arm | Task,
    text: str,
    *,
    now: dt.datetime,
    edits: int | None = None,
) -> Note:
    """Replace the note on an arm or a task; see `lifecycle.write_note`."""
    _must_change(actor, subject.campaign)
    with transaction.atomic():
        note = lifecycle.write_note(subject, text, author=actor, now=now, edits=edits)
        if isinstance(subject, Task):
            audit.record(actor, "note", subject, now=now, detail=note.text)
        else:
            detail = f"arm {subject.number}: {note.text}"
            audit.record(actor, "note", subject.campaign, now=now, detail=detail)
    return note


def ask(
    actor: User,
    campaign: Campaign,
    *,
    claim_id: uuid.UUID,
    now: dt.datetime,
    count: int = 1,
    params: Params | None = None,
    seed: int | None = None,
) -> Claim:
    """Lease tasks of the campaign to the person's own program; see `lifecycle.ask`."""
    _must_change(actor, campaign)
    lifecycle.expire(now=now)
    with transaction.atomic():
        worker, is_new = worker_lifecycle.identity_of(actor, now=now)
        if worker.state == WorkerState.DISABLED:
            raise PermissionDenied(f"{worker} is disabled. Ask the operator of this server.")
        worker_lifecycle.see(worker, now=now)
        if is_new:
            audit.record(actor, "enrol", worker, now=now)
        request: dict[str, Any] = {
            "claim_id": claim_id,
            "count": count,
            "params": params,
            "seed": seed,
        }
        claim = lifecycle.ask(worker, campaign, now=now, **request)
        # A claim that began earlier is a repetition: its task is in the audit log already.
        if params is not None and claim.attempts and claim.attempts[0].started_at == now:
            audit.record(actor, "enqueue", claim.attempts[0].task, now=now)
    return claim


def retry_task(actor: User | None, task: Task, *, now: dt.datetime) -> None:
    """Give a failed task one more try."""
    _steer_task(actor, task, "retry_task", now)


def cancel_task(actor: User | None, task: Task, *, now: dt.datetime) -> None:
    """End a task that may still run."""
    _steer_task(actor, task, "cancel_task", now)


def admit(actor: User | None, task: Task, *, now: dt.datetime) -> None:
    """Rank an implausible result after all. For operators, not for the campaign's owner."""
    if actor is not None and not roles.may_operate(actor):
        raise PermissionDenied("Only operators may admit an implausible result.")
    with transaction.atomic():
        lifecycle.admit(task, actor=actor, now=now)
        audit.record(actor, "admit", task, now=now)


def _steer(
    actor: User | None,
    campaign: Campaign,
    verb: str,
    now: dt.datetime,
    *,
    detail: str = "",
    **arguments: Any,
) -> None:
    _must_change(actor, campaign)
    with transaction.atomic():
        getattr(lifecycle, verb)(campaign, now=now, actor=lifecycle.person(actor), **arguments)
        audit.record(actor, verb, campaign, now=now, detail=detail)


def _steer_task(actor: User | None, task: Task, verb: str, now: dt.datetime) -> None:
    _must_change(actor, task.campaign)
    with transaction.atomic():
        getattr(lifecycle, verb)(task, now=now, actor=lifecycle.person(actor))
        audit.record(actor, verb, task, now=now)


def _must_change(actor: User | None, campaign: Campaign) -> None:
    if actor is not None and not may_change(actor, campaign):
        raise PermissionDenied("Only the campaign's owner and operators may change it.")
