"""The first page: what runs, what was found last, and what needs a person."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, Final

from django.http import HttpRequest, HttpResponse

from campaigns import leaderboard
from campaigns.clock import database_now
from campaigns.health import concerns, health, live_campaigns
from campaigns.models import Campaign, CampaignState, Result
from campaigns.summaries import summarise, with_best
from campaigns.tables import CAMPAIGN_HEADS, columns
from workers.models import Worker
from workers.pages import page_or_fragment, reading_page

CAMPAIGNS_SHOWN: Final = 8
CHAMPIONS_SHOWN: Final = 5
# Among so many of the newest campaigns the latest champions are looked for.
CHAMPIONS_AMONG: Final = 40


@reading_page
def overview(request: HttpRequest) -> HttpResponse:
    """Show the installation at a glance; with htmx the part that changes."""
    now = database_now()
    live = live_campaigns()
    latest = Campaign.objects.select_related("owner", "dataset")[:CAMPAIGNS_SHOWN]
    shown = live[:CAMPAIGNS_SHOWN] or list(latest)
    figures = health(live, now=now)
    needs = concerns(figures, live, now=now)
    champions = _champions()
    steps_done = {
        "campaign": bool(shown),
        "worker": figures.workers > 0 or Worker.objects.exists(),
        "result": bool(champions) or Result.objects.exists(),
    }
    context = {
        "now": now,
        "summaries": summarise(shown),
        "columns": columns(CAMPAIGN_HEADS, ""),
        "campaigns_are_current": bool(live),
        "champions": champions,
        "health": figures,
        "concerns": needs,
        "steps_done": steps_done,
        "server_url": request.build_absolute_uri("/").rstrip("/"),
    }
    return page_or_fragment(request, "overview.html", "_overview.html", context)


@dataclass(frozen=True)
class Champion:
    """A campaign's leading result and the values of the params that vary."""

    result: Result
    params: list[tuple[str, Any]]

    @property
    def since(self) -> dt.datetime:
        return self.result.created_at


def _champions() -> list[Champion]:
    """Return the leaders of the newest campaigns, who led last first. One query."""
    newest = with_best(Campaign.objects.exclude(state=CampaignState.DRAFT))
    leaders = newest.order_by("-created_at", "-pk").values("best_id")[:CHAMPIONS_AMONG]
    results = Result.objects.filter(pk__in=leaders).order_by("-created_at", "-pk")
    found = results.select_related("task", "campaign", "attempt__worker")[:CHAMPIONS_SHOWN]
    return [Champion(result, _params(result)) for result in found]


def _params(result: Result) -> list[tuple[str, Any]]:
    varying, _ = leaderboard.varying_params(result.campaign)
    return [(name, result.task.params.get(name)) for name in varying]
