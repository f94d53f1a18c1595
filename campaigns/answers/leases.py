"""The leases of a claim or an ask, in the shape that agents read."""

from __future__ import annotations

import datetime as dt
import random
from typing import Any

from django.conf import settings

from campaigns.lifecycle import Answer, Claim
from campaigns.models import Attempt
from workers.features import ALL_FEATURES
from workers.pace import Pace
from workers.protocol import (
    ERROR_STATUS,
    ClaimReply,
    ErrorCode,
    IsolationTier,
    Lease,
    ScriptOrigin,
    Verdict,
)


def lease_of(attempt: Attempt, now: dt.datetime, pace: Pace) -> Lease:
    """Return the lease in the shape of the protocol.

    `attempt.task` must still be leased to the attempt; raises ValueError if its lease has ended.
    """
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
        "config": attempt.config,
        "time_budget_seconds": attempt.budget_seconds,
        "kill_grace_seconds": times["KILL_GRACE_SECONDS"],
        "lease_seconds": pace.lease_seconds,
        # The time left, not the whole: an agent may repeat a claim and get a lease that has begun.
        "deadline_seconds": max(0.0, (deadline - now).total_seconds()),
        "required_isolation": IsolationTier(campaign.required_isolation),
        "script_origin": ScriptOrigin(campaign.package.origin),
        "starts_warm": campaign.package.starts_warm,
    }


def claim_reply(claim: Claim, count: int, now: dt.datetime) -> ClaimReply:
    """Return the reply to an agent, or a person's program, that requested `count` tasks."""
    # A repeated claim may bring up leases that have ended since; leave those out.
    leases = [
        lease_of(attempt, now, claim.pace)
        for attempt in claim.attempts
        if attempt.task.lease_id == attempt.lease_id
    ]
    reply: ClaimReply = {
        "leases": leases,
        "heartbeat_seconds": claim.pace.heartbeat_seconds,
        "wait_seconds": 0.0 if len(leases) == count else idle_wait_seconds(),
        "reason": claim.reason,
        "features": sorted(ALL_FEATURES),
    }
    if claim.calibrate is not None:
        reply["calibrate"] = claim.calibrate
    return reply


def submission_reply(answer: Answer) -> tuple[dict[str, Any], int]:
    """Return the reply to a submission, and its HTTP status."""
    reply: dict[str, Any] = {"verdict": answer.verdict, "message": answer.message}
    if answer.note:
        reply["note"] = answer.note
    if answer.verdict == Verdict.REFUSED:
        code = ErrorCode.METRICS_REFUSED
        return reply | {"code": code}, ERROR_STATUS[code]
    return reply, 200


def idle_wait_seconds() -> float:
    """Return the seconds before the next claim.

    Varied by ±50 %: idle agents must not all claim at the same moment.
    """
    idle: float = settings.XEENET["IDLE_WAIT_SECONDS"]
    return idle * random.uniform(0.5, 1.5)  # noqa: S311 - spreads load, keeps no secret
