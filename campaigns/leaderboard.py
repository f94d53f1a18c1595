"""The read side: who leads, how far a campaign is, and the points of its chart.

Only measured results are ranked; simulated and diverged ones are shown elsewhere, never here.
A campaign pins one data set and one script, so its rows are comparable by construction; what may
differ (device, steps, a subset evaluation) stands beside the value.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Any, Final, cast

from django.db.models import Count, F, FloatField, Q, QuerySet, Sum, Window
from django.db.models.expressions import Combinable, OrderBy
from django.db.models.fields.json import KeyTransform
from django.db.models.functions import Coalesce, RowNumber

from campaigns.models import (
    Attempt,
    Campaign,
    Result,
    Task,
    TaskState,
)

# The rate is taken over this many of the last results, so that it follows the fleet of today.
RATE_WINDOW: Final = 50
PARAM_PREFIX: Final = "param."
# What the leaderboard is sorted by, besides the params. "place" is the rank.
SORTS: Final = {
    "rank": "place",
    "val_bpb": "val_bpb",
    "seed": "task__seed",
    "steps": "steps_completed",
    "tokens": "tokens_trained",
    "device": "device_used",
    "time": "wall_time_seconds",
}


@dataclass(frozen=True)
class Row:
    """One line of the leaderboard."""

    rank: int
    result: Result

    @property
    def task(self) -> Task:
        return self.result.task


def rank(
    campaign: Campaign,
    *,
    limit: int | None = None,
    offset: int = 0,
    device: str = "",
    evaluation: str = "",
    sort: str = "rank",
) -> list[Row]:
    """Return the measured results of a campaign, best first, with task and worker loaded.

    The order is total (val_bpb, then earlier, then id), so pages never overlap. With `device` or
    `evaluation` ("full", "subset") only such results are ranked, among themselves. `sort` is
    "rank", one of `SORTS` or "param." and a name, "-" before it for descending: another order of
    the same ranks, ties by rank. Raises ValueError for any other sort.
    """
    results = ranked_results(campaign, device=device, evaluation=evaluation)
    end = None if limit is None else offset + limit
    loaded = results.select_related("task", "attempt__worker")
    if sort == "rank":
        # The order of the index: no other row is read.
        page = enumerate(loaded[offset:end], start=offset + 1)
        return [Row(number, one) for number, one in page]
    place = Window(RowNumber(), order_by=[F("val_bpb"), F("created_at"), F("pk")])
    placed = results.annotate(place=place).order_by(_order(sort), "place")
    places = dict(placed.values_list("pk", "place")[offset:end])
    found = loaded.in_bulk(list(places))
    return [Row(number, found[pk]) for pk, number in places.items() if pk in found]


def ranked_results(
    campaign: Campaign, *, device: str = "", evaluation: str = ""
) -> QuerySet[Result]:
    """Return the measured results, best first: all, or those of a device or kind of evaluation."""
    results = campaign.results.ranked()
    if device:
        results = results.filter(device_used=device)
    if evaluation:
        results = results.filter(eval_is_subset=evaluation == "subset")
    return results


def _order(sort: str) -> OrderBy:
    key = sort.removeprefix("-")
    expression: Combinable
    if key.startswith(PARAM_PREFIX):
        expression = KeyTransform(key.removeprefix(PARAM_PREFIX), "task__params")
    elif key in SORTS:
        expression = F(SORTS[key])
    else:
        raise ValueError(f"{sort!r} is no column to sort by")
    # A value that is missing comes last either way.
    if sort.startswith("-"):
        return OrderBy(expression, descending=True, nulls_last=True)
    return OrderBy(expression, nulls_last=True)


def best(campaign: Campaign) -> Result | None:
    """Return the leading result, or None while nothing was measured."""
    return campaign.results.ranked().select_related("task", "attempt__worker").first()


def varying_params(campaign: Campaign) -> tuple[list[str], dict[str, Any]]:
    """Return the names of the params that can differ between tasks, and the others with values.

    Read off the search space, in its order: a choice of one value and a range of one point are
    constant.
    """
    varying, constant = [], {}
    for one in campaign.search_space["parameters"]:
        first, varies = _first_value(one)
        if varies:
            varying.append(one["name"])
        else:
            constant[one["name"]] = first
    return varying, constant


def _first_value(parameter: dict[str, Any]) -> tuple[Any, bool]:
    """Return a parameter's first value and whether there is another."""
    if parameter["type"] == "choice":
        return parameter["values"][0], len(parameter["values"]) > 1
    # From 2 to 3 in steps of 2 there is only the 2.
    smallest = parameter.get("step", 1) if parameter["type"] == "int" else 0
    low, high = parameter["low"], parameter["high"]
    return low, high > low and high - low >= smallest


