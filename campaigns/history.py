"""What happened to a campaign: what people did, what the server did, and which attempts went wrong.

Three sources, each read newest first from a position on, merged and cut: a page costs the same
however long the history is. Beside it the journal itself, with every change of state.
"""

from __future__ import annotations

import datetime as dt
import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Exists, Model, OuterRef, Q, QuerySet

from campaigns.models import (
    ActorKind,
    Attempt,
    AttemptOutcome,
    Campaign,
    CampaignState,
    ChangeSubject,
    FailureClass,
    StateChange,
    Task,
)
from workers.models import AuditEntry

# The order of the sources among events of one instant, newest first.
ATTEMPT: Final = 2
PERSON: Final = 1
SERVER: Final = 0
_SEPARATOR: Final = "~"

_VERB_WORDS: Final = {
    "create": "created the campaign",
    "launch": "launched the campaign",
    "pause": "paused the campaign",
    "resume": "resumed the campaign",
    "cancel": "cancelled the campaign",
    "add_tasks": "added tasks",
    "raise_attempts": "allowed more tries",
    "enqueue": "enqueued a task",
    "retry_task": "gave a task another try",
    "cancel_task": "cancelled a task",
}

# What the server itself did to a campaign, by the states it left and reached.
_CHANGE_WORDS: Final = {
    (CampaignState.DRAFT, CampaignState.ACTIVE): "launched the campaign",
    (CampaignState.ACTIVE, CampaignState.PAUSED): "paused the campaign",
    (CampaignState.PAUSED, CampaignState.ACTIVE): "resumed the campaign",
    (CampaignState.COMPLETED, CampaignState.ACTIVE): "the campaign runs again",
    (CampaignState.ACTIVE, CampaignState.COMPLETED): "the campaign is completed",
    (CampaignState.PAUSED, CampaignState.COMPLETED): "the campaign is completed",
}


@dataclass(frozen=True, order=True)
class Position:
    """A place in the history, older ones smaller: instant, source, id within the source."""

    at: dt.datetime
    source: int
    pk: int

    def __str__(self) -> str:
        return _SEPARATOR.join((self.at.isoformat(), str(self.source), str(self.pk)))

    @classmethod
    def parse(cls, text: str) -> Position | None:
        """Read what `str` wrote; None for anything else, since it comes from the address line."""
        try:
            at, source, pk = text.split(_SEPARATOR)
            position = cls(dt.datetime.fromisoformat(at), int(source), int(pk))
        except (ValueError, OverflowError):
            return None
        is_sane = position.at.tzinfo is not None and 0 <= position.pk < 2**63
        return position if is_sane else None


@dataclass(frozen=True)
class Event:
    """One line of the log. `tone` is a state or outcome word that `chip` can draw."""

    position: Position
    tone: str
    who: str
    what: str
    detail: str = ""
    task: Task | None = None

    @property
    def at(self) -> dt.datetime:
        return self.position.at


def events(campaign: Campaign, *, before: Position | None, limit: int) -> list[Event]:
    """Return at most `limit` events older than `before` (None: than now), newest first."""
    entries = _entries(campaign, before, limit)
    sources: list[Iterable[Event]] = [
        _attempts(campaign, before, limit),
        _people(entries),
        _server(campaign, before, limit),
        _making(campaign, before, entries, are_all=before is None and len(entries) < limit),
    ]
    merged = heapq.merge(*sources, key=lambda event: event.position, reverse=True)
    return [event for event, _ in zip(merged, range(limit), strict=False)]


def _older(rows: QuerySet[Any], field: str, source: int, before: Position | None) -> QuerySet[Any]:
    """Keep the rows of a source that stand below a position, newest first."""
    if before is not None:
        older = Q(**{f"{field}__lt": before.at})
        if source < before.source:
            older |= Q(**{field: before.at})
        elif source == before.source:
            older |= Q(**{field: before.at}, pk__lt=before.pk)
        rows = rows.filter(older)
    return rows.order_by(f"-{field}", "-pk")


def _attempts(campaign: Campaign, before: Position | None, limit: int) -> list[Event]:
    bad = Attempt.objects.filter(
        task__campaign=campaign, outcome__in=[AttemptOutcome.FAILED, AttemptOutcome.LOST]
    ).select_related("task", "worker")
    found = _older(bad.brief(), "ended_at", ATTEMPT, before)
    return [
        Event(
            Position(one.ended_at, ATTEMPT, one.pk),
            tone=one.outcome,
            who=one.worker.name,
            what=f"attempt {one.number}: {FailureClass(one.failure_class).label}",
            detail=one.message,
            task=one.task,
        )
        for one in found[:limit]
    ]


