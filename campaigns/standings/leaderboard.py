"""Who leads: the measured results of a campaign, ranked, filtered and sorted.

Only measured results are ranked; simulated and diverged ones are shown elsewhere, never here.
A campaign pins one data set and one script, so its rows are comparable by construction; what may
differ (device, steps, a subset evaluation) stands beside the value.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from django.db.models import Count, F, QuerySet, Window
from django.db.models.expressions import Combinable, OrderBy
from django.db.models.fields.json import KeyTransform
from django.db.models.functions import RowNumber

from campaigns.caching import cached_keys, cached_roughly
from campaigns.models import Campaign, Result
from campaigns.standings.rows import Row

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


class Kind(NamedTuple):
    """Results alike in what they can be filtered by, and how many they are."""

    device: str
    is_subset: bool
    is_ranked: bool
    simulated: bool
    diverged: bool
    number: int
    # Of these, how many have a val_bpb.
    valued: int


def kinds(campaign: Campaign) -> list[Kind]:
    """Count a campaign's results by kind, in one pass over them per revision."""
    return cached_roughly(campaign, "kinds", lambda: _kinds(campaign))


def _kinds(campaign: Campaign) -> list[Kind]:
    grouped = campaign.results.order_by("device_used").values_list(
        "device_used", "eval_is_subset", "is_ranked", "simulated", "diverged"
    )
    return [Kind(*row) for row in grouped.annotate(number=Count("pk"), valued=Count("val_bpb"))]


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
    loaded = _loaded(results)
    if sort == "rank":
        page = ranked_part(loaded, offset, end)
        return [Row(number, one.task, one) for number, one in enumerate(page, start=offset + 1)]
    places = sorted_places(campaign, offset, end, device=device, evaluation=evaluation, sort=sort)
    by_key = loaded.in_bulk([pk for pk, _ in places])
    return [
        Row(number, result.task, result)
        for pk, number in places
        if (result := by_key.get(pk)) is not None
    ]


def ranked_part(results: QuerySet[Result], offset: int, end: int | None) -> QuerySet[Result]:
    """Return a part of ranked results, in their order.

    What comes before it is skipped in the index alone: joined rows would be fetched only to be
    thrown away.
    """
    if not offset:
        return results[:end]
    keys = results.select_related(None).defer(None).values("pk")[offset:end]
    return results.filter(pk__in=keys)


def sorted_places(
    campaign: Campaign,
    offset: int,
    end: int | None,
    *,
    device: str,
    evaluation: str,
    sort: str,
) -> list[tuple[int, int]]:
    """Return a part of another order than that of rank: (id of the result, its rank).

    All ranked results are numbered for it, which at 100,000 of them takes a tenth of a second: the
    first pages are kept. Raises ValueError for an unknown sort.
    """
    order = column_order(sort)
    results = ranked_results(campaign, device=device, evaluation=evaluation)

    def read(start: int, stop: int | None) -> list[tuple[int, int]]:
        place = Window(RowNumber(), order_by=[F("val_bpb"), F("created_at"), F("pk")])
        placed = results.annotate(place=place).order_by(order, "place")
        return list(placed.values_list("pk", "place")[start:stop])

    if end is None:
        return read(offset, end)
    return cached_keys(
        campaign, "ranked", read, offset, end, device=device, evaluation=evaluation, sort=sort
    )


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


def column_order(sort: str, *, of_tasks: bool = False) -> OrderBy:
    """Return how results (or, `of_tasks`, the tasks themselves) are sorted by a column.

    Rows without a value in that column come last, ascending and descending. Tasks have no place, so
    "rank" sorts them by their value. Raises ValueError for an unknown column.
    """
    key = sort.removeprefix("-")
    expression: Combinable
    if key.startswith(PARAM_PREFIX):
        path = "params" if of_tasks else "task__params"
        expression = KeyTransform(key.removeprefix(PARAM_PREFIX), path)
    elif key in SORTS:
        expression = F(_path_from_task(SORTS[key]) if of_tasks else SORTS[key])
    else:
        raise ValueError(f"{sort!r} is no column to sort by")
    return OrderBy(expression, descending=sort.startswith("-"), nulls_last=True)


def _path_from_task(path: str) -> str:
    """Return the path from a task to what `path` reaches from its result."""
    if path == SORTS["rank"]:
        return "result__val_bpb"
    return path.removeprefix("task__") if path.startswith("task__") else f"result__{path}"


def best(campaign: Campaign) -> Result | None:
    """Return the leading result, or None while nothing was measured."""
    return _loaded(campaign.results.ranked()).first()


def _loaded(results: QuerySet[Result]) -> QuerySet[Result]:
    """Bring task, attempt and worker along; an attempt's long texts are for the task page."""
    return results.select_related("task", "attempt__worker").defer(
        "attempt__stderr_tail", "attempt__submission", "attempt__answer"
    )


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


def whole_params(campaign: Campaign) -> set[str]:
    """Return the names of the params that are whole numbers wherever they are sampled.

    Only such line up by their last digit; fractions of many lengths line up by their first.
    """
    return {one["name"] for one in campaign.search_space["parameters"] if _is_whole(one)}


def _is_whole(parameter: dict[str, Any]) -> bool:
    if parameter["type"] == "choice":
        # A bool is an int to Python alone.
        return all(type(value) is int for value in parameter["values"])
    return bool(parameter["type"] == "int")


def _first_value(parameter: dict[str, Any]) -> tuple[Any, bool]:
    """Return a parameter's first value and whether there is another."""
    if parameter["type"] == "choice":
        return parameter["values"][0], len(parameter["values"]) > 1
    # From 2 to 3 in steps of 2 there is only the 2.
    smallest = parameter.get("step", 1) if parameter["type"] == "int" else 0
    low, high = parameter["low"], parameter["high"]
    return low, high > low and high - low >= smallest