@dataclass(frozen=True)
class CampaignProgress:
    """How far a campaign is. Durations in seconds; None where nothing is known yet."""

    pending: int
    leased: int
    completed: int
    failed: int
    cancelled: int
    simulated: int
    diverged: int
    compute_seconds: float
    tasks_per_hour: float | None
    eta_seconds: float | None
    # Of tasks that failed for good, most frequent first.
    failure_classes: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return self.pending + self.leased + self.completed + self.failed + self.cancelled

    @property
    def done(self) -> int:
        """Tasks that have ended, however."""
        return self.completed + self.failed + self.cancelled

    @property
    def fraction(self) -> float:
        """Share of tasks that have ended, 0.0 to 1.0."""
        return self.done / self.total if self.total else 0.0


def progress(campaign: Campaign, *, now: dt.datetime) -> CampaignProgress:
    """Count a campaign's tasks by state and estimate when the open ones are done."""
    counts = campaign.tasks.aggregate(
        **{state.value: Count("pk", filter=Q(state=state)) for state in TaskState}
    )
    results = campaign.results.aggregate(
        simulated=Count("pk", filter=Q(simulated=True)),
        diverged=Count("pk", filter=Q(diverged=True)),
    )
    compute = Attempt.objects.filter(task__campaign=campaign).aggregate(
        seconds=Coalesce(Sum("wall_time_seconds"), 0.0, output_field=FloatField())
    )
    failures = (
        campaign.tasks.filter(state=TaskState.FAILED)
        .values_list("failure_class")
        .annotate(number=Count("pk"))
        .order_by("-number", "failure_class")
    )
    rate = _tasks_per_hour(campaign, now)
    still_open = counts["pending"] + counts["leased"]
    return CampaignProgress(
        **counts,
        **results,
        compute_seconds=compute["seconds"],
        tasks_per_hour=rate,
        eta_seconds=still_open / rate * 3600 if rate and still_open else None,
        failure_classes=dict(failures),
    )


def _tasks_per_hour(campaign: Campaign, now: dt.datetime) -> float | None:
    """Tasks run to their end per hour over the last `RATE_WINDOW`; None before the second one."""
    # What a person cancelled in one click says nothing of the fleet's speed.
    ran = campaign.tasks.filter(state__in=[TaskState.COMPLETED, TaskState.FAILED])
    ended = ran.order_by("-finished_at").values_list("finished_at", flat=True)
    # One more than the window: its end is where the window's time begins.
    times = [at for at in ended[: RATE_WINDOW + 1] if at]
    if len(times) < 2:
        return None
    # Up to now while it runs, so that a fleet that stopped is seen to slow down.
    until = campaign.finished_at or now
    since = times[RATE_WINDOW] if len(times) > RATE_WINDOW else campaign.launched_at or times[-1]
    seconds = (until - since).total_seconds()
    return min(len(times), RATE_WINDOW) / seconds * 3600 if seconds > 0 else None


@dataclass(frozen=True)
class Point:
    """One ended task on the best-so-far chart."""

    task_id: int
    number: int
    finished_at: dt.datetime
    state: str
    failure_class: str
    val_bpb: float | None
    device: str
    is_ranked: bool
    simulated: bool
    best_so_far: float | None


def points(campaign: Campaign) -> list[Point]:
    """Return the ended tasks in the order they ended, each with the best measured value so far."""
    ended = (
        campaign.tasks.exclude(finished_at=None)
        .exclude(state=TaskState.CANCELLED)
        .order_by("finished_at", "pk")
        .values_list(
            "pk",
            "number",
            "finished_at",
            "state",
            "failure_class",
            "result__val_bpb",
            "result__device_used",
            "result__is_ranked",
            "result__simulated",
        )
    )
    found: list[Point] = []
    leading: float | None = None
    for pk, number, at, state, failure_class, value, device, is_ranked, simulated in ended:
        if is_ranked and value is not None and (leading is None or value < leading):
            leading = value
        found.append(
            Point(
                task_id=pk,
                number=number,
                finished_at=cast("dt.datetime", at),  # None is excluded above
                state=state,
                failure_class=failure_class,
                val_bpb=value,
                device=device or "",
                is_ranked=bool(is_ranked),
                simulated=bool(simulated),
                best_so_far=leading,
            )
        )
    return found
