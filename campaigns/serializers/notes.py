"""Notes on arms and tasks, and the further runs of an arm."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from campaigns.lifecycle import MOST_TIMES_AGAIN
from campaigns.models import MAX_NOTE_LENGTH
from campaigns.serializers.known_fields import KnownFieldsSerializer
from workers.api.fields import StrictIntegerField


class NoteSerializer(serializers.Serializer[Any]):
    """The note on an arm or a task; nobody has written one while `edits` is 0."""

    text = serializers.CharField(allow_blank=True)
    author = serializers.CharField(
        source="author_name", allow_blank=True, help_text="Who wrote it last."
    )
    edits = serializers.IntegerField(help_text="How often it was written.")
    edited_at = serializers.DateTimeField(allow_null=True)


class WriteNoteSerializer(KnownFieldsSerializer[dict[str, Any]]):
    """A new text of a note."""

    text = serializers.CharField(
        allow_blank=True,
        max_length=MAX_NOTE_LENGTH,
        help_text="Plain text, which replaces the note; empty to have none.",
    )
    edits = StrictIntegerField(
        required=False,
        min_value=0,
        help_text="That of the note you have read: 409 if somebody has changed it since. Without "
        "it the text is written in any case.",
    )


class RunArmAgainSerializer(KnownFieldsSerializer[dict[str, Any]]):
    """How many further seeds an arm runs on."""

    times = StrictIntegerField(default=1, min_value=1, max_value=MOST_TIMES_AGAIN)
