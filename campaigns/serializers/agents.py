"""The shapes of the lease endpoints, as in `workers.protocol`.

Known keys of a request are checked strictly. Unknown keys are ignored, so that an agent may be
newer than its server.
"""

from __future__ import annotations

from typing import Any, Final

from rest_framework import serializers

from campaigns.analysis.runs import evenly
from campaigns.models import MAX_LOSS, FailureClass, PackageOrigin
from experiments.metrics import VAL_BPB
from workers.api.fields import (
    MAX_BIGINT,
    BoundedListField,
    JSONObjectField,
    Sha256Field,
    StrictBooleanField,
    StrictCharField,
    StrictChoiceField,
    StrictFloatField,
    StrictIntegerField,
    StrictUUIDField,
)
from workers.api.serializers import HardwareSerializer, features_field
from workers.models import ISOLATION_CHOICES, WorkerState
from workers.protocol import (
    MAX_LEASES_PER_CLAIM,
    MAX_METRICS_BYTES,
    MAX_OWNER_PAUSE_SECONDS,
    MAX_PROGRESS_POINTS_PER_HEARTBEAT,
    MAX_RESULTS_PER_REQUEST,
    MAX_SCRIPTS_PER_CLAIM,
    MAX_STDERR_TAIL_BYTES,
    HeartbeatAnswer,
    Outcome,
    Verdict,
)

MAX_INT32: Final = 2**31 - 1
MAX_MESSAGE_CHARACTERS: Final = 1000
# A third of a year: longer than any budget.
MAX_ELAPSED_SECONDS: Final = 10_000_000
MAX_POINTS_IN_HEARTBEAT: Final = 2_000
# Cores: more than any machine has.
MAX_FOREIGN_LOAD: Final = 100_000


