"""The shapes of the lease endpoints, as in `workers.protocol`, and the lease an agent is given.

Requests are judged strictly in the keys that are known; other keys are passed over, so that an
agent may be newer than its server.
"""

from __future__ import annotations

import datetime as dt
import random
from typing import Any, Final

from django.conf import settings
from rest_framework import serializers

from campaigns.lifecycle import Claim
from campaigns.models import Attempt, FailureClass, PackageOrigin
from workers.api.fields import (
    BoundedListField,
    JSONObjectField,
    StrictBooleanField,
    StrictCharField,
    StrictChoiceField,
    StrictFloatField,
    StrictIntegerField,
    StrictUUIDField,
)
from workers.api.serializers import MAX_BIGINT, HardwareSerializer
from workers.models import ISOLATION_CHOICES, WorkerState
from workers.protocol import (
    MAX_LEASES_PER_CLAIM,
    MAX_METRICS_BYTES,
    MAX_PROGRESS_POINTS_PER_HEARTBEAT,
    MAX_STDERR_TAIL_BYTES,
    ClaimReply,
    HeartbeatAnswer,
    IsolationTier,
    Lease,
    Outcome,
    ScriptOrigin,
    Verdict,
)

MAX_INT32: Final = 2**31 - 1
MAX_MESSAGE_CHARACTERS: Final = 1000


class ClaimRequestSerializer(serializers.Serializer[dict[str, Any]]):
    """`protocol.ClaimRequest`."""

    claim_id = StrictUUIDField()
    boot_id = StrictUUIDField()
    count = StrictIntegerField(min_value=1, max_value=MAX_LEASES_PER_CLAIM)
    simulate = StrictBooleanField()
    hardware = HardwareSerializer(required=False)
    agent_version = StrictCharField(required=False, allow_blank=True, max_length=50)
    isolation = StrictChoiceField(
        required=False,
        choices=ISOLATION_CHOICES,
        help_text="How the agent holds scripts back; not said counts as the weakest.",
    )
    accepts_uploaded_scripts = StrictBooleanField(
        required=False, help_text="Its owner lets it run scripts that people uploaded."
    )


class DatasetReferenceSerializer(serializers.Serializer[dict[str, Any]]):
    """`protocol.DatasetReference`."""

    name = serializers.CharField()
    sha256 = serializers.CharField()
    size_bytes = serializers.IntegerField()


class LeaseSerializer(serializers.Serializer[dict[str, Any]]):
    """`protocol.Lease`."""

    lease_id = serializers.UUIDField()
    task_id = serializers.IntegerField()
    task_number = serializers.IntegerField()
    campaign_id = serializers.IntegerField()
    campaign_name = serializers.CharField()
    code_package_ref = serializers.CharField()
    code_sha256 = serializers.CharField()
    dataset = DatasetReferenceSerializer()
    config = serializers.DictField()
    time_budget_seconds = serializers.FloatField()
    kill_grace_seconds = serializers.FloatField()
    lease_seconds = serializers.FloatField()
    deadline_seconds = serializers.FloatField()
    required_isolation = serializers.ChoiceField(choices=ISOLATION_CHOICES)
    script_origin = serializers.ChoiceField(choices=PackageOrigin.choices)


class ClaimReplySerializer(serializers.Serializer[dict[str, Any]]):
    """`protocol.ClaimReply`."""

    leases = LeaseSerializer(many=True)
    heartbeat_seconds = serializers.FloatField()
    wait_seconds = serializers.FloatField()
    reason = serializers.CharField(allow_blank=True)


class ProgressPointSerializer(serializers.Serializer[dict[str, Any]]):
    """`protocol.ProgressPoint`."""

    seq = StrictIntegerField(min_value=0, max_value=MAX_INT32)
    elapsed_seconds = StrictFloatField(min_value=0)
    step = StrictIntegerField(min_value=0, max_value=MAX_BIGINT)
    tokens = StrictIntegerField(required=False, allow_null=True, min_value=0, max_value=MAX_BIGINT)
    train_loss = StrictFloatField(required=False, allow_null=True)
    val_bpb = StrictFloatField(required=False, allow_null=True)


class HeartbeatLeaseSerializer(serializers.Serializer[dict[str, Any]]):
    """`protocol.HeartbeatLease`."""

    lease_id = StrictUUIDField()
    progress = BoundedListField(
        child=ProgressPointSerializer(),
        required=False,
        max_length=MAX_PROGRESS_POINTS_PER_HEARTBEAT,
    )


class HeartbeatRequestSerializer(serializers.Serializer[dict[str, Any]]):
    """`protocol.HeartbeatRequest`."""

    boot_id = StrictUUIDField()
    leases = BoundedListField(child=HeartbeatLeaseSerializer(), max_length=MAX_LEASES_PER_CLAIM)


class LeaseAnswerSerializer(serializers.Serializer[dict[str, Any]]):
    """`protocol.LeaseAnswer`."""

    lease_id = serializers.UUIDField()
    answer = serializers.ChoiceField(choices=[(a.value, a.value) for a in HeartbeatAnswer])
    reason = serializers.CharField(allow_blank=True)


class HeartbeatReplySerializer(serializers.Serializer[dict[str, Any]]):
    """`protocol.HeartbeatReply`."""

    leases = LeaseAnswerSerializer(many=True)
    heartbeat_seconds = serializers.FloatField()
    worker_state = serializers.ChoiceField(choices=WorkerState.choices)


class SubmissionSerializer(serializers.Serializer[dict[str, Any]]):
    """`protocol.Submission`. What the metrics must hold is lifecycle's to judge."""

    outcome = StrictChoiceField(choices=[(o.value, o.value) for o in Outcome])
    metrics = JSONObjectField(required=False, allow_null=True, max_bytes=MAX_METRICS_BYTES)
    failure_class = StrictChoiceField(required=False, allow_null=True, choices=FailureClass.choices)
    message = StrictCharField(required=False, allow_blank=True, max_length=MAX_MESSAGE_CHARACTERS)
    exit_code = StrictIntegerField(
        required=False, allow_null=True, min_value=-MAX_INT32 - 1, max_value=MAX_INT32
    )
    stderr_tail = StrictCharField(
        required=False, allow_blank=True, max_length=MAX_STDERR_TAIL_BYTES, trim_whitespace=False
    )
    wall_time_seconds = StrictFloatField(required=False, allow_null=True, min_value=0)
    simulated = StrictBooleanField(required=False)
    code_sha256 = StrictCharField(required=False, allow_blank=True, max_length=64)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["outcome"] == Outcome.COMPLETED and attrs.get("metrics") is None:
            raise serializers.ValidationError({"metrics": ["A completed run has a result line."]})
        if attrs["outcome"] == Outcome.FAILED and not attrs.get("failure_class"):
            raise serializers.ValidationError({"failure_class": ["A failed run has a class."]})
        return attrs


class SubmissionReplySerializer(serializers.Serializer[dict[str, Any]]):
    """`protocol.SubmissionReply`; with HTTP 422 there is also the error's `code`."""

    verdict = serializers.ChoiceField(choices=[(v.value, v.value) for v in Verdict])
    message = serializers.CharField(allow_blank=True)


class ReleaseRequestSerializer(serializers.Serializer[dict[str, Any]]):
    """Why the agent gives the task back, if it says so."""

    reason = StrictCharField(required=False, allow_blank=True, max_length=MAX_MESSAGE_CHARACTERS)


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
