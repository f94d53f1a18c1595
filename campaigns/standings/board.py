"""The list of runs for a query: ranked results, and below them the tasks without a rank.

`campaigns.standings.leaderboard` decides who leads. This module filters by how a task ended. The
rows for pages are plain values, because building models costs more than the query.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Q, QuerySet

from campaigns.caching import cached_keys
from campaigns.models import Campaign, FailureClass, Task, TaskState
from campaigns.standings import leaderboard
from campaigns.standings.rows import REASONS, Line, Standing

EVERYTHING: Final = "all"
# The values of `state=`; "all" means every standing except simulated.
STATES: Final = (*(str(standing) for standing in Standing), EVERYTHING)


@dataclass(frozen=True)
class LeaderboardQuery:
    """Which rows in which order; "" for any device or evaluation.

    `sort` is "rank", another key of `leaderboard.SORTS`, or "param." and a name; "-" before it for
    descending; ties by rank.
    """

    state: str = Standing.COMPLETED
    device: str = ""
    evaluation: str = ""
    sort: str = "rank"

    @property
    def standings(self) -> tuple[Standing, ...]:
        """The standings that the state selects, in the order of `Standing`."""
        if self.state == EVERYTHING:
            return tuple(standing for standing in Standing if standing != Standing.SIMULATED)
        return (Standing(self.state),)

    @property
    def with_ranked(self) -> bool:
        return Standing.COMPLETED in self.standings


def counts(campaign: Campaign, query: LeaderboardQuery, *, failed: int) -> dict[Standing, int]:
    """Count the ended tasks by standing, among those of the query's device and evaluation.

    `failed` is how many tasks failed. They have neither device nor evaluation, so a filter by one
    leaves them out.
    """
    numbers = dict.fromkeys(Standing, 0)
    for kind in leaderboard.kinds(campaign):
        if query.device and kind.device != query.device:
            continue
        if query.evaluation and kind.is_subset != (query.evaluation == "subset"):
            continue
        standing = _standing(kind.simulated, kind.diverged, kind.implausible, kind.is_ranked)
        numbers[standing] += kind.number
    if not (query.device or query.evaluation):
        numbers[Standing.FAILED] = failed
    return numbers


def total(numbers: Mapping[Standing, int], query: LeaderboardQuery) -> int:
    """Return how many rows the query has in all; `numbers` is what `counts` returned."""
    return sum(numbers[standing] for standing in query.standings)


def _standing(simulated: bool, diverged: bool, implausible: bool, is_ranked: bool) -> Standing:
    if simulated:
        return Standing.SIMULATED
    if diverged:
        return Standing.DIVERGED
    if implausible:
        return Standing.IMPLAUSIBLE
    return Standing.COMPLETED if is_ranked else Standing.BUDGET_TOO_SMALL


# The columns of a row, in the order of the fields of `Line`: from a result, and from a task.
_OF_RESULT: Final = (
    "task__number",
    "task__params",
    "task__seed",
    "value",
    "eval_is_subset",
    "steps_completed",
    "tokens_trained",
    "device_used",
    "wall_time_seconds",
)
_OF_TASK: Final = (
    "number",
    "params",
    "seed",
    *(f"result__{name}" for name in _OF_RESULT[3:]),
)
_STANDING_OF_TASK: Final = (
    "state",
    "failure_class",
    "result__simulated",
    "result__diverged",
    "result__implausible",
    "result__is_ranked",
)


def lines(
    campaign: Campaign,
    query: LeaderboardQuery,
    numbers: Mapping[Standing, int],
    *,
    limit: int,
    offset: int,
) -> list[Line]:
    """Return a part of the rows: the ranked ones, then the others, each in the query's order.

    `numbers` is what `counts` returned. Raises ValueError for an unknown sort.
    """
    ranked = numbers[Standing.COMPLETED] if query.with_ranked else 0
    page = _ranked_lines(campaign, query, offset, offset + limit) if offset < ranked else []
    if offset + limit > ranked and query.standings != (Standing.COMPLETED,):
        start = max(0, offset - ranked)
        keys = _unranked_keys(campaign, query, start, offset + limit - ranked)
        rows = Task.objects.filter(pk__in=keys).order_by()
        by_key = {row[0]: row[1:] for row in rows.values_list("pk", *_OF_TASK, *_STANDING_OF_TASK)}
        page += [line for key in keys if key in by_key and (line := _unranked_line(by_key[key]))]
    return page


def _ranked_lines(campaign: Campaign, query: LeaderboardQuery, offset: int, end: int) -> list[Line]:
    filters = {"device": query.device, "evaluation": query.evaluation}
    results = leaderboard.ranked_results(campaign, **filters)
    if leaderboard.is_by_rank(campaign, query.sort):
        part = leaderboard.ranked_part(results, offset, end)
        rows = enumerate(part.values_list(*_OF_RESULT), start=offset + 1)
        return [_ranked_line(number, row) for number, row in rows]
    places = leaderboard.sorted_places(campaign, offset, end, sort=query.sort, **filters)
    on_page = results.filter(pk__in=[pk for pk, _ in places]).order_by()
    by_key = {row[0]: row[1:] for row in on_page.values_list("pk", *_OF_RESULT)}
    return [_ranked_line(place, by_key[pk]) for pk, place in places if pk in by_key]


def _ranked_line(rank: int, row: tuple[Any, ...]) -> Line:
    return Line(rank, Standing.COMPLETED, "", *row)


def _unranked_line(row: tuple[Any, ...]) -> Line | None:
    """Return the row of a task without a rank; None when the task has been reopened."""
    values, (state, failure_class, *flags) = row[: len(_OF_TASK)], row[len(_OF_TASK) :]
    standing = _standing_of(state, flags)
    if standing is None:
        return None
    number, params, seed, value, is_subset, steps, tokens, device, seconds = values
    return Line(
        None,
        standing,
        _reason(standing, failure_class),
        number,
        params,
        seed,
        value,
        bool(is_subset),
        steps,
        tokens,
        device or "",
        seconds,
    )


def _standing_of(state: str, flags: Sequence[bool | None]) -> Standing | None:
    """Return the standing of a task; None for an open one.

    `flags` are simulated, diverged, implausible and is_ranked of its result, or None each without
    one.
    """
    if state == TaskState.FAILED:
        return Standing.FAILED
    simulated, *others = flags
    if simulated is None:
        return None
    diverged, implausible, is_ranked = map(bool, others)
    return _standing(simulated, diverged, implausible, is_ranked)


def _reason(standing: Standing, failure_class: str) -> str:
    if standing == Standing.FAILED:
        return f"{REASONS[standing]}: {FailureClass(failure_class).label}"
    return REASONS[standing]


_UNRANKED: Final = {
    str(Standing.DIVERGED): Q(result__simulated=False, result__diverged=True),
    str(Standing.BUDGET_TOO_SMALL): Q(
        result__simulated=False,
        result__diverged=False,
        result__implausible=False,
        result__is_ranked=False,
    ),
    str(Standing.IMPLAUSIBLE): Q(result__implausible=True),
    str(Standing.FAILED): Q(state=TaskState.FAILED),
    str(Standing.SIMULATED): Q(result__simulated=True),
    EVERYTHING: Q(state=TaskState.FAILED) | Q(result__simulated=False, result__is_ranked=False),
}


def _unranked_keys(campaign: Campaign, query: LeaderboardQuery, start: int, end: int) -> list[int]:
    """Return the ids of a part of the tasks without a rank, in the query's order."""

    def read(first: int, last: int) -> list[int]:
        return list(_unranked(campaign, query).values_list("pk", flat=True)[first:last])

    return cached_keys(
        campaign,
        "unranked",
        read,
        start,
        end,
        state=query.state,
        device=query.device,
        evaluation=query.evaluation,
        sort=query.sort,
    )


def _unranked(campaign: Campaign, query: LeaderboardQuery) -> QuerySet[Task]:
    tasks = campaign.tasks.filter(_UNRANKED[query.state])
    if query.device:
        tasks = tasks.filter(result__device_used=query.device)
    if query.evaluation:
        tasks = tasks.filter(result__eval_is_subset=query.evaluation == "subset")
    return tasks.order_by(leaderboard.column_order(query.sort, of_tasks=True), "number")
