"""Uploaded training scripts."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from campaigns.models import MAX_REASON_LENGTH, Package, PackageOrigin
from campaigns.scripts import steering as script_steering
from campaigns.scripts.source import MAX_NAME_CHARACTERS, MAX_SCRIPT_BYTES
from campaigns.serializers.known_fields import KnownFieldsSerializer
from workers.api.fields import StrictCharField


class ScriptSerializer(serializers.ModelSerializer[Package]):
    """One uploaded script of a list."""

    uploaded_by = serializers.CharField(
        source="uploaded_by.username", default=None, allow_null=True
    )
    approved_by = serializers.CharField(
        source="approved_by.username", default=None, allow_null=True
    )
    declined_by = serializers.CharField(
        source="declined_by.username", default=None, allow_null=True
    )
    may_run = serializers.BooleanField(help_text="Whether workers may be given it.")
    # Not editable, so the generated field would be a plain text.
    origin = serializers.ChoiceField(choices=PackageOrigin.choices)

    class Meta:
        model = Package
        fields: Any = (
            "sha256",
            "name",
            "experiment",
            "origin",
            "may_run",
            "uploaded_by",
            "created_at",
            "approved_by",
            "approved_at",
            "declined_by",
            "declined_at",
            "declined_reason",
        )
        read_only_fields = fields


class ScriptDetailSerializer(ScriptSerializer):
    """One script with its text, and how it differs from the experiment's own."""

    source = serializers.SerializerMethodField(  # type: ignore[assignment]
        help_text="The script as text."
    )
    difference = serializers.SerializerMethodField(
        help_text="Lines of a unified diff from the experiment's own script; none for itself."
    )

    class Meta(ScriptSerializer.Meta):
        fields = (*ScriptSerializer.Meta.fields, "source", "difference")
        read_only_fields = fields

    def get_source(self, package: Package) -> str:
        return script_steering.text_of(package)

    def get_difference(self, package: Package) -> list[str]:
        return script_steering.difference(package)


class UploadSerializer(KnownFieldsSerializer[dict[str, Any]]):
    """A script to upload: the text of one .py file. Its rules are in `campaigns.scripts.source`."""

    name = StrictCharField(max_length=MAX_NAME_CHARACTERS, trim_whitespace=False)
    experiment = StrictCharField(
        max_length=100, help_text="The catalog's experiment that it is a variation of."
    )
    # `trim_whitespace` off: the hash is of the text as it was sent.
    source = StrictCharField(  # type: ignore[assignment]
        max_length=MAX_SCRIPT_BYTES, trim_whitespace=False
    )


class DeclineSerializer(KnownFieldsSerializer[dict[str, Any]]):
    """Why an operator does not approve a script."""

    reason = StrictCharField(
        max_length=MAX_REASON_LENGTH, help_text="Who uploaded the script reads it."
    )
