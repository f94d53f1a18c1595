"""The tab with the board of a campaign's arms, and what may be claimed of them."""

from __future__ import annotations

from typing import Any, Final

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse

from campaigns.clock import database_now
from campaigns.lifecycle.race_start import MAX_RACE_SEEDS
from campaigns.models import Campaign, CampaignState
from campaigns.race.look import FEWEST_COMMON
from campaigns.race.rule import SEEDS
from campaigns.standings import arms, leaderboard
from campaigns.standings.arms import ArmRow
from campaigns.views.head import campaign_or_404, head_context
from campaigns.views.tabs import show_tab
from xeenet_site.web.pages import reading_page

ARMS_PER_PAGE: Final = 50
_STANDINGS: Final = {
    "champion": "proven ahead of every rival of its race",
    "tied": "the race could not tell it from the others of this rank",
    "behind": "proven behind the leader of its race",
    "racing": "in a race that runs",
    "dropped": "left its race for the number of arms; it was not beaten",
    "infeasible": "failed on half of its race seeds or more",
    "raced": "raced before, or left the race that runs",
    "screened": "one seed only, which proves nothing",
}


@reading_page
def board(request: HttpRequest, pk: int) -> HttpResponse:
    """Show the arms of a campaign: those that raced first, then the others by their first value."""
    campaign = campaign_or_404(pk)
    now = database_now()
    paginator: Paginator[ArmRow] = Paginator((), ARMS_PER_PAGE)
    paginator.count = arms.count(campaign)
    page = paginator.get_page(request.GET.get("page"))
    rows = arms.rows(campaign, limit=ARMS_PER_PAGE, offset=(page.number - 1) * ARMS_PER_PAGE)
    varying, constant = leaderboard.varying_params(campaign)
    head = head_context(request, campaign, now)
    context = head | {
        "may_race": head["may_grow"] and campaign.state != CampaignState.PAUSED,
        "fewest_seeds": FEWEST_COMMON,
        "most_seeds": MAX_RACE_SEEDS,
        "usual_seeds": SEEDS,
        "verdict": arms.sentence(campaign),
        "page": page,
        "rows": [_cells(campaign, row, varying) for row in rows],
        "varying": varying,
        "constant": constant,
        "spec": campaign.metric_spec,
    }
    return show_tab(request, "Arms", "campaigns/_arms.html", context)


def _cells(campaign: Campaign, row: ArmRow, varying: list[str]) -> dict[str, Any]:
    spec = campaign.metric_spec
    return row._asdict() | {
        "why": _STANDINGS[row.standing],
        "half_width": "" if row.half_width is None else f"± {spec.text(row.half_width)}",
        "cells": [row.params.get(name) for name in varying],
    }
