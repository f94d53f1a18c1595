"""The leases that a claim or an ask gives, as agents read them."""

from __future__ import annotations

import datetime as dt
import random

from django.conf import settings

from campaigns.lifecycle import Claim
from campaigns.models import Attempt
from workers.protocol import ClaimReply, IsolationTier, Lease, ScriptOrigin


def lease_of(attempt: Attempt, now: dt.datetime) -> Lease:
    """Return the lease as the agent sees it; `attempt.task` must hold it still."""
    task, times = attempt.task, settings.XEENET
    campaign, dataset, deadline = task.campaign, task.campaign.dataset, task.deadline_at
    if deadline is None:
        raise ValueError(f"{attempt} holds no lease any more")
    return {
        "lease_id": str(attempt.lease_id),
        "task_id": task.pk,
        "task_number": task.number,
        "campaign_id": campaign.pk,
        "campaign_name": campaign.name,
        "code_package_ref": campaign.experiment,
        "code_sha256": campaign.package_id,
        "dataset": {
            "name": dataset.name,
            "sha256": dataset.sha256,
            "size_bytes": dataset.size_bytes,
        },
        "config": task.config,
        "time_budget_seconds": campaign.time_budget_seconds,
        "kill_grace_seconds": times["KILL_GRACE_SECONDS"],
        "lease_seconds": times["LEASE_SECONDS"],
        # What is left of it: the claim may be a repetition.
        "deadline_seconds": max(0.0, (deadline - now).total_seconds()),
        "required_isolation": IsolationTier(campaign.required_isolation),
        "script_origin": ScriptOrigin(campaign.package.origin),
    }


def claim_reply(claim: Claim, count: int, now: dt.datetime) -> ClaimReply:
    """Return what an agent or a person is told that asked for `count` tasks."""
    # A repeated claim may find leases that have ended meanwhile; there is nothing to run.
    leases = [lease_of(a, now) for a in claim.attempts if a.task.lease_id == a.lease_id]
    return {
        "leases": leases,
        "heartbeat_seconds": settings.XEENET["HEARTBEAT_SECONDS"],
        "wait_seconds": 0.0 if len(leases) == count else idle_wait_seconds(),
        "reason": claim.reason,
    }


def idle_wait_seconds() -> float:
    """Return the pause before the next claim, ±50 %: idle agents must not fall in step."""
    idle: float = settings.XEENET["IDLE_WAIT_SECONDS"]
    return idle * random.uniform(0.5, 1.5)  # noqa: S311 - spreads load, keeps no secret
