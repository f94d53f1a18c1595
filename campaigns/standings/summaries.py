"""What lists show of each campaign, in a fixed number of queries for any number of campaigns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Count, OuterRef, QuerySet, Subquery

from campaigns.models import Campaign, Race, RaceOutcome, Result, Task, TaskState
from campaigns.race.words import value_kind
from campaigns.standings import arms
from campaigns.standings.arms import ArmRow, ArmStanding
from campaigns.standings.task_counts import ENDED, ended_tasks

# A piece of the bar: completed tasks whose run has no value, in the look of trouble.
NO_VALUE: Final = "no-value"


@dataclass(frozen=True)
class CampaignSummary:
    """One campaign with its tasks counted by state, and the value of its first arm."""

    campaign: Campaign
    # Tasks by state, without the pending ones.
    counts: dict[str, int]
    # The value of the first arm on its board, and that arm's standing, which says what it is worth.
    best: float | None
    standing: str
    # That row, where a race decided; and how it is drawn, "" without a common scale.
    first: ArmRow | None = None
    glyph: str = ""

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
        return self.counts.get(TaskState.LEASED, 0)

    @property
    def failed(self) -> int:
        return self.counts.get(TaskState.FAILED, 0)

    @property
    def completed(self) -> int:
        return self.counts.get(TaskState.COMPLETED, 0)

    @property
    def bar(self) -> list[BarPiece]:
        return progress_bar(self.counts, self.campaign.task_count)


@dataclass(frozen=True)
class BarPiece:
    """One piece of a progress bar, in percent of its width."""

    state: str
    start: float
    width: float


def progress_bar(counts: dict[str, int], total: int) -> list[BarPiece]:
    """Return a piece for each state that is not pending; the rest of the bar is pending."""
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


def decided_by_race(outcomes: Iterable[tuple[Campaign, str | None]]) -> dict[int, ArmRow]:
    """Return the first row of the board of each campaign whose last race named who leads.

    `outcomes` are campaigns with the outcome of their last race. The boards are cached.
    """
    decided = {RaceOutcome.CHAMPION, RaceOutcome.TIE}
    rows = {
        campaign.pk: arms.first(campaign) for campaign, outcome in outcomes if outcome in decided
    }
    return {pk: row for pk, row in rows.items() if row is not None}


def summarise(campaigns: Iterable[Campaign]) -> list[CampaignSummary]:
    """Summarise campaigns in the order given, with three queries beside the boards of races.

    Ended tasks are counted once per revision, so the campaigns must be freshly loaded.
    """
    listed = list(campaigns)
    ended = ended_tasks(listed)
    leased = Task.objects.filter(campaign__in=listed, state=TaskState.LEASED).order_by()
    running = dict(leased.values_list("campaign_id").annotate(tasks=Count("*")))
    annotated = with_best(Campaign.objects.filter(pk__in=[campaign.pk for campaign in listed]))
    found = {
        pk: (value, outcome)
        for pk, value, outcome in annotated.order_by().values_list("pk", "best", "raced")
    }
    best = {pk: value for pk, (value, _) in found.items()}
    raced = decided_by_race(
        (campaign, found[campaign.pk][1]) for campaign in listed if campaign.pk in found
    )
    return [
        CampaignSummary(
            campaign,
            {TaskState.LEASED.value: running.get(campaign.pk, 0), **ended[campaign.pk]},
            raced[campaign.pk].value if campaign.pk in raced else best.get(campaign.pk),
            raced[campaign.pk].standing if campaign.pk in raced else ArmStanding.SCREENED.value,
            raced.get(campaign.pk),
        )
        for campaign in listed
    ]
