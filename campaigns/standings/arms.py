"""The board of arms: what raced, as its race left it, then the others by their first value."""

from __future__ import annotations

from typing import Final, NamedTuple

from django.db.models import Q, QuerySet

from campaigns.caching import cached_by_revision
from campaigns.models import Campaign, Result
from campaigns.race.words import Finding, leading_value, not_raced
from campaigns.standings import leaderboard
from campaigns.standings.classes import EVERY_CLASS, chosen_class, classes_of
from campaigns.standings.leaderboard import ranked_part
from campaigns.standings.raced import ArmRow, ArmStanding, FirstResult, Raced, raced

# So many first rows are cached: a page of them, and what all other readers show.
KEPT_ROWS: Final = 50


def sentence(campaign: Campaign) -> str:
    """Return what may be claimed of the campaign's arms: the verdict of its last race."""
    claim = raced(campaign).sentence
    if claim:
        return claim
    # Of the class that the board shows, whose rows are counted anyway.
    return not_raced(_screened_count(campaign, _choose(campaign, Raced(), "")))


def finding(campaign: Campaign) -> Finding | None:
    """Return what the last race decided; None while nothing has raced."""
    return raced(campaign).finding


def first(campaign: Campaign) -> ArmRow | None:
    """Return the first row of the board; None while no arm has a value."""
    # What raced comes first, so that the rest need not be read.
    return next(iter(raced(campaign).rows or rows(campaign, limit=1)), None)


def leading(campaign: Campaign) -> str:
    """Return the value of the first row and what it is worth, "" without any."""
    row, spec = first(campaign), campaign.metric_spec
    if row is None or row.value is None:
        return ""
    return leading_value(
        row.standing, metric=spec.name, lowest=spec.best, value=spec.text(row.value)
    )


def count(campaign: Campaign, *, of_class: str = "") -> int:
    """Return how many rows the board of a class has; see `rows`."""
    chosen = _choose(campaign, raced(campaign), of_class)
    return len(chosen.raced) + _screened_count(campaign, chosen)


def rows(campaign: Campaign, *, limit: int, offset: int = 0, of_class: str = "") -> list[ArmRow]:
    """Return a part of the board of a class: its slug, EVERY_CLASS, or "" for the largest.

    A champion or tie group comes first, then the other arms of the last race, then those of earlier
    races, then the rest by the value of their first run, without a rank. What raced did so in the
    largest class, so the board of another class has only first runs.
    """
    if offset + limit > KEPT_ROWS:
        return _part(campaign, of_class, offset, limit)
    # An address may name any class; those that are none are the largest.
    chosen = chosen_class(campaign, of_class)
    slug = EVERY_CLASS if of_class == EVERY_CLASS else chosen.slug if chosen else ""
    head = cached_by_revision(
        campaign, "first-arms", lambda: _part(campaign, slug, 0, KEPT_ROWS), of_class=slug
    )
    return head[offset : offset + limit]


def raced_rows(campaign: Campaign) -> list[ArmRow]:
    """Return the first part of the board: the arms that raced."""
    return raced(campaign).rows


def screened_results(campaign: Campaign) -> QuerySet[Result]:
    """Return the results behind the rest of the board, in its order; see `rows`."""
    return _screened(campaign, _choose(campaign, raced(campaign), ""))


def _part(campaign: Campaign, of_class: str, offset: int, limit: int) -> list[ArmRow]:
    chosen = _choose(campaign, raced(campaign), of_class)
    part = chosen.raced[offset : offset + limit]
    missing = limit - len(part)
    if missing:
        start = max(0, offset - len(chosen.raced))
        results = _screened(campaign, chosen).select_related("task__arm").defer("metrics")
        part += [screened_row(row) for row in ranked_part(results, start, start + missing)]
    return part


class _Chosen(NamedTuple):
    """What the board of a class has: the raced arms, and the condition on the other results."""

    raced: list[ArmRow]
    left_out: list[FirstResult]
    condition: Q
    # What tells it from the boards of other classes.
    slug: str

    def counts(self, result: FirstResult) -> bool:
        """Return whether the result would be on the board, if its arm had not raced."""
        return result.is_ranked and self.slug in {EVERY_CLASS, str(result.result_class)}


def _choose(campaign: Campaign, own: Raced, of_class: str) -> _Chosen:
    known = classes_of(campaign)
    chosen = chosen_class(campaign, of_class)
    # Without a condition the index alone finds a page, which is the usual case.
    if chosen is None or len(known) == 1:
        return _Chosen(own.rows, own.first_results, Q(), EVERY_CLASS)
    if chosen == known[0]:
        return _Chosen(own.rows, own.first_results, chosen.condition, chosen.slug)
    return _Chosen([], [], chosen.condition, chosen.slug)


def _screened_count(campaign: Campaign, chosen: _Chosen) -> int:
    # They were counted already, with all other results.
    number = sum(
        kind.number
        for kind in leaderboard.kinds(campaign)
        if kind.is_ranked
        and kind.is_screening
        and chosen.slug in {EVERY_CLASS, str(kind.result_class)}
    )
    return max(0, number - sum(chosen.counts(result) for result in chosen.left_out))


def _screened(campaign: Campaign, chosen: _Chosen) -> QuerySet[Result]:
    """Return the first results of the arms that never raced, the best first."""
    results = campaign.results.ranked().filter(chosen.condition, is_screening=True)
    left_out = [result.pk for result in chosen.left_out]
    return results.exclude(pk__in=left_out) if left_out else results


def screened_row(result: Result) -> ArmRow:
    """Return the row of an arm that never raced, by its first result."""
    arm = result.task.arm
    return ArmRow(
        rank=None,
        standing=ArmStanding.SCREENED,
        arm=arm.number,
        params=arm.params,
        value=result.value,
        half_width=None,
        seeds=0,
        at_least=False,
        bad_seeds="",
        first_task=result.task.number,
        device=result.device_used,
    )
