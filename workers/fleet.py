"""The read side of workers: the state of the fleet, and the speed of one worker.

The app `campaigns` lies above this one, so nothing is imported from it: attempts and results are
reached through the reverse relations that its models declare.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django.core.cache import cache
from django.db.models import Case, Count, OuterRef, Prefetch, Q, Subquery, Sum, When
from django.db.models.functions import Coalesce

from experiments.metrics import VAL_BPB
from workers.models import SHUT_OUT, Calibration, Worker
from workers.scripts import why_outdated
from xeenet_site.web.csv_text import csv_lines

RATE_WINDOW: Final = dt.timedelta(hours=1)
MIX_WINDOW: Final = dt.timedelta(hours=24)
# Lifetime of cached counts; each server process has its own cache.
COUNTS_KEPT_SECONDS: Final = 15
# A run that took less says nothing about speed; a quotient could not be shown.
LEAST_SECONDS: Final = 0.001
# Training floating-point operations per parameter and token: the usual estimate.
OPERATIONS_PER_PARAMETER_AND_TOKEN: Final = 6

# Column of the CSV file -> look-up on the attempt.
_ATTEMPT_COLUMNS: Final = {
    "campaign_id": "task__campaign_id",
    "campaign": "task__campaign__name",
    "task": "task__number",
    "attempt": "number",
    "outcome": "outcome",
    "failure_class": "failure_class",
    "started_at": "started_at",
    "ended_at": "ended_at",
    "wall_time_seconds": "wall_time_seconds",
    "val_bpb": "val_bpb",
    "simulated": "result__simulated",
    "steps_completed": "result__steps_completed",
    "tokens_trained": "result__tokens_trained",
    "model_params": "result__model_params",
    "train_seconds": "result__metrics__train_seconds",
    "step_seconds": "result__step_seconds",
    "disturbed": "result__disturbed",
    "device_used": "result__device_used",
    "metric": "task__campaign__metric",
    "value": "result__value",
}


@dataclass
class FleetRow:
    """One worker with the numbers that the fleet's table shows."""

    worker: Worker
    is_online: bool
    # That its owner's rules pause it, in a few words; "" when they do not.
    owner_pause: str = ""
    # Results within the last `RATE_WINDOW`.
    results_per_hour: int = 0
    # Attempts started within the last `MIX_WINDOW`, and the classes of those that failed or were
    # lost, most frequent first.
    attempts: int = 0
    failures: dict[str, int] = field(default_factory=dict)

    @property
    def outdated(self) -> str:
        """Which of this server's scripts its agent lacks; "" when none."""
        return why_outdated(self.worker)

    @property
    def failed(self) -> int:
        """Attempts that failed or were lost."""
        return sum(self.failures.values())


def held_tasks(worker: Worker) -> list[Any]:
    """Return the tasks that a worker holds, with their campaigns, in the order of its claims.

    Its agent runs as many as it has places; it claims the next shortly before one is free.
    """
    live = worker.leased_tasks.filter(attempts__outcome="running")
    return list(live.select_related("campaign").order_by("attempts__started_at", "pk"))


def fleet_rows(workers: Sequence[Worker], *, now: dt.datetime) -> list[FleetRow]:
    """Return a row per worker, in the order given. At most one query.

    The counts are cached for `COUNTS_KEPT_SECONDS`: counting the attempts of a fleet that runs
    100,000 tasks a day is too slow for every view of the page.
    """
    rows = {
        worker.pk: FleetRow(worker, worker.is_online(now), worker.owner_pause(now))
        for worker in workers
    }
    counts = cache.get_or_set("xeenet:fleet-counts", lambda: _counts(now), COUNTS_KEPT_SECONDS)
    for pk, outcome, failure_class, number, recent in counts or ():
        row = rows.get(pk)
        if row is None:
            continue
        row.attempts += number
        if outcome in {"completed", "diverged"}:
            row.results_per_hour += recent
        elif outcome in {"failed", "lost"} and failure_class:
            row.failures[failure_class] = row.failures.get(failure_class, 0) + number
    return list(rows.values())


def newest_calibrations() -> Prefetch[Any]:
    """Load with workers what was last measured of their speed: none or one each, in `measured`."""
    newest = Calibration.objects.filter(worker=OuterRef("worker")).values("pk")[:1]
    rows = Calibration.objects.filter(pk=Subquery(newest)).defer("shapes", "coefficients")
    return Prefetch("calibrations", queryset=rows, to_attr="measured")


