"""Invitations for machines, and new tokens of workers."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from campaigns.serializers.known_fields import KnownFieldsSerializer
from workers.api.fields import StrictCharField
from workers.models import EnrolmentToken


class InvitationSerializer(serializers.ModelSerializer[EnrolmentToken]):
    """One invitation. The server stores only the hash of its token."""

    created_by = serializers.CharField(
        source="created_by.username",
        default=None,
        allow_null=True,
        help_text="Null if it was made on the server's command line.",
    )
    worker = serializers.CharField(
        source="worker.name",
        default=None,
        allow_null=True,
        help_text="The worker that joined with it.",
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
            "refused_name",
            "refusal",
            "refused_at",
        )
        read_only_fields = fields


class NewInvitationSerializer(InvitationSerializer):
    """A new invitation."""

    enrolment_token = serializers.CharField(
        help_text="It is shown only once, and valid for one machine."
    )
    install = serializers.CharField(
        help_text="What to type on a machine with Linux or macOS, once, to get the program."
    )
    command = serializers.CharField(help_text="What to type there then: it joins and works.")
    link = serializers.CharField(help_text="The page that says so to who sits at the machine.")

    problem = serializers.CharField(
        help_text="What keeps other machines from this server's address; empty for nothing known."
    )

    class Meta(InvitationSerializer.Meta):
        fields = (
            *InvitationSerializer.Meta.fields,
            "enrolment_token",
            "install",
            "command",
            "link",
            "problem",
        )
        read_only_fields = fields


class InvitationRequestSerializer(KnownFieldsSerializer[dict[str, Any]]):
    """A label that says whom or which machine the invitation is for."""

    label = StrictCharField(  # type: ignore[assignment]
        required=False, allow_blank=True, max_length=100, default=""
    )


class NewWorkerTokenSerializer(serializers.Serializer[Any]):
    """A worker's new token."""

    worker_id = serializers.IntegerField()
    name = serializers.CharField()
    token = serializers.CharField(help_text="It is shown only once. The old token is now invalid.")
