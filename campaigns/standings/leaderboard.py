"""The order of single results: the measured ones of a campaign, ranked, filtered and sorted.

Only measured results are ranked; simulated, diverged and implausible ones never are. A campaign
pins one data set and one script, so its rows are comparable by construction; what may differ
(device, steps, evaluation of a subset) is shown beside the value.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from django.db.models import Count, F, FloatField, QuerySet, Subquery, Sum, Window
from django.db.models.expressions import Combinable, OrderBy
from django.db.models.fields.json import KeyTransform
from django.db.models.functions import RowNumber

from campaigns.caching import cached_keys, cached_roughly
from campaigns.models import Attempt, Campaign, Result

PARAM_PREFIX: Final = "param."
# The sort keys besides the params, each with the path of its column; "place" is the rank.
SORTS: Final = {
    "rank": "place",
    "value": "value",
    "seed": "task__seed",
    "steps": "steps_completed",
    "tokens": "tokens_trained",
    "device": "device_used",
    "time": "wall_time_seconds",
}


class Kind(NamedTuple):
    """A group of results that agree in all that they can be filtered by, and its size."""

    device: str
    result_class: int | None
    is_subset: bool
    is_ranked: bool
    is_screening: bool
    simulated: bool
    diverged: bool
    implausible: bool
    # Its steps took much longer than its worker needs; None where that is unknown.
    disturbed: bool | None
    # Its set-up took too much of its time budget; None where that is unknown.
    slow_setup: bool | None
    number: int
    # How many results of the group have a value.
    valued: int


class _Sums(NamedTuple):
    """What one pass over all results and attempts of a campaign counts."""

    kinds: list[Kind]
    worker_seconds: float


def kinds(campaign: Campaign) -> list[Kind]:
    """Count a campaign's results by kind, in one pass over them per revision."""
    return _sums(campaign).kinds


def worker_seconds(campaign: Campaign) -> float:
    """Return how long workers were busy with the campaign's tasks, all attempts together."""
    return _sums(campaign).worker_seconds


def _sums(campaign: Campaign) -> _Sums:
    return cached_roughly(campaign, "sums-of-results", lambda: _read_sums(campaign))


def _read_sums(campaign: Campaign) -> _Sums:
    attempts = Attempt.objects.filter(task__campaign=campaign).order_by().values("task__campaign")
    seconds = attempts.annotate(seconds=Sum("wall_time_seconds")).values("seconds")
    grouped = campaign.results.order_by("device_used").values_list(
        "device_used",
        "result_class",
        "eval_is_subset",
        "is_ranked",
        "is_screening",
        "simulated",
        "diverged",
        "implausible",
        "disturbed",
        "slow_setup",
    )
    # The sum does not depend on the row, so that the database computes it once.
    rows = list(
        grouped.annotate(
            number=Count("pk"),
            valued=Count("value"),
            seconds=Subquery(seconds, output_field=FloatField()),
        )
    )
    spent = rows[0][-1] if rows else next(iter(seconds.values_list("seconds", flat=True)), 0)
    return _Sums([Kind(*row[:-1]) for row in rows], spent or 0.0)


def ranked_part(results: QuerySet[Result], offset: int, end: int | None) -> QuerySet[Result]:
    """Return a part of ranked results, in their order.

    The results before it are skipped in the index alone; with their joins they would be fetched
    only to be discarded.
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
    """Return a part of the results in an order other than by rank: (id of the result, its rank).

    This numbers all ranked results, a tenth of a second for 100,000 of them, so the first pages are
    cached. Raises ValueError for an unknown sort.
    """
    order = column_order(sort)
    results = ranked_results(campaign, device=device, evaluation=evaluation)

    def read(start: int, stop: int | None) -> list[tuple[int, int]]:
        place = Window(RowNumber(), order_by=[F("sort_key"), F("created_at"), F("pk")])
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
    """Return the measured results, best first; of one device or kind of evaluation if given."""
    results = campaign.results.ranked()
    if device:
        results = results.filter(device_used=device)
    if evaluation:
        results = results.filter(eval_is_subset=evaluation == "subset")
    return results


def is_by_rank(campaign: Campaign, sort: str) -> bool:
    """Return whether a sort is the order of the ranks, which the index gives."""
    # The rank follows the value.
    return sort in {"rank", "-value" if campaign.metric_spec.is_maximised else "value"}


def column_order(sort: str, *, of_tasks: bool = False) -> OrderBy:
    """Return how results (or, `of_tasks`, the tasks themselves) are sorted by a column.

    Rows without a value in that column come last in both directions. Tasks have no place, so "rank"
    sorts them by their sort key. Raises ValueError for an unknown column.
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
    """Return the path from a task to the column that `path` reaches from its result."""
    if path == SORTS["rank"]:
        return "result__sort_key"
    return path.removeprefix("task__") if path.startswith("task__") else f"result__{path}"


def varying_params(campaign: Campaign) -> tuple[list[str], dict[str, Any]]:
    """Return the names of the params that can vary between tasks, and the values of the others.

    Both are in the order of the search space. A choice of one value and a range of one point are
    constant.
    """
    varying, constant = [], {}
    for parameter in campaign.search_space["parameters"]:
        first, varies = _first_value(parameter)
        if varies:
            varying.append(parameter["name"])
        else:
            constant[parameter["name"]] = first
    return varying, constant


def whole_params(campaign: Campaign) -> set[str]:
    """Return the names of the params that are whole numbers wherever they are sampled.

    Only their columns are aligned by the last digit; fractions of different lengths are aligned by
    the first.
    """
    parameters = campaign.search_space["parameters"]
    return {parameter["name"] for parameter in parameters if _is_whole(parameter)}


def _is_whole(parameter: dict[str, Any]) -> bool:
    if parameter["type"] == "choice":
        # `isinstance` would count a bool as an int.
        return all(type(value) is int for value in parameter["values"])
    return bool(parameter["type"] == "int")


def _first_value(parameter: dict[str, Any]) -> tuple[Any, bool]:
    """Return a parameter's first value and whether there is another."""
    if parameter["type"] == "choice":
        return parameter["values"][0], len(parameter["values"]) > 1
    # A range from 2 to 3 in steps of 2 has only the value 2.
    smallest = parameter.get("step", 1) if parameter["type"] == "int" else 0
    low, high = parameter["low"], parameter["high"]
    return low, high > low and high - low >= smallest
