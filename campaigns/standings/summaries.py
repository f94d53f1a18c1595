"""What lists show of each campaign, in a fixed number of queries for any number of campaigns."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import OuterRef, QuerySet, Subquery

from campaigns.models import Campaign, Race, RaceOutcome, Result, TaskState
from campaigns.race.words import value_kind
from campaigns.standings.forecast import Forecast
from campaigns.standings.progress import Outlook, outlook
from campaigns.standings.raced import ArmRow, ArmStanding, raced_of
from campaigns.standings.task_counts import ENDED, ended_tasks

# A piece of the bar: completed tasks whose run has no value, in the look of trouble.
NO_VALUE: Final = "no-value"


@dataclass(frozen=True)
class CampaignSummary:
    """One campaign with its tasks counted by state, and the value of its first arm."""

    campaign: Campaign
    # Tasks by state, without the pending ones.
    counts: dict[str, int]
    # Completed tasks whose run has no value.
    without_value: int
    # The value of the first arm on its board, and that arm's standing, which says what it is worth.
    best: float | None
    standing: str
    forecast: Forecast
    # That row, where a race decided; and how it is drawn, "" without a common scale.
    first: ArmRow | None = None
    glyph: str = ""
    # Tasks that a worker holds for a place that is not free yet.
    upcoming: int = 0

    @property
    def worth(self) -> str:
        """What the value is."""
        return value_kind(self.standing)

    @property
    def done(self) -> int:
        """Tasks that have ended, in whatever way."""
        return sum(self.counts.get(state, 0) for state in ENDED)

    @property
    def running(self) -> int:
        """Tasks that have a place on a worker."""
        return self.counts.get(TaskState.LEASED, 0) - self.upcoming

    @property
    def no_value(self) -> int:
        """Tasks that ended without a value; the campaign's page gives the same number."""
        return self.counts.get(TaskState.FAILED, 0) + self.without_value

    @property
    def bar(self) -> list[BarPiece]:
        return progress_bar(self.counts, self.campaign.task_count, without_value=self.without_value)


@dataclass(frozen=True)
class BarPiece:
    """One piece of a progress bar, in percent of its width."""

    state: str
    start: float
    width: float


def progress_bar(counts: dict[str, int], total: int, *, without_value: int = 0) -> list[BarPiece]:
    """Return a piece for each state that is not pending; the rest of the bar is pending.

    Completed runs without a value have a piece of their own.
    """
    completed = counts.get(TaskState.COMPLETED, 0) - without_value
    counts = counts | {TaskState.COMPLETED.value: completed, NO_VALUE: without_value}
    pieces, start = [], 0.0
    for state in (TaskState.COMPLETED, NO_VALUE, *ENDED[1:], TaskState.LEASED):
        width = 100 * counts.get(state, 0) / total if total else 0.0
        if width:
            pieces.append(BarPiece(state, start, width))
            start += width
    return pieces


def with_best(campaigns: QuerySet[Campaign]) -> QuerySet[Any]:
    """Annotate `best` and `best_id`: the first-seed value nearest the goal and its result's id.

    A first seed proves nothing. `raced` is the outcome of the last race, with which
    `decided_by_race` finds what it says. All are None where there is nothing.
    """
    # Each subquery reads the first entry of an index; a minimum would read all rows.
    first = Result.objects.filter(campaign=OuterRef("pk")).ranked().filter(is_screening=True)
    return campaigns.annotate(
        best=Subquery(first.values("value")[:1]),
        best_id=Subquery(first.values("pk")[:1]),
        raced=last_outcome(OuterRef("pk")),
    )


def last_outcome(campaign: OuterRef) -> Subquery:
    """Return the outcome of the last race of a campaign that was not cancelled, in a subquery."""
    races = Race.objects.filter(campaign=campaign).exclude(outcome=RaceOutcome.CANCELLED)
    return Subquery(races.order_by("-number").values("outcome")[:1])


def _first_values(campaigns: Sequence[Campaign]) -> dict[int, tuple[float | None, str | None]]:
    """Return `best` and `raced` of each campaign, read now unless `with_best` has read them."""
    unread = [campaign.pk for campaign in campaigns if not hasattr(campaign, "best")]
    known: dict[int, tuple[float | None, str | None]] = dict.fromkeys(unread, (None, None))
    if unread:
        rows = with_best(Campaign.objects.filter(pk__in=unread)).order_by()
        known |= {pk: (best, raced) for pk, best, raced in rows.values_list("pk", "best", "raced")}
    read: Any = [campaign for campaign in campaigns if hasattr(campaign, "best")]
    return known | {campaign.pk: (campaign.best, campaign.raced) for campaign in read}


def decided_by_race(outcomes: Iterable[tuple[Campaign, str | None]]) -> dict[int, ArmRow]:
    """Return the first row of the board of each campaign whose last race named who leads.

    `outcomes` are campaigns with the outcome of their last race. Two queries for all not cached.
    """
    decided = {RaceOutcome.CHAMPION, RaceOutcome.TIE}
    boards = raced_of([campaign for campaign, outcome in outcomes if outcome in decided])
    return {pk: board.rows[0] for pk, board in boards.items() if board.rows}


def summarise(
    campaigns: Iterable[Campaign], *, now: dt.datetime, known: Outlook | None = None
) -> list[CampaignSummary]:
    """Summarise campaigns in the order given, in a fixed number of queries.

    Ended tasks are counted once per revision, so the campaigns must be freshly loaded, with their
    packages. `known` is the outlook of all of them, if it has been read.
    """
    listed = list(campaigns)
    ended = ended_tasks(listed)
    open_tasks = known or outlook(listed, now=now)
    running = open_tasks.running
    first = _first_values(listed)
    raced = decided_by_race((campaign, first[campaign.pk][1]) for campaign in listed)
    return [
        CampaignSummary(
            campaign,
            counts={
                TaskState.LEASED.value: len(running.get(campaign.pk, ())),
                **ended[campaign.pk].by_state,
            },
            without_value=ended[campaign.pk].without_value,
            best=raced[campaign.pk].value if campaign.pk in raced else first[campaign.pk][0],
            standing=raced[campaign.pk].standing
            if campaign.pk in raced
            else ArmStanding.SCREENED.value,
            forecast=open_tasks.forecasts[campaign.pk],
            first=raced.get(campaign.pk),
            upcoming=open_tasks.upcoming[campaign.pk],
        )
        for campaign in listed
    ]
