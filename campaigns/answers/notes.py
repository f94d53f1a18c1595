"""The note on an arm or a task."""

from __future__ import annotations

from typing import Any

from campaigns.models import Arm, Note, Task
from campaigns.serializers.notes import NoteSerializer


def note_data(subject: Arm | Task) -> dict[str, Any]:
    """Return the note on an arm or a task as JSON data, an empty one if there is none."""
    note: Note | None = getattr(subject, "note", None)
    data: dict[str, Any] = NoteSerializer(note or Note(edited_at=None)).data
    return data