def _entries(campaign: Campaign, before: Position | None, limit: int) -> list[AuditEntry]:
    """Return what people did to the campaign and its tasks."""
    # Two questions: in one with an "or", PostgreSQL reads all tasks of the campaign.
    own_task = Exists(Task.objects.filter(pk=OuterRef("target_id"), campaign=campaign))
    of_tasks = AuditEntry.objects.filter(own_task, target_kind=_kind(Task))
    of_campaign = AuditEntry.objects.filter(_of_campaign(campaign))
    found = [
        entry
        for entries in (of_campaign, of_tasks)
        for entry in _older(entries, "at", PERSON, before)[:limit]
    ]
    return sorted(found, key=lambda one: (one.at, one.pk), reverse=True)[:limit]


def _people(found: list[AuditEntry]) -> list[Event]:
    named = [one.target_id for one in found if one.target_kind == _kind(Task)]
    tasks = Task.objects.in_bulk(named) if named else {}
    return [
        Event(
            Position(one.at, PERSON, one.pk),
            tone=_TONES.get(one.verb, "draft"),
            who=one.actor_name,
            what=_VERB_WORDS.get(one.verb, one.verb.replace("_", " ")),
            detail=one.detail,
            task=tasks.get(one.target_id) if one.target_kind == _kind(Task) else None,
        )
        for one in found
    ]


_TONES: Final = {
    "launch": "active",
    "resume": "active",
    "pause": "paused",
    "cancel": "cancelled",
    "cancel_task": "cancelled",
    "retry_task": "pending",
    "enqueue": "pending",
    "add_tasks": "pending",
}


def _server(campaign: Campaign, before: Position | None, limit: int) -> list[Event]:
    """Return what the server did to the campaign by itself."""
    changes = StateChange.objects.filter(
        campaign=campaign, subject=ChangeSubject.CAMPAIGN, actor_kind=ActorKind.SYSTEM
    )
    return [
        Event(
            Position(one.at, SERVER, one.pk),
            tone=one.to_state,
            who="",
            what=_CHANGE_WORDS.get((one.from_state, one.to_state), f"{one.to_state} now"),
            detail=one.reason,
        )
        for one in _older(changes, "at", SERVER, before)[:limit]
    ]


def _making(
    campaign: Campaign, before: Position | None, entries: list[AuditEntry], *, are_all: bool
) -> list[Event]:
    """Return that the campaign was made, unless the audit log tells whose doing it was.

    `are_all` says that `entries` are all that people ever did here. The journal begins later, with
    the first change.
    """
    made = Event(Position(campaign.created_at, SERVER, 0), "draft", "", "created the campaign")
    if before is not None and made.position >= before:
        return []
    if are_all:
        told = any((one.target_kind, one.verb) == (_kind(Campaign), "create") for one in entries)
    else:
        told = AuditEntry.objects.filter(_of_campaign(campaign), verb="create").exists()
    return [] if told else [made]


def every_change(campaign: Campaign, *, before: Position | None, limit: int) -> list[Event]:
    """Return at most `limit` changes of state of the campaign, its tasks and their attempts.

    Newest first, in the order in which they were written; `before` is the last one's position.
    """
    changes = StateChange.objects.filter(campaign=campaign).select_related("task", "attempt")
    if before is not None:
        changes = changes.filter(pk__lt=before.pk)
    return [
        Event(
            Position(one.at, SERVER, one.pk),
            tone=one.to_state,
            who=one.actor_name,
            what=_subject_words(one),
            detail=one.reason,
            task=one.task,
        )
        for one in changes.order_by("-pk")[:limit]
    ]


def _subject_words(change: StateChange) -> str:
    moved = f"{change.from_state or 'claimed'} → {change.to_state}"
    attempt = f"attempt {change.attempt.number}" if change.attempt else ""
    if change.subject == ChangeSubject.ATTEMPT:
        return f"{attempt}: {moved}"
    return f"{moved} by {attempt}" if attempt else moved


def _of_campaign(campaign: Campaign) -> Q:
    return Q(target_kind=_kind(Campaign), target_id=campaign.pk)


def _kind(model: type[Model]) -> str:
    return model._meta.model_name or ""  # noqa: SLF001 - public by its docs
