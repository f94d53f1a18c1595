"""The leaderboard as people ask for it: ranked results, and below them what ended without a rank.

`campaigns.standings.leaderboard` decides who leads. This module filters by how a task ended and
gives the rows that a page shows: plain values, because building models costs more than reading.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Q, QuerySet

from campaigns.caching import cached_keys
from campaigns.models import Campaign, FailureClass, Result, Task, TaskState
from campaigns.standings import leaderboard
from campaigns.standings.rows import REASONS, Line, Row, Standing

EVERYTHING: Final = "all"
# What `state=` may ask for; "all" is everything but what nobody measured.
STATES: Final = (*(str(one) for one in Standing), EVERYTHING)


@dataclass(frozen=True)
class LeaderboardQuery:
    """Which rows in which order; "" for any device or evaluation. See `leaderboard.rank`."""

    state: str = Standing.COMPLETED
    device: str = ""
    evaluation: str = ""
    sort: str = "rank"

    @property
    def standings(self) -> tuple[Standing, ...]:
        """What the state asks for, in the order in which it is counted."""
        if self.state == EVERYTHING:
            return tuple(one for one in Standing if one != Standing.SIMULATED)
        return (Standing(self.state),)

    @property
    def with_ranked(self) -> bool:
        return Standing.COMPLETED in self.standings


def counts(campaign: Campaign, asked: LeaderboardQuery, *, failed: int) -> dict[Standing, int]:
    """Count the ended tasks by how they stand, among the asked device and evaluation.

    `failed` is how many tasks failed; they have no device, so a filter by one leaves them out.
    """
    found = dict.fromkeys(Standing, 0)
    for kind in leaderboard.kinds(campaign):
        if asked.device and kind.device != asked.device:
            continue
        if asked.evaluation and kind.is_subset != (asked.evaluation == "subset"):
            continue
        found[_standing(kind.simulated, kind.diverged, kind.is_ranked)] += kind.number
    if not (asked.device or asked.evaluation):
        found[Standing.FAILED] = failed
    return found


def total(counted: Mapping[Standing, int], asked: LeaderboardQuery) -> int:
    """Return how many rows there are in all."""
    return sum(counted[one] for one in asked.standings)


def _standing(simulated: bool, diverged: bool, is_ranked: bool) -> Standing:
    if simulated:
        return Standing.SIMULATED
    if diverged:
        return Standing.DIVERGED
    return Standing.COMPLETED if is_ranked else Standing.BUDGET_TOO_SMALL


# Of a result, in the order of `_line`; a task reaches the same by another path.
_OF_RESULT: Final = (
    "task_id",
    "task__number",
    "task__params",
    "task__seed",
    "val_bpb",
    "eval_is_subset",
    "steps_completed",
    "tokens_trained",
    "device_used",
    "wall_time_seconds",
)
_OF_TASK: Final = ("pk", "number", "params", "seed", *(f"result__{one}" for one in _OF_RESULT[4:]))
_STANDING_OF_TASK: Final = (
    "state",
    "failure_class",
    "result__simulated",
    "result__diverged",
    "result__is_ranked",
)


def lines(
    campaign: Campaign,
    asked: LeaderboardQuery,
    counted: Mapping[Standing, int],
    *,
    limit: int,
    offset: int,
) -> list[Line]:
    """Return a part of the rows: ranked ones, then the others, each in the asked order.

    `counted` is what `counts` returned. Raises ValueError for an unknown sort.
    """
    ranked = counted[Standing.COMPLETED] if asked.with_ranked else 0
    found = _ranked_lines(campaign, asked, offset, offset + limit) if offset < ranked else []
    if offset + limit > ranked and asked.standings != (Standing.COMPLETED,):
        start = max(0, offset - ranked)
        keys = _unranked_keys(campaign, asked, start, offset + limit - ranked)
        rows = Task.objects.filter(pk__in=keys).order_by()
        by_key = {row[0]: row for row in rows.values_list(*_OF_TASK, *_STANDING_OF_TASK)}
        found += [line for key in keys if key in by_key and (line := _unranked_line(by_key[key]))]
    return found


def _ranked_lines(campaign: Campaign, asked: LeaderboardQuery, offset: int, end: int) -> list[Line]:
    chosen = {"device": asked.device, "evaluation": asked.evaluation}
    results = leaderboard.ranked_results(campaign, **chosen)
    if _is_by_rank(asked.sort):
        part = leaderboard.ranked_part(results, offset, end)
        rows = enumerate(part.values_list(*_OF_RESULT), start=offset + 1)
        return [_ranked_line(number, row) for number, row in rows]
    places = leaderboard.sorted_places(campaign, offset, end, sort=asked.sort, **chosen)
    those = results.filter(pk__in=[pk for pk, _ in places]).order_by()
    by_key = {row[0]: row[1:] for row in those.values_list("pk", *_OF_RESULT)}
    return [_ranked_line(place, by_key[pk]) for pk, place in places if pk in by_key]


def _is_by_rank(sort: str) -> bool:
    # Ranks follow the value: the index has this order.
    return sort in {"rank", "val_bpb"}


def _ranked_line(rank: int, row: tuple[Any, ...]) -> Line:
    return Line(rank, Standing.COMPLETED, "", *row)


def _unranked_line(row: tuple[Any, ...]) -> Line | None:
    """Return the row of a task without a rank; None when it runs again meanwhile."""
    values, (state, failure_class, *flags) = row[: len(_OF_TASK)], row[len(_OF_TASK) :]
    standing = _standing_of(state, flags)
    if standing is None:
        return None
    task_id, number, params, seed, val_bpb, is_subset, steps, tokens, device, seconds = values
    return Line(
        None,
        standing,
        _reason(standing, failure_class),
        task_id,
        number,
        params,
        seed,
        val_bpb,
        bool(is_subset),
        steps,
        tokens,
        device or "",
        seconds,
    )


def _standing_of(state: str, flags: Sequence[bool | None]) -> Standing | None:
    """`flags`: simulated, diverged, is_ranked of its result; None each without one."""
    if state == TaskState.FAILED:
        return Standing.FAILED
    simulated, diverged, is_ranked = flags
    if simulated is None:
        return None
    return _standing(simulated, bool(diverged), bool(is_ranked))


def _reason(standing: Standing, failure_class: str) -> str:
    if standing == Standing.FAILED:
        return f"{REASONS[standing]}: {FailureClass(failure_class).label}"
    return REASONS[standing]


def entries(campaign: Campaign, asked: LeaderboardQuery, *, limit: int, offset: int) -> list[Row]:
    """Return the rows that `lines` returns, with models loaded. Raises ValueError, as it does."""
    chosen = {"device": asked.device, "evaluation": asked.evaluation}
    rows: list[Row] = []
    ranked = 0
    if asked.with_ranked:
        rows = leaderboard.rank(campaign, limit=limit, offset=offset, sort=asked.sort, **chosen)
        if len(rows) == limit or asked.state != EVERYTHING:
            return rows
        ranked = leaderboard.ranked_results(campaign, **chosen).order_by().count()
    keys = _unranked_keys(campaign, asked, max(0, offset - ranked), offset + limit - ranked)
    loaded = Task.objects.select_related("result__attempt__worker").defer(
        "result__attempt__stderr_tail", "result__attempt__submission", "result__attempt__answer"
    )
    tasks = loaded.in_bulk(keys)
    for task in (tasks[key] for key in keys if key in tasks):
        result: Result | None = getattr(task, "result", None)
        flags = [result.simulated, result.diverged, result.is_ranked] if result else [None] * 3
        standing = _standing_of(task.state, flags)
        if standing is not None:
            reason = _reason(standing, task.failure_class)
            rows.append(Row(None, task, result, standing, reason))
    return rows


_UNRANKED: Final = {
    str(Standing.DIVERGED): Q(result__simulated=False, result__diverged=True),
    str(Standing.BUDGET_TOO_SMALL): Q(
        result__simulated=False, result__diverged=False, result__is_ranked=False
    ),
    str(Standing.FAILED): Q(state=TaskState.FAILED),
    str(Standing.SIMULATED): Q(result__simulated=True),
    EVERYTHING: Q(state=TaskState.FAILED) | Q(result__simulated=False, result__is_ranked=False),
}


def _unranked_keys(campaign: Campaign, asked: LeaderboardQuery, start: int, end: int) -> list[int]:
    """Return the ids of a part of the tasks without a rank, in the asked order."""

    def read(first: int, last: int) -> list[int]:
        return list(_unranked(campaign, asked).values_list("pk", flat=True)[first:last])

    return cached_keys(
        campaign,
        "unranked",
        read,
        start,
        end,
        state=asked.state,
        device=asked.device,
        evaluation=asked.evaluation,
        sort=asked.sort,
    )


def _unranked(campaign: Campaign, asked: LeaderboardQuery) -> QuerySet[Task]:
    tasks = campaign.tasks.filter(_UNRANKED[asked.state])
    if asked.device:
        tasks = tasks.filter(result__device_used=asked.device)
    if asked.evaluation:
        tasks = tasks.filter(result__eval_is_subset=asked.evaluation == "subset")
    return tasks.order_by(leaderboard.column_order(asked.sort, of_tasks=True), "number")
