"""The note on an arm or a task."""

from __future__ import annotations

from typing import Any, Final

from campaigns.models import Arm, Note, Task
from campaigns.serializers.notes import NoteSerializer

# What nobody has written yet.
_NONE: Final = {"text": "", "author_name": "", "edits": 0, "edited_at": None}


def note_data(subject: Arm | Task) -> dict[str, Any]:
    """Return the note on an arm or a task as JSON data, an empty one if there is none."""
    note: Note | None = getattr(subject, "note", None)
    data: dict[str, Any] = NoteSerializer(note or _NONE).data
    return data
