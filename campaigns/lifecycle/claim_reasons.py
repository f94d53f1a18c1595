"""Why a worker gets no task, or fewer than it wants: one sentence for its owner."""

from __future__ import annotations

import datetime as dt
import math
from typing import Final

from django.db.models import Exists, OuterRef, Q

from campaigns.models import (
    MAX_UNPAID_TRIES,
    Campaign,
    CampaignState,
    FailureClass,
    Task,
    TaskState,
)
from campaigns.models.campaign import CampaignQuerySet
from workers.models import Worker, WorkerState
from workers.scripts import why_lacking

NOTHING_WAITS: Final = "No task waits."


def why_nothing(worker: Worker, now: dt.datetime) -> str:
    """Return why this worker may not claim any task; "" when it may."""
    if worker.state == WorkerState.RETIRED:
        return "This worker is retired; its job enrols again with the fleet's token."
    if worker.state != WorkerState.ACTIVE:
        return f"This worker is {worker.state}; an operator can resume it."
    if worker.paused_until is not None and worker.paused_until > now:
        seconds = (worker.paused_until - now).total_seconds()
        return f"This worker is paused for {seconds:.0f} s more: {worker.pause_reason}"
    return "" if worker.fleet_token_id is None else _why_not_of_fleet(worker)


def _why_not_of_fleet(worker: Worker) -> str:
    """Return why the scope of its fleet's token keeps the worker from tasks; "" when it does not.

    The mirror for the database is `WorkerQuerySet.in_scope`.
    """
    token = worker.fleet_token
    if token is None or (token.revoked_at is None and token.admits(worker.tier)):
        return ""
    if token.revoked_at is not None:
        return f"The token of its fleet {token} is revoked; this worker gets no more tasks."
    return (
        f"The token of its fleet {token} wants isolation {token.tier}; this worker holds scripts "
        f"back by {worker.tier}."
    )


def why_full(held: int, slots: int) -> str:
    """Say that a worker holds as many leases as it may."""
    return (
        f"This worker holds {held} leases, and {slots} is its bound; a lease counts until its "
        "result is submitted, it is released, or it runs out."
    )


def why_fewer(
    worker: Worker, among: Q | None, *, runs_own_script: bool, longest_budget: float = math.inf
) -> str:
    """Say in one sentence why a claim got fewer tasks than it wanted: one query, over campaigns.

    `longest_budget` is how many seconds a task may take before its grace.
    """
    campaigns = waiting_campaigns(among).select_related("package")
    waiting = list(campaigns.defer("package__source", "search_space"))
    if not waiting:
        return NOTHING_WAITS
    if all(campaign.time_budget_seconds > longest_budget for campaign in waiting):
        return (
            f"The tasks that wait may take longer than the {max(0.0, longest_budget):,.0f} s that "
            "this agent has left for one."
        )
    if worker.simulates and not all(campaign.allow_simulated for campaign in waiting):
        return "The tasks that wait need real training; this worker has no torch and simulates."
    if _was_too_slow(worker, waiting):
        return (
            "The tasks that wait are as much work as one of their campaign that this worker was "
            "too slow for; faster workers get them."
        )
    if not runs_own_script and (sentence := _why_not_run(worker, waiting)):
        return sentence
    return (
        "The tasks that wait are to be tried a little later or by another worker first. A task "
        f"that this worker failed, or had {MAX_UNPAID_TRIES} times for nothing, goes to others."
    )


def waiting_campaigns(among: Q | None = None) -> CampaignQuerySet:
    """Return the active campaigns in which tasks wait; only `among` the given tasks."""
    pending = Task.objects.filter(among or Q(), campaign=OuterRef("pk"), state=TaskState.PENDING)
    return Campaign.objects.filter(Exists(pending), state=CampaignState.ACTIVE)


def _was_too_slow(worker: Worker, waiting: list[Campaign]) -> bool:
    """Return whether all that waits is work of campaigns in which the worker was too slow."""
    tries = worker.attempts.filter(failure_class=FailureClass.TOO_SLOW)
    slow_in = set(tries.values_list("task__campaign", flat=True))
    return all(campaign.pk in slow_in for campaign in waiting)


def _why_not_run(worker: Worker, waiting: list[Campaign]) -> str:
    """Say why a script of these campaigns may not run on the worker; "" when all may."""
    for campaign in waiting:
        if campaign.required_isolation > worker.tier:
            return (
                f"The tasks that wait need isolation {campaign.required_isolation}; this worker "
                f"holds scripts back by {worker.tier}."
            )
        package = campaign.package
        if not package.is_uploaded and (
            lacking := why_lacking(worker, campaign.experiment, package.sha256)
        ):
            return lacking
        if not campaign.package.may_run:
            return (
                f"The tasks that wait run the uploaded script {campaign.package}, which no "
                "operator has approved."
            )
        if campaign.package.is_uploaded and not worker.accepts_uploaded_scripts:
            return (
                "The tasks that wait run an uploaded script; the owner of this worker has not "
                "allowed such (--allow-uploaded-scripts)."
            )
    return ""
