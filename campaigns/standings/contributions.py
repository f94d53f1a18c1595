"""What each worker did for a campaign: how many attempts, how they ended, how long they took."""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from statistics import median

from django.db.models import Count, Min

from campaigns.caching import cached_roughly
from campaigns.models import Attempt, AttemptOutcome, Campaign
from experiments.metrics import MetricSpec
from workers.models import Worker

_WITH_RESULT = frozenset({AttemptOutcome.COMPLETED, AttemptOutcome.DIVERGED})


@dataclass
class _Tally:
    """The ended attempts of one worker, counted; the seconds are those of runs with a result."""

    outcomes: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Contribution:
    """One worker's share of a campaign. Times are in seconds; None where nothing is known."""

    worker: Worker
    is_online: bool
    running: int
    completed: int
    # By failure class, most frequent first.
    failures: dict[str, int]
    lost: int
    median_seconds: float | None
    compute_seconds: float
    # In the unit of `spec`, the campaign's metric.
    best: float | None
    spec: MetricSpec


def of_workers(campaign: Campaign, *, now: dt.datetime) -> list[Contribution]:
    """Return a contribution for every worker that took a task of the campaign: most results first.

    Ended attempts are counted once per revision, in one pass; running ones are counted each time.
    """
    ended, best = cached_roughly(campaign, "contributions", lambda: _ended(campaign))
    live = Attempt.objects.filter(task__campaign=campaign, outcome=AttemptOutcome.RUNNING)
    running = dict(live.order_by().values_list("worker_id").annotate(number=Count("pk")))
    workers = Worker.objects.in_bulk([*ended, *running])
    rows = [
        Contribution(
            worker=worker,
            is_online=worker.is_online(now),
            running=running.get(pk, 0),
            completed=sum(tally.outcomes[outcome] for outcome in _WITH_RESULT),
            failures=dict(tally.failures.most_common()),
            lost=tally.outcomes[AttemptOutcome.LOST],
            median_seconds=median(tally.seconds) if tally.seconds else None,
            compute_seconds=sum(tally.seconds),
            best=best.get(pk),
            spec=campaign.metric_spec,
        )
        for pk, worker in workers.items()
        for tally in [ended.get(pk, _Tally())]
    ]
    return sorted(rows, key=lambda row: (-row.completed, row.worker.name))


def _ended(campaign: Campaign) -> tuple[dict[int, _Tally], dict[int, float]]:
    """Return the tallies of ended attempts and the best measured value, by worker."""
    tallies: defaultdict[int, _Tally] = defaultdict(_Tally)
    attempts = Attempt.objects.filter(task__campaign=campaign, ended_at__isnull=False).order_by()
    columns = attempts.values_list("worker_id", "outcome", "failure_class", "wall_time_seconds")
    for worker_id, outcome, failure_class, seconds in columns.iterator():
        tally = tallies[worker_id]
        tally.outcomes[outcome] += 1
        if outcome == AttemptOutcome.FAILED:
            tally.failures[failure_class] += 1
        if outcome in _WITH_RESULT and seconds is not None:
            tally.seconds.append(seconds)
    ranked = campaign.results.filter(is_ranked=True).order_by()
    keys = ranked.values_list("attempt__worker_id").annotate(best=Min("sort_key"))
    return dict(tallies), {pk: campaign.metric_spec.value_of(key) for pk, key in keys}
