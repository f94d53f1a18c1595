"""Where one arm stands on its campaign's board, and which arms stand beside it."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Subquery

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
    raced, total = arms.raced_rows(campaign), arms.count(campaign)
    first = arms.rows(campaign, limit=arms.KEPT_ROWS)
    # A raced arm has an arm after it on the board, too, which may lie beyond the first rows.
    rows = first if len(first) > len(raced) else raced
    index = next((index for index, row in enumerate(rows) if row.arm == arm.number), None)
    if index is not None and (index + 1 < len(rows) or len(rows) == total):
        before = rows[index - 1].arm if index else None
        after = rows[index + 1].arm if index + 1 < len(rows) else None
        return ArmPlace(rows[index], index + 1, total, before, after)
    rest = arms.screened_results(campaign)
    if index is not None and index < len(raced):
        before = raced[index - 1].arm if index else None
        return ArmPlace(raced[index], index + 1, total, before, _first(rest))
    own: Any = campaign.results.ranked().filter(arm=arm, is_screening=True)
    result = _with_beside(own, rest).select_related("task__arm").defer("metrics").first()
    if result is None:
        return ArmPlace(None, None, total, None, None)
    row = arms.screened_row(result)
    if not result.is_on_board:
        return ArmPlace(row, None, total, None, None)
    last_raced = raced[-1].arm if raced else None
    before = last_raced if result.arm_before is None else result.arm_before
    return ArmPlace(row, len(raced) + (result.better or 0) + 1, total, before, result.arm_after)


def _with_beside(own: QuerySet[Result], rest: QuerySet[Result]) -> QuerySet[Any]:
    """Annotate results with how many of the rest are better, and the arms before and after them.

    `is_on_board` is whether a result is among the rest.
    """
    better, worse = rest.filter(_beside("lt")), rest.filter(_beside("gt"))
    count = better.order_by().values("campaign").annotate(count=Count("*")).values("count")
    return own.annotate(
        is_on_board=Exists(rest.order_by().filter(pk=OuterRef("pk"))),
        better=Subquery(count),
        arm_before=Subquery(better.reverse().values("arm__number")[:1]),
        arm_after=Subquery(worse.values("arm__number")[:1]),
    )


def _beside(side: str) -> Q:
    """Return what selects the results before ("lt") or after ("gt") that of the outer query."""
    key, at = OuterRef("sort_key"), OuterRef("created_at")
    return (
        Q(**{f"sort_key__{side}": key})
        | Q(sort_key=key, **{f"created_at__{side}": at})
        | Q(sort_key=key, created_at=at, **{f"pk__{side}": OuterRef("pk")})
    )


def _first(results: QuerySet[Result]) -> int | None:
    """Return the number of the arm of the first result."""
    return results.values_list("arm__number", flat=True).first()
