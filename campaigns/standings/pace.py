"""How long the last tasks of a campaign kept a worker busy."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from django.db.models import F, OuterRef, Q, QuerySet, Subquery

from campaigns.caching import cached_for_each
from campaigns.models import AttemptOutcome, Campaign, Result, Task, TaskState

# The pace is that of about so many of the last tasks, so that it follows today's fleet.
WINDOW: Final = 50
# A shorter run is as good as none: nothing can be divided by its time.
LEAST_SECONDS: Final = 0.05
# So many campaigns are read in one query, of two parts each.
FEW: Final = 6
_NAME: Final = "pace"
_EVER: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_ATTEMPT: Final = ("number", "worker_id", "started_at", "ended_at", "outcome")
# Campaign, task, when it ended, and the columns of an attempt.
_Row = tuple[Any, ...]
# Nobody computed during these: the worker had gone.
_NOT_BUSY: Final = frozenset({AttemptOutcome.LOST, AttemptOutcome.LATE})


class Share(NamedTuple):
    """What a worker did of the last tasks: its busy seconds, and the tasks that ended with it."""

    seconds: float = 0.0
    tasks: int = 0


@dataclass(frozen=True)
class Pace:
    """What the last tasks that ran to an end took. Times between their attempts do not count.

    `span_seconds` is how long at least one of them ran.
    """

    shares: Mapping[int, Share] = field(default_factory=dict)
    span_seconds: float = 0.0
    last_end: dt.datetime | None = None

    @property
    def total(self) -> Share:
        """What all workers did together."""
        return Share(
            sum(share.seconds for share in self.shares.values()),
            sum(share.tasks for share in self.shares.values()),
        )

    @property
    def tasks_per_hour(self) -> float | None:
        """How many tasks ended per hour in which any ran; None before one did."""
        if not self.total.tasks:
            return None
        return self.total.tasks / max(self.span_seconds, LEAST_SECONDS) * 3600


def paces(campaigns: Sequence[Campaign]) -> dict[int, Pace]:
    """Return the pace of each freshly loaded campaign: one query for a few, two for many.

    Cancelled tasks are left out: a person ends many in one click, which says nothing of a fleet.
    """
    return cached_for_each(
        campaigns, _NAME, lambda these: (_few if len(these) <= FEW else _many)(these)
    )


def _few(campaigns: Sequence[Campaign]) -> dict[int, Pace]:
    """Read the last tasks of each of a few campaigns, by an index."""
    parts = []
    for campaign in campaigns:
        results = campaign.results.order_by("-created_at", "-pk").values("pk")[:WINDOW]
        failed = campaign.tasks.filter(state=TaskState.FAILED)
        failed_last = failed.order_by("-finished_at", "-pk").values("pk")[:WINDOW]
        parts += _attempts(
            Result.objects.filter(pk__in=results), Task.objects.filter(pk__in=failed_last)
        )
    return _by_campaign(campaigns, parts)


def _many(campaigns: Sequence[Campaign]) -> dict[int, Pace]:
    """Read the last tasks of many campaigns: first since when, by an index, then the tasks."""
    results = Result.objects.filter(campaign=OuterRef("pk")).order_by("-created_at", "-pk")
    failed = Task.objects.filter(campaign=OuterRef("pk"), state=TaskState.FAILED)
    these = Campaign.objects.filter(pk__in=[campaign.pk for campaign in campaigns]).only("pk")
    starts: QuerySet[Any] = these.order_by().annotate(
        of_results=Subquery(results.values("created_at")[WINDOW - 1 : WINDOW]),
        of_failed=Subquery(
            failed.order_by("-finished_at").values("finished_at")[WINDOW - 1 : WINDOW]
        ),
    )
    completed_since, failed_since = Q(pk__in=()), Q(pk__in=())
    for start in starts:
        completed_since |= Q(campaign=start.pk, created_at__gte=start.of_results or _EVER)
        failed_since |= Q(campaign=start.pk, finished_at__gte=start.of_failed or _EVER)
    parts = _attempts(
        Result.objects.filter(completed_since),
        Task.objects.filter(failed_since, state=TaskState.FAILED),
    )
    return _by_campaign(campaigns, parts)


def _by_campaign(
    campaigns: Sequence[Campaign], parts: Sequence[QuerySet[Any, Any]]
) -> dict[int, Pace]:
    """Read the parts in one query. A task's last try comes first."""
    rows: dict[int, list[_Row]] = {campaign.pk: [] for campaign in campaigns}
    for row in sorted(
        parts[0].union(*parts[1:], all=True), key=lambda row: row[3] or 0, reverse=True
    ):
        rows[row[0]].append(row)
    return {pk: _pace(own) for pk, own in rows.items()}


def _attempts(results: QuerySet[Result], failed: QuerySet[Task]) -> list[QuerySet[Any, Any]]:
    """Return what reads the attempts at the tasks of these results and at these failed tasks."""
    of_results = results.order_by().annotate(ended=F("created_at"))
    of_failed = failed.order_by().annotate(ended=F("finished_at"))
    return [
        of_results.values_list(
            "campaign_id", "task_id", "ended", *(f"task__attempts__{name}" for name in _ATTEMPT)
        ),
        of_failed.values_list(
            "campaign_id", "pk", "ended", *(f"attempts__{name}" for name in _ATTEMPT)
        ),
    ]


def _pace(rows: Iterable[_Row]) -> Pace:
    """Return the pace of the last `WINDOW` tasks among the rows of attempts."""
    tasks: dict[int, list[_Row]] = defaultdict(list)
    for row in rows:
        tasks[row[1]].append(row)
    last = sorted(tasks.values(), key=lambda attempts: attempts[0][2], reverse=True)[:WINDOW]
    seconds: dict[int, float] = defaultdict(float)
    ended: dict[int, int] = defaultdict(int)
    stretches = []
    for attempts in last:
        for *_, worker, started_at, ended_at, outcome in attempts:
            if ended_at is not None and outcome not in _NOT_BUSY:
                seconds[worker] += (ended_at - started_at).total_seconds()
                stretches.append((started_at, ended_at))
        # The last try comes first, and its worker ended the task.
        if (worker := attempts[0][4]) is not None:
            ended[worker] += 1
    return Pace(
        {worker: Share(seconds[worker], ended[worker]) for worker in {*seconds, *ended}},
        _length(stretches),
        last[0][0][2] if last else None,
    )


def _length(stretches: Iterable[tuple[dt.datetime, dt.datetime]]) -> float:
    """Return how long at least one of the stretches lasts, in seconds."""
    length, until = 0.0, _EVER
    for start, end in sorted(stretches):
        if end > until:
            length += (end - max(start, until)).total_seconds()
            until = end
    return length
