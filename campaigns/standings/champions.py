"""The latest leading results of the newest campaigns, for the overview."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, Final

from campaigns.models import Campaign, CampaignState, Result
from campaigns.standings import leaderboard
from campaigns.standings.summaries import with_best

CHAMPIONS_SHOWN: Final = 5
# Only the leaders of so many of the newest campaigns are considered.
CHAMPIONS_AMONG: Final = 40


@dataclass(frozen=True)
class Champion:
    """A campaign's leading result and the values of the params that vary."""

    result: Result
    params: list[tuple[str, Any]]

    @property
    def since(self) -> dt.datetime:
        return self.result.created_at


def latest_champions() -> list[Champion]:
    """Return the leaders of the newest campaigns, latest result first. One query."""
    newest = with_best(Campaign.objects.exclude(state=CampaignState.DRAFT))
    leading_ids = newest.order_by("-created_at", "-pk").values("best_id")[:CHAMPIONS_AMONG]
    results = Result.objects.filter(pk__in=leading_ids).order_by("-created_at", "-pk")
    leaders = results.select_related("task", "campaign", "attempt__worker")[:CHAMPIONS_SHOWN]
    return [Champion(result, _params(result)) for result in leaders]


def _params(result: Result) -> list[tuple[str, Any]]:
    varying, _ = leaderboard.varying_params(result.campaign)
    return [(name, result.task.params.get(name)) for name in varying]
