"""Invitations for machines, and new tokens of workers."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from campaigns.serializers.known_fields import KnownFieldsSerializer
from workers.api.fields import StrictCharField
from workers.models import EnrolmentToken


class InvitationSerializer(serializers.ModelSerializer[EnrolmentToken]):
    """One invitation; only the hash of its token is stored."""

    created_by = serializers.CharField(
        source="created_by.username",
        default=None,
        allow_null=True,
        help_text="Null: the command line on the server.",
    )
    worker = serializers.CharField(
        source="worker.name", default=None, allow_null=True, help_text="Who joined with it."
    )

    class Meta:
        model = EnrolmentToken
        fields: Any = (
            "id",
            "label",
            "created_by",
            "created_at",
            "expires_at",
            "used_at",
            "worker",
        )
        read_only_fields = fields


class NewInvitationSerializer(InvitationSerializer):
    """An invitation that was just made."""

    enrolment_token = serializers.CharField(help_text="Shown this once; good for one machine.")
    command = serializers.CharField(help_text="What to type on the machine.")

    class Meta(InvitationSerializer.Meta):
        fields = (*InvitationSerializer.Meta.fields, "enrolment_token", "command")
        read_only_fields = fields


class InvitationRequestSerializer(KnownFieldsSerializer[dict[str, Any]]):
    """For whom or what it is."""

    label = StrictCharField(  # type: ignore[assignment]
        required=False, allow_blank=True, max_length=100, default=""
    )


class NewWorkerTokenSerializer(serializers.Serializer[Any]):
    """A worker's new token."""

    worker_id = serializers.IntegerField()
    name = serializers.CharField()
    token = serializers.CharField(help_text="Shown this once; the old one opens nothing any more.")
