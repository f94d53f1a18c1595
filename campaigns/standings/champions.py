"""The first arms on the boards of the newest campaigns, for the overview."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import OuterRef

from campaigns.models import Campaign, CampaignState, Result, Task, TaskName
from campaigns.race.words import value_kind, value_standing
from campaigns.standings import leaderboard
from campaigns.standings.raced import ArmRow, ArmStanding
from campaigns.standings.summaries import decided_by_race, last_outcome, with_best

CHAMPIONS_SHOWN: Final = 5
# Only the leaders of so many of the newest campaigns are considered.
CHAMPIONS_AMONG: Final = 40


@dataclass(frozen=True)
class Champion:
    """A campaign's first arm: its first result, and the values of the params that vary.

    `raced` is its row on the board when a race decided, None when only its first seed is known.
    """

    result: Result
    params: list[tuple[str, Any]]
    raced: ArmRow | None
    # How it is drawn, "" without a common scale.
    glyph: str = ""

    @property
    def value(self) -> float | None:
        """The race value, or that of the first seed."""
        return self.raced.value if self.raced else self.result.value

    @property
    def standing(self) -> str:
        return self.raced.standing if self.raced else ArmStanding.SCREENED

    @property
    def worth(self) -> str:
        """What the value is worth, in a few words."""
        if self.raced is None:
            return value_standing(ArmStanding.SCREENED, None, 0)
        width, spec = self.raced.half_width, self.result.campaign.metric_spec
        return value_standing(
            self.raced.standing, None if width is None else spec.text(width), self.raced.seeds
        )

    @property
    def kind(self) -> str:
        return value_kind(self.standing)

    @property
    def since(self) -> dt.datetime:
        return self.result.created_at


def latest_champions() -> list[Champion]:
    """Return the first arms of the newest campaigns, latest result first."""
    newest = with_best(Campaign.objects.exclude(state=CampaignState.DRAFT))
    leading_ids = newest.order_by("-created_at", "-pk").values("best_id")[:CHAMPIONS_AMONG]
    results = Result.objects.filter(pk__in=leading_ids).order_by("-created_at", "-pk")
    related = ("task", "campaign", "attempt__worker")
    annotated: Any = results.annotate(raced=last_outcome(OuterRef("campaign")))
    leaders = list(annotated.select_related(*related)[:CHAMPIONS_SHOWN])
    raced = decided_by_race((leader.campaign, leader.raced) for leader in leaders)
    names = [
        TaskName(campaign, row.first_task)
        for campaign, row in raced.items()
        if row.first_task is not None
    ]
    tasks = Task.objects.named(names)
    first = Result.objects.filter(task__in=tasks).select_related(*related) if names else ()
    of_campaign = {result.campaign_id: result for result in first}
    champions = []
    for leader in leaders:
        row = raced.get(leader.campaign_id)
        result = of_campaign.get(leader.campaign_id, leader)
        champions.append(Champion(result, _params(leader.campaign, row or result.task), row))
    return champions


def _params(campaign: Campaign, subject: Any) -> list[tuple[str, Any]]:
    varying, _ = leaderboard.varying_params(campaign)
    return [(name, subject.params.get(name)) for name in varying]
