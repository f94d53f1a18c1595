"""What happened to a campaign: what people did, what the server did, and which attempts went wrong.

Each of these three sources is read newest first from a position on. Then they are merged and cut,
so that a page costs the same however long the history is. `every_change` reads the journal instead,
with all changes of state.
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
    "race": "let arms race",
    "race_options": "chose how it races",
    "weight": "set its weight beside other campaigns",
    "place": "set its place among its owner’s campaigns",
    "finish": "said that nobody will ask again",
    "raise_attempts": "allowed more tries",
    "enqueue": "enqueued a task",
    "run_again": "ran an arm again",
    "note": "wrote a note",
    "retry_task": "gave a task another try",
    "cancel_task": "cancelled a task",
}

# What the server itself did to a campaign, by the states before and after.
_CHANGE_WORDS: Final = {
    (CampaignState.DRAFT, CampaignState.ACTIVE): "launched the campaign",
    (CampaignState.ACTIVE, CampaignState.PAUSED): "paused the campaign",
    (CampaignState.PAUSED, CampaignState.ACTIVE): "resumed the campaign",
    (CampaignState.COMPLETED, CampaignState.ACTIVE): "the campaign runs again",
    (CampaignState.ACTIVE, CampaignState.COMPLETED): "the campaign is completed",
    (CampaignState.PAUSED, CampaignState.COMPLETED): "the campaign is completed",
    (CampaignState.ACTIVE, CampaignState.ACTIVE): "made no further tasks",
    (CampaignState.PAUSED, CampaignState.PAUSED): "made no further tasks",
}


@dataclass(frozen=True, order=True)
class Position:
    """A position in the history: instant, source, id within the source. Older ones are smaller."""

    at: dt.datetime
    source: int
    pk: int

    def __str__(self) -> str:
        return _SEPARATOR.join((self.at.isoformat(), str(self.source), str(self.pk)))

    @classmethod
    def parse(cls, text: str) -> Position | None:
        """Parse what `str` wrote; None for anything else, because it comes from the URL."""
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
    """Return the rows of a source that are older than a position, newest first."""
    if before is not None:
        older = Q(**{f"{field}__lt": before.at})
        if source < before.source:
            older |= Q(**{field: before.at})
        elif source == before.source:
            older |= Q(**{field: before.at}, pk__lt=before.pk)
        rows = rows.filter(older)
    return rows.order_by(f"-{field}", "-pk")


def _attempts(campaign: Campaign, before: Position | None, limit: int) -> list[Event]:
    attempts = Attempt.objects.filter(
        task__campaign=campaign, outcome__in=[AttemptOutcome.FAILED, AttemptOutcome.LOST]
    ).select_related("task", "worker")
    older = _older(attempts.brief(), "ended_at", ATTEMPT, before)
    return [
        Event(
            Position(attempt.ended_at, ATTEMPT, attempt.pk),
            tone=attempt.outcome,
            who=attempt.worker.name,
            what=f"attempt {attempt.number}: {FailureClass(attempt.failure_class).label}",
            detail=attempt.message,
            task=attempt.task,
        )
        for attempt in older[:limit]
    ]


def _entries(campaign: Campaign, before: Position | None, limit: int) -> list[AuditEntry]:
    """Return what people did to the campaign and its tasks."""
    # Two queries: for a single one with an OR, PostgreSQL reads all tasks of the campaign.
    own_task = Exists(Task.objects.filter(pk=OuterRef("target_id"), campaign=campaign))
    of_tasks = AuditEntry.objects.filter(own_task, target_kind=_kind(Task))
    of_campaign = AuditEntry.objects.filter(_of_campaign(campaign))
    entries = [
        entry
        for rows in (of_campaign, of_tasks)
        for entry in _older(rows, "at", PERSON, before)[:limit]
    ]
    return sorted(entries, key=lambda entry: (entry.at, entry.pk), reverse=True)[:limit]


def _people(entries: list[AuditEntry]) -> list[Event]:
    task_ids = [entry.target_id for entry in entries if entry.target_kind == _kind(Task)]
    tasks = Task.objects.in_bulk(task_ids) if task_ids else {}
    return [
        Event(
            Position(entry.at, PERSON, entry.pk),
            tone=_TONES.get(entry.verb, "draft"),
            who=entry.actor_name,
            what=_VERB_WORDS.get(entry.verb, entry.verb.replace("_", " ")),
            detail=entry.detail,
            task=tasks.get(entry.target_id) if entry.target_kind == _kind(Task) else None,
        )
        for entry in entries
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
    "run_again": "pending",
    "race": "pending",
}


def _server(campaign: Campaign, before: Position | None, limit: int) -> list[Event]:
    """Return what the server did to the campaign by itself."""
    changes = StateChange.objects.filter(
        campaign=campaign, subject=ChangeSubject.CAMPAIGN, actor_kind=ActorKind.SYSTEM
    )
    return [
        Event(
            Position(change.at, SERVER, change.pk),
            tone=change.to_state,
            who="",
            what=_CHANGE_WORDS.get((change.from_state, change.to_state), f"{change.to_state} now"),
            detail=change.reason,
        )
        for change in _older(changes, "at", SERVER, before)[:limit]
    ]


def _making(
    campaign: Campaign, before: Position | None, entries: list[AuditEntry], *, are_all: bool
) -> list[Event]:
    """Return the event of the campaign's creation, unless the audit log has it with its author.

    `are_all` says that `entries` are all audit entries of the campaign. The journal does not help:
    it begins with the first change of state.
    """
    created = Event(Position(campaign.created_at, SERVER, 0), "draft", "", "created the campaign")
    if before is not None and created.position >= before:
        return []
    if are_all:
        is_recorded = any(
            (entry.target_kind, entry.verb) == (_kind(Campaign), "create") for entry in entries
        )
    else:
        creation = AuditEntry.objects.filter(_of_campaign(campaign), verb="create")
        is_recorded = creation.exists()
    return [] if is_recorded else [created]


def every_change(campaign: Campaign, *, before: Position | None, limit: int) -> list[Event]:
    """Return at most `limit` changes of state of the campaign, its tasks and their attempts.

    Newest first, in the order in which they were written; `before` is the last change's position.
    """
    changes = StateChange.objects.filter(campaign=campaign).select_related("task", "attempt")
    if before is not None:
        changes = changes.filter(pk__lt=before.pk)
    return [
        Event(
            Position(change.at, SERVER, change.pk),
            tone=change.to_state,
            who=change.actor_name,
            what=_subject_words(change),
            detail=change.reason,
            task=change.task,
        )
        for change in changes.order_by("-pk")[:limit]
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