class ClaimRequestSerializer(serializers.Serializer[dict[str, Any]]):
    """`protocol.ClaimRequest`."""

    claim_id = StrictUUIDField()
    boot_id = StrictUUIDField()
    count = StrictIntegerField(min_value=1, max_value=MAX_LEASES_PER_CLAIM)
    slots = StrictIntegerField(
        required=False,
        min_value=1,
        max_value=MAX_LEASES_PER_CLAIM,
        help_text="How many leases the agent can hold at a time, results that it has not delivered "
        f"yet included. The default is {MAX_LEASES_PER_CLAIM}.",
    )
    simulate = StrictBooleanField()
    hardware = HardwareSerializer(required=False)
    agent_version = StrictCharField(required=False, allow_blank=True, max_length=50)
    isolation = StrictChoiceField(
        required=False,
        choices=ISOLATION_CHOICES,
        help_text="How well the agent isolates scripts. The default is the weakest tier.",
    )
    accepts_uploaded_scripts = StrictBooleanField(
        required=False,
        help_text="Whether the machine's owner allows scripts that people uploaded. The default is "
        "false.",
    )
    calibrates = StrictBooleanField(
        required=False,
        help_text="Whether the agent can measure its speed when the reply asks for it. The default "
        "is false.",
    )

    scripts = BoundedListField(
        child=Sha256Field(),
        required=False,
        max_length=MAX_SCRIPTS_PER_CLAIM,
        help_text="SHA-256 of the catalog's scripts that the agent runs: it has them, or fetches "
        "them by their hash. Without it the agent gets tasks of the scripts that its version came "
        "with, or, when that is unknown, of all that it has not refused.",
    )
    runs_server_code = StrictBooleanField(
        required=False,
        help_text="Whether the machine's owner allows any version of the catalog's scripts. The "
        "default is false.",
    )
    longest_seconds = StrictFloatField(
        required=False,
        min_value=0,
        help_text="The most that a task's budget and its grace may take, for an agent that ends "
        "then. Without it tasks of any length are handed out.",
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
    starts_warm = serializers.BooleanField()


class CalibrationOrderSerializer(serializers.Serializer[dict[str, Any]]):
    """`calibration.CalibrationOrder`."""

    experiment = serializers.CharField()
    script_sha256 = serializers.CharField()
    repeated = serializers.BooleanField(
        help_text="True: only the few shapes of a machine that was measured before."
    )


class ClaimReplySerializer(serializers.Serializer[dict[str, Any]]):
    """`protocol.ClaimReply`."""

    leases = LeaseSerializer(many=True)
    heartbeat_seconds = serializers.FloatField()
    wait_seconds = serializers.FloatField()
    reason = serializers.CharField(allow_blank=True)
    calibrate = CalibrationOrderSerializer(
        required=False, help_text="Present when the agent is to measure its speed."
    )
    features = features_field()


class ProgressPointSerializer(serializers.Serializer[dict[str, Any]]):
    """`protocol.ProgressPoint`."""

    seq = StrictIntegerField(min_value=0, max_value=MAX_INT32)
    elapsed_seconds = StrictFloatField(min_value=0)
    step = StrictIntegerField(min_value=0, max_value=MAX_BIGINT)
    tokens = StrictIntegerField(required=False, allow_null=True, min_value=0, max_value=MAX_BIGINT)
    train_loss = StrictFloatField(
        required=False,
        allow_null=True,
        help_text=f"Above {MAX_LOSS:,.0f} it is stored as null: the run diverges.",
    )
    val_bpb = StrictFloatField(
        required=False,
        allow_null=True,
        help_text=f"Above {VAL_BPB.high:,.0f} it is stored as null: the run diverges.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        # Not refused: an agent would lose the renewal of its leases over a script's number.
        for name, most in (("train_loss", MAX_LOSS), (VAL_BPB.name, VAL_BPB.high)):
            if abs(attrs.get(name) or 0.0) > most:
                attrs[name] = None
        return attrs


class HeartbeatLeaseSerializer(serializers.Serializer[dict[str, Any]]):
    """`protocol.HeartbeatLease`."""

    lease_id = StrictUUIDField()
    progress = BoundedListField(
        child=ProgressPointSerializer(),
        required=False,
        max_length=MAX_PROGRESS_POINTS_PER_HEARTBEAT,
        help_text=f"Points after {MAX_ELAPSED_SECONDS:,} s are left out. All leases of a heartbeat "
        f"may have {MAX_POINTS_IN_HEARTBEAT:,} points; of more, an even sample is stored.",
    )

    def validate_progress(self, points: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [point for point in points if point["elapsed_seconds"] <= MAX_ELAPSED_SECONDS]


class OwnerPauseSerializer(serializers.Serializer[dict[str, Any]]):
    """`protocol.OwnerPause`."""

    seconds = StrictFloatField(
        allow_null=True,
        min_value=0,
        max_value=MAX_OWNER_PAUSE_SECONDS,
        help_text="For how long still; null when the rules do not tell.",
    )


class HeartbeatRequestSerializer(serializers.Serializer[dict[str, Any]]):
    """`protocol.HeartbeatRequest`."""

    boot_id = StrictUUIDField()
    leases = BoundedListField(child=HeartbeatLeaseSerializer(), max_length=MAX_LEASES_PER_CLAIM)
    owner_pause = OwnerPauseSerializer(
        required=False,
        help_text="The owner's rules let the agent claim nothing now. Absent while they let it.",
    )

    def validate_leases(self, leases: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if len({lease["lease_id"] for lease in leases}) < len(leases):
            raise serializers.ValidationError("Name each lease once.")
        reporting = [lease for lease in leases if lease.get("progress")]
        if sum(len(lease["progress"]) for lease in reporting) > MAX_POINTS_IN_HEARTBEAT:
            share = MAX_POINTS_IN_HEARTBEAT // len(reporting)
            for lease in reporting:
                lease["progress"] = evenly(lease["progress"], share)
        return leases


class LeaseAnswerSerializer(serializers.Serializer[dict[str, Any]]):
    """`protocol.LeaseAnswer`."""

    lease_id = serializers.UUIDField()
    answer = serializers.ChoiceField(choices=[(word.value, word.value) for word in HeartbeatAnswer])
    reason = serializers.CharField(allow_blank=True)


class HeartbeatReplySerializer(serializers.Serializer[dict[str, Any]]):
    """`protocol.HeartbeatReply`."""

    leases = LeaseAnswerSerializer(many=True)
    heartbeat_seconds = serializers.FloatField()
    worker_state = serializers.ChoiceField(choices=WorkerState.choices)
    features = features_field()


class SubmissionSerializer(serializers.Serializer[dict[str, Any]]):
    """`protocol.Submission`. The content of `metrics` is checked by `campaigns.lifecycle`."""

    outcome = StrictChoiceField(choices=[(outcome.value, outcome.value) for outcome in Outcome])
    metrics = JSONObjectField(required=False, allow_null=True, max_bytes=MAX_METRICS_BYTES)
    failure_class = StrictChoiceField(required=False, allow_null=True, choices=FailureClass.choices)
    message = StrictCharField(
        required=False,
        allow_blank=True,
        max_length=MAX_MESSAGE_CHARACTERS,
        help_text="Why the run failed, or what was unusual about a run that counts.",
    )
    exit_code = StrictIntegerField(
        required=False, allow_null=True, min_value=-MAX_INT32 - 1, max_value=MAX_INT32
    )
    stderr_tail = StrictCharField(
        required=False, allow_blank=True, max_length=MAX_STDERR_TAIL_BYTES, trim_whitespace=False
    )
    wall_time_seconds = StrictFloatField(required=False, allow_null=True, min_value=0)
    foreign_load = StrictFloatField(
        required=False,
        allow_null=True,
        min_value=0,
        max_value=MAX_FOREIGN_LOAD,
        help_text="Cores that other programs used during the run, on average.",
    )
    simulated = StrictBooleanField(required=False)
    code_sha256 = StrictCharField(required=False, allow_blank=True, max_length=64)
    final = StrictBooleanField(
        required=False,
        help_text="With the class script_error and exit code 2: the script refused its config, so "
        "the task is not tried again.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["outcome"] == Outcome.COMPLETED and attrs.get("metrics") is None:
            raise serializers.ValidationError(
                {"metrics": ["A completed run must have its result line."]}
            )
        if attrs["outcome"] == Outcome.FAILED and not attrs.get("failure_class"):
            raise serializers.ValidationError(
                {"failure_class": ["A failed run must have a failure class."]}
            )
        return attrs


class SubmissionReplySerializer(serializers.Serializer[dict[str, Any]]):
    """`protocol.SubmissionReply`. A reply with HTTP 422 also has the error's `code`."""

    verdict = serializers.ChoiceField(
        choices=[(verdict.value, verdict.value) for verdict in Verdict]
    )
    message = serializers.CharField(allow_blank=True)
    note = serializers.CharField(
        required=False,
        help_text="What the run counts for, in a sentence for the worker's owner.",
    )


class ResultOfLeaseSerializer(SubmissionSerializer):
    """`protocol.ResultOfLease`."""

    lease_id = StrictUUIDField()


class ResultsRequestSerializer(serializers.Serializer[dict[str, Any]]):
    """`protocol.ResultsRequest`, as it is documented; each result is checked by itself."""

    results = BoundedListField(
        child=ResultOfLeaseSerializer(),
        max_length=MAX_RESULTS_PER_REQUEST,
        help_text=f"At most {MAX_RESULTS_PER_REQUEST}, each lease once.",
    )


class ResultAnswerSerializer(serializers.Serializer[dict[str, Any]]):
    """`protocol.ResultAnswer`."""

    lease_id = serializers.CharField(help_text="As it was sent; empty when none was.")
    status = serializers.IntegerField(
        help_text="The HTTP status that this result would have got alone."
    )
    message = serializers.CharField(allow_blank=True)
    verdict = serializers.ChoiceField(
        required=False,
        choices=[(verdict.value, verdict.value) for verdict in Verdict],
        help_text="Present with status 200 and 422.",
    )
    note = serializers.CharField(
        required=False,
        help_text="What the run counts for, in a sentence for the worker's owner.",
    )
    code = serializers.CharField(
        required=False, help_text="Of an error, as in the answer to a single result."
    )
    fields = serializers.DictField(  # type: ignore[assignment]
        child=serializers.ListField(child=serializers.CharField()),
        required=False,
        help_text="Only with status 400: sentences about the error, by the path of the field.",
    )


class ResultsReplySerializer(serializers.Serializer[dict[str, Any]]):
    """`protocol.ResultsReply`."""

    results = ResultAnswerSerializer(many=True, help_text="In the order of the request.")


class ReleaseRequestSerializer(serializers.Serializer[dict[str, Any]]):
    """Why the agent gives the task back. The reason is optional."""

    reason = StrictCharField(required=False, allow_blank=True, max_length=MAX_MESSAGE_CHARACTERS)