def _counts(now: dt.datetime) -> list[tuple[int, str, str, int, int]]:
    """Count each worker's attempts that started within `MIX_WINDOW`, by outcome and failure class.

    Return (worker id, outcome, failure class, number, number that ended within `RATE_WINDOW`).
    """
    groups = (
        Worker.objects.filter(attempts__started_at__gte=now - MIX_WINDOW)
        .order_by()
        .values_list("pk", "attempts__outcome", "attempts__failure_class")
        .annotate(
            number=Count("attempts"),
            recent=Count("attempts", filter=Q(attempts__ended_at__gte=now - RATE_WINDOW)),
        )
        .order_by("-number", "attempts__failure_class")
    )
    return list(groups)


def fleet_totals(*, now: dt.datetime) -> dict[str, int]:
    """Return the numbers of enabled machines: all, online, online and busy, online without torch.

    `slots` is how many tasks those online run at a time. One query.
    """
    online = Q(pk__in=Worker.objects.online(now).order_by().values("pk"))
    machines = Worker.objects.machines().exclude(state__in=SHUT_OUT)
    # No join with the leases, which would count a worker once for each.
    busy = Q(pk__in=machines.filter(leased_tasks__isnull=False).order_by().values("pk"))
    totals: dict[str, int] = machines.aggregate(
        workers=Count("pk"),
        online=Count("pk", filter=online),
        busy=Count("pk", filter=online & busy),
        simulating=Count("pk", filter=online & Q(simulates=True)),
        # An agent that does not tell has one.
        slots=Sum(Coalesce("slots", 1), filter=online, default=0),
    )
    return totals


@dataclass(frozen=True)
class Speed:
    """How fast one measured attempt trained."""

    started_at: dt.datetime
    task_id: int
    # Campaign and number, as in addresses and logs.
    campaign_id: int
    number: int
    campaign: str
    tokens_per_second: float
    steps_per_second: float
    # Estimated floating-point operations, in 10^9 per second: comparable across model sizes.
    gflops: float

    @property
    def task(self) -> str:
        """What the task is called: its campaign and its number there."""
        return f"{self.campaign_id}/{self.number}"


_SPEED_FIELDS: Final = (
    "started_at",
    "task_id",
    "task__campaign_id",
    "task__number",
    "task__campaign__name",
    "result__tokens_trained",
    "result__steps_completed",
    "result__model_params",
    "result__wall_time_seconds",
    "result__metrics__train_seconds",
)


def speeds(worker: Worker, *, limit: int) -> list[Speed]:
    """Return the speeds of the worker's latest measured attempts, oldest first. One query."""
    measured = worker.attempts.filter(result__simulated=False, result__steps_completed__gt=0)
    rows = measured.order_by("-started_at").values_list(*_SPEED_FIELDS)[:limit]
    return [speed for row in reversed(rows) if (speed := _speed(*row))]


def _speed(
    started_at: dt.datetime,
    task_id: int,
    campaign_id: int,
    number: int,
    campaign: str,
    tokens: int,
    steps: int,
    model_params: int,
    wall_seconds: float,
    train_seconds: Any,
) -> Speed | None:
    # `train_seconds` comes from the script's result line and may be anything. Without a usable
    # number fall back to the wall time, which includes set-up and evaluation.
    has_train_time = (
        isinstance(train_seconds, int | float) and LEAST_SECONDS <= train_seconds <= wall_seconds
    )
    seconds = float(train_seconds) if has_train_time else wall_seconds
    if seconds < LEAST_SECONDS:
        return None
    operations = OPERATIONS_PER_PARAMETER_AND_TOKEN * model_params * tokens
    return Speed(
        started_at=started_at,
        task_id=task_id,
        campaign_id=campaign_id,
        number=number,
        campaign=campaign,
        tokens_per_second=tokens / seconds,
        steps_per_second=steps / seconds,
        gflops=operations / seconds / 1e9,
    )


def attempts_csv(worker: Worker) -> Iterator[str]:
    """Yield the worker's attempts, the oldest first, as the lines of a CSV file."""
    # The column that the file has had from the beginning; empty in campaigns of another metric.
    val_bpb = Case(When(task__campaign__metric=VAL_BPB.name, then="result__value"))
    attempts = worker.attempts.order_by("started_at").annotate(val_bpb=val_bpb)
    return csv_lines(
        list(_ATTEMPT_COLUMNS), attempts.values_list(*_ATTEMPT_COLUMNS.values()).iterator()
    )
