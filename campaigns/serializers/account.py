"""What belongs to a person: the account, personal tokens, the audit log."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from campaigns.models import PersonalToken
from campaigns.serializers.known_fields import KnownFieldsSerializer
from campaigns.tokens import personal_tokens
from workers.api.fields import StrictCharField
from workers.models import AuditEntry
from xeenet_site.web import roles


class AccountSerializer(serializers.Serializer[Any]):
    """The caller: who it is, and what the role allows."""

    username = serializers.CharField()
    role = serializers.ChoiceField(choices=[(role, role) for role in roles.ROLES])
    may_create = serializers.BooleanField(
        help_text="Whether the caller may create campaigns and webhooks, and change their own."
    )
    may_operate = serializers.BooleanField(
        help_text="Whether the caller may change everybody's campaigns and the workers, and read "
        "the audit log."
    )


class TokenSerializer(serializers.ModelSerializer[PersonalToken]):
    """One personal token. The server stores only its hash."""

    class Meta:
        model = PersonalToken
        fields: Any = ("id", "name", "created_at", "last_used_at")
        read_only_fields = fields


class NewTokenSerializer(TokenSerializer):
    """A new personal token."""

    token = serializers.CharField(help_text="The token itself. It is shown only once.")

    class Meta(TokenSerializer.Meta):
        fields = (*TokenSerializer.Meta.fields, "token")
        read_only_fields = fields


class TokenRequestSerializer(KnownFieldsSerializer[dict[str, Any]]):
    """A name that says what the new token is for."""

    name = StrictCharField(max_length=personal_tokens.MAX_NAME_LENGTH)


class AuditEntrySerializer(serializers.ModelSerializer[AuditEntry]):
    """One act of a person."""

    class Meta:
        model = AuditEntry
        fields = (
            "id",
            "at",
            "actor_name",
            "verb",
            "target_kind",
            "target_id",
            "target_name",
            "detail",
        )
        read_only_fields = fields
