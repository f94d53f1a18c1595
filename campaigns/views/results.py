"""The results tab of a campaign: verdict, figures, chart and the board of arms; and the file."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from django.core.paginator import Paginator
from django.forms.models import model_to_dict
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django.views.generic import RedirectView

from campaigns import steering
from campaigns.clock import database_now
from campaigns.design.previews import preview
from campaigns.exports import leaderboard as export_leaderboard
from campaigns.exports import rows as export_rows
from campaigns.lifecycle.race_start import MAX_RACE_SEEDS
from campaigns.lifecycle.transitions import CAMPAIGN_TRANSITIONS
from campaigns.models import MAX_MIN_EFFECT, Campaign, CampaignState
from campaigns.race.look import FEWEST_COMMON
from campaigns.race.rule import FEWEST_TASKS, MAX_RESERVE, SEEDS, reserve_of
from campaigns.race.words import STANDING_WORDS, figure_title, value_standing
from campaigns.standings import arms, headline, leaderboard
from campaigns.standings.arms import ArmRow
from campaigns.standings.classes import EVERY_CLASS, chosen_class, classes_of
from campaigns.standings.finding import why_nothing_is_ranked
from campaigns.standings.progress import CampaignProgress, campaign_progress
from campaigns.standings.summaries import NO_VALUE, progress_bar
from campaigns.views.head import ENDED_STATES, campaign_or_404, head_context, may_race
from campaigns.views.hero import hero_context
from xeenet_site.web.pages import page_or_fragment, reading_page

# One or two screens. Twice as many rows take nearly twice the time to render.
ARMS_PER_PAGE: Final = arms.KEPT_ROWS
# Pages of campaigns with more tasks refresh less often, because they are expensive to render.
LARGE_CAMPAIGN: Final = 2_000


@reading_page
def campaign(request: HttpRequest, pk: int) -> HttpResponse:
    """Show one campaign. With htmx only the part that changes while it runs."""
    campaign = campaign_or_404(pk)
    now = database_now()
    if campaign.state == CampaignState.DRAFT:
        context = head_context(request, campaign, now)
        context["preview"] = preview(model_to_dict(campaign), now=now)
    else:
        context = _findings(request, campaign, now)
    return page_or_fragment(request, "campaigns/campaign.html", "campaigns/_campaign.html", context)


def _findings(request: HttpRequest, campaign: Campaign, now: dt.datetime) -> dict[str, Any]:
    """Return verdict, head, figures, chart and board, as the address selects them."""
    progress = campaign_progress(campaign, now=now)
    by_state = _by_state(progress)
    varying, constant = leaderboard.varying_params(campaign)
    verdict, claim = headline.sentence(campaign, progress, now=now), arms.sentence(campaign)
    return {
        **head_context(request, campaign, now, by_state=by_state),
        **_board(request, campaign, varying),
        **_race_options(request, campaign),
        **_first(campaign, varying),
        "verdict": verdict,
        # Where something else had to be said first.
        "claim": "" if claim in verdict else claim,
        "no_value": sum(headline.no_value(progress).values()) - progress.failed,
        "progress": progress,
        "why_nothing_is_ranked": why_nothing_is_ranked(campaign, progress),
        "bar": progress_bar(_bar_states(by_state, progress), progress.total),
        "top_failure": next(iter(progress.failure_classes.items()), None),
        "constant": constant,
        **hero_context(campaign, of_class=request.GET.get("class", "")),
        "poll_seconds": 3 if progress.total <= LARGE_CAMPAIGN else 15,
    }


def _first(campaign: Campaign, varying: list[str]) -> dict[str, Any]:
    """Return the first arm of the board and what its value is worth, for the first figure."""
    row, spec = arms.first(campaign), campaign.metric_spec
    title = figure_title(row.standing if row else "", metric=spec.name, lowest=spec.best)
    if row is None:
        return {"first_arm": None, "first_title": title}
    half_width = None if row.half_width is None else spec.text(row.half_width)
    return {
        "first_arm": row,
        "first_title": title,
        "first_worth": value_standing(row.standing, half_width, row.seeds),
        "first_params": [(name, row.params.get(name)) for name in varying],
    }


def _bar_states(by_state: dict[str, int], progress: CampaignProgress) -> dict[str, int]:
    """Return the tasks by state; runs that ended without a value are not counted as completed."""
    return by_state | {
        "completed": progress.completed - progress.without_value,
        NO_VALUE: progress.without_value,
    }


def _by_state(progress: CampaignProgress) -> dict[str, int]:
    return {
        "pending": progress.pending,
        "leased": progress.leased,
        "completed": progress.completed,
        "failed": progress.failed,
        "cancelled": progress.cancelled,
    }


def _board(request: HttpRequest, campaign: Campaign, varying: list[str]) -> dict[str, Any]:
    """Return the page of the board of arms that the address selects."""
    slug = request.GET.get("class", "")
    paginator: Paginator[ArmRow] = Paginator((), ARMS_PER_PAGE)
    paginator.count = arms.count(campaign, of_class=slug)
    page = paginator.get_page(request.GET.get("page"))
    offset = (page.number - 1) * ARMS_PER_PAGE
    rows = arms.rows(campaign, limit=ARMS_PER_PAGE, offset=offset, of_class=slug)
    chosen = chosen_class(campaign, slug)
    return {
        "page": page,
        "rows": [_cells(campaign, row, varying) for row in rows],
        "varying": varying,
        "spec": campaign.metric_spec,
        "may_race": may_race(request.user, campaign),
        "classes": classes_of(campaign),
        "shown_class": chosen.slug if chosen else EVERY_CLASS,
        "every_class": EVERY_CLASS,
        "fewest_seeds": FEWEST_COMMON,
        "most_seeds": MAX_RACE_SEEDS,
        "usual_seeds": SEEDS,
    }


def _race_options(request: HttpRequest, campaign: Campaign) -> dict[str, Any]:
    """Return which race will come by itself, and what its dialog shows."""
    sources = CAMPAIGN_TRANSITIONS["set_race_options"].sources
    return {
        "may_choose": steering.may_change(request.user, campaign) and campaign.state in sources,
        "race_plan": _race_plan(campaign),
        "fewest_tasks": FEWEST_TASKS,
        "most_race_runs": reserve_of(campaign.task_count) or MAX_RESERVE,
        "most_effect": f"{MAX_MIN_EFFECT:g}",
        # Not localised: the value of an input.
        "min_effect": f"{campaign.min_effect:.12g}",
    }


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
        "why": STANDING_WORDS[row.standing],
        "half_width": "" if row.half_width is None else f"± {spec.text(row.half_width)}",
        "cells": [row.params.get(name) for name in varying],
    }


# The address of the board from before it came to the campaign's page.
arms_address = reading_page(RedirectView.as_view(pattern_name="campaign"))


@reading_page
def leaderboard_csv(request: HttpRequest, pk: int) -> StreamingHttpResponse:
    """Send the board of arms, of the class that the address selects, as a CSV file."""
    campaign = get_object_or_404(Campaign, pk=pk)
    lines = export_leaderboard.csv_lines(campaign, result_class=request.GET.get("class", ""))
    headers = {"Content-Disposition": f'attachment; filename="campaign-{pk}-leaderboard.csv"'}
    return StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8", headers=headers)


@reading_page
def results_csv(request: HttpRequest, pk: int) -> StreamingHttpResponse:
    """Send the campaign's results as a CSV file. Simulated ones only with ?simulated."""
    campaign = get_object_or_404(Campaign, pk=pk)
    lines = export_rows.csv_lines(campaign, simulated="simulated" in request.GET)
    headers = {"Content-Disposition": f'attachment; filename="campaign-{pk}-results.csv"'}
    return StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8", headers=headers)
