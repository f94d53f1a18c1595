"""What lists of campaigns show of each: a fixed number of queries for any number of campaigns."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Count, Min

from campaigns.models import Campaign, Result, Task, TaskState


@dataclass(frozen=True)
class CampaignSummary:
    """One campaign with its tasks counted by state and its best measured value."""

    campaign: Campaign
    counts: dict[str, int]
    best: float | None

    @property
    def done(self) -> int:
        """Tasks that have ended, however they ended."""
        ended = (TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED)
        return sum(self.counts.get(state, 0) for state in ended)

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
    """Lay the states that are not pending side by side; what is left of the bar is pending."""
    pieces, start = [], 0.0
    for state in (TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED, TaskState.LEASED):
        width = 100 * counts.get(state, 0) / total if total else 0.0
        if width:
            pieces.append(BarPiece(state, start, width))
            start += width
    return pieces


def summarise(campaigns: Iterable[Campaign]) -> list[CampaignSummary]:
    """Summarise campaigns in the order given, with two queries."""
    listed = list(campaigns)
    counts: defaultdict[int, dict[str, int]] = defaultdict(dict)
    # order_by() drops the default ordering, which would otherwise join the grouping.
    by_state = Task.objects.filter(campaign__in=listed).order_by().values("campaign_id", "state")
    for row in by_state.annotate(tasks=Count("pk")):
        counts[row["campaign_id"]][row["state"]] = row["tasks"]
    ranked = Result.objects.filter(campaign__in=listed, is_ranked=True).order_by()
    best = dict(ranked.values_list("campaign_id").annotate(Min("val_bpb")))
    return [
        CampaignSummary(campaign, dict(counts[campaign.pk]), best.get(campaign.pk))
        for campaign in listed
    ]
