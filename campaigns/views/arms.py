"""The tab with the board of a campaign's arms, and what may be claimed of them."""

from __future__ import annotations

from typing import Any, Final

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse

from campaigns import steering
from campaigns.clock import database_now
from campaigns.lifecycle.race_start import MAX_RACE_SEEDS
from campaigns.lifecycle.transitions import CAMPAIGN_TRANSITIONS
from campaigns.models import MAX_MIN_EFFECT, Campaign, CampaignState
from campaigns.race.look import FEWEST_COMMON
from campaigns.race.rule import FEWEST_TASKS, MAX_RESERVE, SEEDS, reserve_of
from campaigns.standings import arms, leaderboard
from campaigns.standings.arms import ArmRow
from campaigns.views.head import ENDED_STATES, campaign_or_404, head_context
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
        "may_choose": steering.may_change(request.user, campaign)
        and campaign.state in CAMPAIGN_TRANSITIONS["set_race_options"].sources,
        "race_plan": _race_plan(campaign),
        "fewest_tasks": FEWEST_TASKS,
        "most_race_runs": reserve_of(campaign.task_count) or MAX_RESERVE,
        "most_effect": f"{MAX_MIN_EFFECT:g}",
        # Not localised: the value of an input.
        "min_effect": f"{campaign.min_effect:.12g}",
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


def _race_plan(campaign: Campaign) -> str:
    """Say which race will come by itself; "" where none can."""
    if campaign.state in ENDED_STATES or not campaign.races_automatically:
        return ""
    if campaign.kept_runs:
        arms = campaign.task_count - campaign.kept_runs
        return (
            f"{arms:,} runs, and {campaign.kept_runs} kept for the race of the best, which begins "
            "by itself when the others have ended."
        )
    if campaign.task_count < FEWEST_TASKS:
        return f"The best race by themselves once there are {FEWEST_TASKS} tasks or more."
    return "The best race by themselves when all have run, and so do arms that are added later."


def _cells(campaign: Campaign, row: ArmRow, varying: list[str]) -> dict[str, Any]:
    spec = campaign.metric_spec
    return row._asdict() | {
        "why": _STANDINGS[row.standing],
        "half_width": "" if row.half_width is None else f"± {spec.text(row.half_width)}",
        "cells": [row.params.get(name) for name in varying],
    }
