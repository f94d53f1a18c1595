"""The verb that writes a note on an arm or a task."""

from __future__ import annotations

import datetime as dt

from django.contrib.auth.models import User
from django.db.models import F

from campaigns.lifecycle.errors import InvalidCampaign, WrongState
from campaigns.models import MAX_NOTE_LENGTH, Arm, Note, Task
from workers import audit


def write_note(
    subject: Arm | Task,
    text: str,
    *,
    author: User | None,
    now: dt.datetime,
    edits: int | None = None,
) -> Note:
    """Replace the note on an arm or a task; "" empties it. An author of None is the command line.

    `edits` is the count of the note that the author read, None to write whatever it is. Raises
    InvalidCampaign for a text that is too long, and WrongState when the note has another count.
    Call it in a transaction.
    """
    text = plain_note(text)
    if len(text) > MAX_NOTE_LENGTH:
        raise InvalidCampaign({"text": [f"must have at most {MAX_NOTE_LENGTH:,} characters"]})
    key = {"arm" if isinstance(subject, Arm) else "task": subject}
    columns = {"campaign_id": subject.campaign_id, "edited_at": now}
    note, _ = Note.objects.get_or_create(**key, defaults=columns)
    rows = Note.objects.filter(pk=note.pk)
    if edits is not None:
        rows = rows.filter(edits=edits)
    changed = rows.update(
        text=text,
        author=author,
        author_name=audit.name_of(author),
        edits=F("edits") + 1,
        edited_at=now,
    )
    note.refresh_from_db()
    if not changed:
        raise WrongState(
            f"{note.author_name or 'Somebody'} has changed this note since you read it. Read it "
            "again, then write yours."
        )
    return note


def plain_note(text: str) -> str:
    """Return a text as it is stored: stripped, its lines divided by a line feed alone."""
    # No database stores NUL characters, and browsers send \r\n.
    return text.replace("\0", "\ufffd").replace("\r\n", "\n").replace("\r", "\n").strip()
