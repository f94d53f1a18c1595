"""Where one arm stands on its campaign's board, and which arms stand beside it."""

from __future__ import annotations

from typing import NamedTuple

from django.db.models import Count, Q, QuerySet, Subquery

from campaigns.caching import cached_by_revision
from campaigns.models import Arm, Campaign, Result
from campaigns.standings import arms
from campaigns.standings.raced import ArmRow


class ArmPlace(NamedTuple):
    """An arm's row of the board and its place there, from 1; both None without a value.

    `place` is None, too, for an arm whose value is of another class than the board. `before` and
    `after` are the numbers of the arms beside it. `of` counts the board's rows.
    """

    row: ArmRow | None
    place: int | None
    of: int
    before: int | None
    after: int | None


def place_of(campaign: Campaign, arm: Arm) -> ArmPlace:
    """Return the place of an arm on the board of the class with most results."""
    return cached_by_revision(campaign, "arm-place", lambda: _read(campaign, arm), arm=arm.number)


def _read(campaign: Campaign, arm: Arm) -> ArmPlace:
    raced, rest, total = (
        arms.raced_rows(campaign),
        arms.screened_results(campaign),
        arms.count(campaign),
    )
    index = next((index for index, row in enumerate(raced) if row.arm == arm.number), None)
    if index is not None:
        before = raced[index - 1].arm if index else None
        after = raced[index + 1].arm if index + 1 < len(raced) else _first(rest)
        return ArmPlace(raced[index], index + 1, total, before, after)
    own = campaign.results.ranked().filter(arm=arm, is_screening=True)
    result = own.select_related("task__arm").defer("metrics").first()
    if result is None:
        return ArmPlace(None, None, total, None, None)
    row = arms.screened_row(result)
    beside = _beside_on(rest, result)
    if beside is None:
        return ArmPlace(row, None, total, None, None)
    better, before, after = beside
    last_raced = raced[-1].arm if raced else None
    return ArmPlace(
        row, len(raced) + better + 1, total, last_raced if before is None else before, after
    )


def _beside_on(rest: QuerySet[Result], result: Result) -> tuple[int, int | None, int | None] | None:
    """Return how many of the rest are better than a result, and the arms before and after it.

    One query. None when the result is not among the rest.
    """
    better, worse = rest.filter(_beside(result, "lt")), rest.filter(_beside(result, "gt"))
    count = better.order_by().values("campaign").annotate(count=Count("*")).values("count")
    own = rest.filter(pk=result.pk).annotate(
        better=Subquery(count),
        arm_before=Subquery(better.reverse().values("arm__number")[:1]),
        arm_after=Subquery(worse.values("arm__number")[:1]),
    )
    beside = own.values_list("better", "arm_before", "arm_after").first()
    return None if beside is None else (beside[0] or 0, beside[1], beside[2])


def _beside(result: Result, side: str) -> Q:
    """Return what selects the results before ("lt") or after ("gt") this one in their order."""
    keys = {"sort_key": result.sort_key, "created_at": result.created_at}
    return (
        Q(**{f"sort_key__{side}": result.sort_key})
        | Q(sort_key=result.sort_key, **{f"created_at__{side}": result.created_at})
        | Q(**keys, **{f"pk__{side}": result.pk})
    )


def _first(results: QuerySet[Result]) -> int | None:
    """Return the number of the arm of the first result."""
    return results.values_list("arm__number", flat=True).first()
