"""What happened to a campaign: what people did, what the server did, and which attempts went wrong.

Three sources, each read newest first from a position on, merged and cut: a page costs the same
however long the history is.
"""

from __future__ import annotations

import datetime as dt
import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Model, Q, QuerySet

from campaigns.models import Attempt, AttemptOutcome, Campaign, FailureClass, Task
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
    sources: list[Iterable[Event]] = [
        _attempts(campaign, before, limit),
        _people(campaign, before, limit),
        _server(campaign, before),
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
    found = _older(bad.defer("stderr_tail", "submission", "answer"), "ended_at", ATTEMPT, before)
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


def _people(campaign: Campaign, before: Position | None, limit: int) -> list[Event]:
    of_tasks = Q(target_kind=_kind(Task), target_id__in=campaign.tasks.order_by().values("pk"))
    entries = AuditEntry.objects.filter(_of_campaign(campaign) | of_tasks)
    found = list(_older(entries, "at", PERSON, before)[:limit])
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


def _server(campaign: Campaign, before: Position | None) -> list[Event]:
    """Return the changes of state that the campaign's times tell and no person's entry does."""
    times: list[tuple[dt.datetime | None, str, str, str, str]] = [
        (campaign.created_at, "create", "draft", "created the campaign", ""),
        (campaign.launched_at, "launch", "active", "launched the campaign", ""),
        (campaign.paused_at, "pause", "paused", "paused the campaign", campaign.state_reason),
        (campaign.resumed_at, "resume", "active", "the campaign ran again", ""),
        (campaign.finished_at, "cancel", campaign.state, f"the campaign is {campaign.state}", ""),
    ]
    known = [
        (at, verb, tone, what, detail) for at, verb, tone, what, detail in times if at is not None
    ]
    entries = AuditEntry.objects.filter(_of_campaign(campaign), at__in=[at for at, *_ in known])
    # A person's act carries the very instant that it wrote on the campaign.
    told = set(entries.order_by().values_list("at", "verb"))
    found = [
        Event(Position(at, SERVER, number), tone, "", what, detail)
        for number, (at, verb, tone, what, detail) in enumerate(known)
        if (at, verb) not in told
    ]
    return sorted(
        (one for one in found if before is None or one.position < before),
        key=lambda one: one.position,
        reverse=True,
    )


def _of_campaign(campaign: Campaign) -> Q:
    return Q(target_kind=_kind(Campaign), target_id=campaign.pk)


def _kind(model: type[Model]) -> str:
    return model._meta.model_name or ""  # noqa: SLF001 - public by its docs
