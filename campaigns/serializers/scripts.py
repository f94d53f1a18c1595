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
    """One training script."""

    uploaded_by = serializers.CharField(
        source="uploaded_by.username", default=None, allow_null=True
    )
    approved_by = serializers.CharField(
        source="approved_by.username", default=None, allow_null=True
    )
    declined_by = serializers.CharField(
        source="declined_by.username", default=None, allow_null=True
    )
    may_run = serializers.BooleanField(help_text="Whether workers may get the script.")
    # Declared by hand: for a model field that is not editable, REST framework would generate a text
    # field without its choices.
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
    """One script with its text, and its difference to the experiment's own script."""

    source = serializers.SerializerMethodField(  # type: ignore[assignment]
        help_text="The script as text."
    )
    difference = serializers.SerializerMethodField(
        help_text="Lines of a unified diff from the experiment's own script. Empty for that script "
        "itself."
    )

    class Meta(ScriptSerializer.Meta):
        fields = (*ScriptSerializer.Meta.fields, "source", "difference")
        read_only_fields = fields

    def get_source(self, package: Package) -> str:
        return script_steering.text_of(package)

    def get_difference(self, package: Package) -> list[str]:
        return script_steering.difference(package)


class UploadSerializer(KnownFieldsSerializer[dict[str, Any]]):
    """A script to upload: the text of one .py file, checked by `campaigns.scripts.source`."""

    name = StrictCharField(max_length=MAX_NAME_CHARACTERS, trim_whitespace=False)
    experiment = StrictCharField(
        max_length=100, help_text="The experiment of the catalog that the script is a variation of."
    )
    # Whitespace must stay: the hash covers the text exactly as it was sent.
    source = StrictCharField(  # type: ignore[assignment]
        max_length=MAX_SCRIPT_BYTES, trim_whitespace=False
    )


class DeclineSerializer(KnownFieldsSerializer[dict[str, Any]]):
    """Why an operator does not approve a script."""

    reason = StrictCharField(
        max_length=MAX_REASON_LENGTH, help_text="The uploader and everybody else can read it."
    )
