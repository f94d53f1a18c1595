"""What follows from a stored result and may happen late: see `endings.note_ended_task`."""

from __future__ import annotations

import datetime as dt

from campaigns.lifecycle.endings import note_ended_task
from campaigns.notifications import events


def note_result(campaign_id: int, *, now: dt.datetime) -> None:
    """Note that a task of the campaign has a result; call it after the commit."""
    note_ended_task(campaign_id, now=now)
    # Last: a notification that fails must not cost the rest.
    events.note_new_best(campaign_id, now=now)


def note_soon(campaign_id: int, *, now: dt.datetime) -> None:
    """Note a result."""
    note_result(campaign_id, now=now)
