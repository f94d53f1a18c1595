"""Serializers of what agents report about themselves, as in `workers.protocol`."""

from __future__ import annotations

import re
from typing import Any, Final

from rest_framework import serializers

from workers.api.fields import MAX_BIGINT, BoundedListField, StrictCharField, StrictIntegerField
from workers.features import ALL_FEATURES, Feature
from workers.models import ISOLATION_CHOICES, Worker, WorkerState
from workers.protocol import MACHINE_KEY_PATTERN
from workers.scripts import why_outdated
from workers.tokens import FLEET_PREFIX

_MACHINE_KEY: Final = re.compile(MACHINE_KEY_PATTERN)


def _text(max_length: int) -> StrictCharField:
    return StrictCharField(required=False, allow_blank=True, max_length=max_length)


def _count() -> StrictIntegerField:
    return StrictIntegerField(required=False, min_value=0, max_value=MAX_BIGINT)


def _texts(max_texts: int, max_length: int) -> BoundedListField:
    return BoundedListField(
        child=StrictCharField(allow_blank=True, max_length=max_length),
        required=False,
        max_length=max_texts,
    )


class HardwareSerializer(serializers.Serializer[dict[str, Any]]):
    """`protocol.Hardware`: every key is optional, and unknown keys of newer agents are ignored."""

    platform = _text(300)
    python_version = _text(100)
    cpu_model = _text(300)
    cpu_count = _count()
    ram_bytes = _count()
    torch_version = _text(100)
    devices = _texts(16, 100)
    gpu_name = _text(300)
    gpu_memory_bytes = _count()
    notes = _texts(50, 500)
    machine = _text(64)


class EnrolRequestSerializer(serializers.Serializer[dict[str, Any]]):
    """`protocol.EnrolRequest`."""

    enrolment_token = StrictCharField(max_length=200)
    machine_key = StrictCharField(
        required=False,
        min_length=8,
        max_length=64,
        help_text="What tells the machine from the others of its fleet: letters, digits, “_”, “.”, "
        "“-”. Needed with a fleet's token (xf_…), refused with an invitation.",
    )
    name = _text(100)
    hardware = HardwareSerializer(required=False)
    agent_version = _text(50)

    def validate_machine_key(self, key: str) -> str:
        if not _MACHINE_KEY.fullmatch(key):
            raise serializers.ValidationError("Use 8 to 64 letters, digits, “_”, “.” and “-”.")
        return key

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        is_fleet = attrs["enrolment_token"].startswith(FLEET_PREFIX)
        if is_fleet != ("machine_key" in attrs):
            sentence = (
                "A fleet's token needs the key of the machine."
                if is_fleet
                else ("Only a fleet's token (xf_…) takes the key of a machine; leave it out.")
            )
            raise serializers.ValidationError({"machine_key": [sentence]})
        return attrs


class EnrolReplySerializer(serializers.Serializer[dict[str, Any]]):
    """`protocol.EnrolReply`."""

    worker_id = serializers.IntegerField()
    name = serializers.CharField()
    token = serializers.CharField(help_text="Shown only once; the server stores only its hash.")
    ephemeral = serializers.BooleanField(
        required=False,
        help_text="True for a worker of a fleet: it is retired when it leaves or stays silent.",
    )


class WorkerSerializer(serializers.ModelSerializer[Worker]):
    """What the server knows about the worker that sends the request."""

    worker_id = serializers.IntegerField(source="pk")
    state = serializers.ChoiceField(choices=WorkerState.choices)
    isolation = serializers.ChoiceField(
        choices=ISOLATION_CHOICES, allow_blank=True, help_text="Empty until the agent reports it."
    )
    hardware = HardwareSerializer()
    outdated = serializers.SerializerMethodField(
        help_text="Which of this server's scripts its agent lacks, in a sentence; empty when none."
    )

    class Meta:
        model = Worker
        fields: Any = (
            "worker_id",
            "name",
            "state",
            "pause_reason",
            "simulates",
            "isolation",
            "accepts_uploaded_scripts",
            "agent_version",
            "outdated",
            "hardware",
        )
        read_only_fields = fields

    def get_outdated(self, worker: Worker) -> str:
        return why_outdated(worker)


def features_field() -> serializers.ListField:
    """Return the field of a reply that names what this server knows (`workers.features`)."""
    return serializers.ListField(
        child=serializers.ChoiceField(choices=[(word.value, word.value) for word in Feature]),
        help_text="What this server knows beyond version 0.1.0. Ignore what you do not know.",
    )


class MeSerializer(WorkerSerializer):
    """The calling worker, and what its server knows."""

    features = serializers.SerializerMethodField(help_text="As in the reply to a claim.")

    class Meta(WorkerSerializer.Meta):
        fields: Any = (*WorkerSerializer.Meta.fields, "features")
        read_only_fields = fields

    def get_features(self, _worker: Worker) -> list[str]:
        return sorted(ALL_FEATURES)


class LeaveReplySerializer(serializers.Serializer[dict[str, Any]]):
    """`protocol.LeaveReply`."""

    released = serializers.IntegerField(help_text="How many tasks it held; they are pending again.")
    message = serializers.CharField()


class TokenReplySerializer(serializers.Serializer[dict[str, Any]]):
    """`protocol.TokenReply`."""

    token = serializers.CharField(help_text="Shown only once; the old token no longer works.")
