"""The results tab of a campaign: verdict, figures, chart and the board of arms; and the file."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from django.forms.models import model_to_dict
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django.views.generic import RedirectView

from campaigns.design.previews import preview
from campaigns.exports import leaderboard as export_leaderboard
from campaigns.exports import rows as export_rows
from campaigns.models import Campaign, CampaignState
from campaigns.standings import headline, leaderboard
from campaigns.standings.finding import why_nothing_is_ranked
from campaigns.standings.paired import arm_in_address
from campaigns.standings.progress import CampaignProgress, campaign_progress
from campaigns.views.board import board_context, race_options_context
from campaigns.views.head import campaign_and_now, head_context
from campaigns.views.hero import hero_context, new_points
from campaigns.views.side import side_of
from campaigns.views.verdict import figures_context, verdict_context
from xeenet_site.web.pages import page_or_fragment, reading_page

# Pages of campaigns with more tasks refresh less often, because they are expensive to render.
LARGE_CAMPAIGN: Final = 2_000


@reading_page
def campaign(request: HttpRequest, pk: int) -> HttpResponse:
    """Show one campaign. With htmx only the part that changes while it runs."""
    campaign, now = campaign_and_now(pk, with_importance=True)
    if campaign.state == CampaignState.DRAFT:
        context = head_context(request, campaign, now)
        context["verdict"] = headline.draft(
            campaign, kept=context["kept_at_launch"], worker_seconds=context["worker_seconds"]
        )
        context["preview"] = preview(model_to_dict(campaign), now=now)
    else:
        context = _findings(request, campaign, now)
    context |= side_of(request, campaign, now)
    return page_or_fragment(
        request,
        "campaigns/campaign.html",
        "campaigns/_campaign.html",
        context,
        points=lambda after: new_points(campaign, after, of_class=request.GET.get("class", "")),
    )


def _findings(request: HttpRequest, campaign: Campaign, now: dt.datetime) -> dict[str, Any]:
    """Return head, verdict, figures, chart and board, as the address selects them."""
    progress = campaign_progress(campaign, now=now)
    by_state = _by_state(progress)
    varying, constant = leaderboard.varying_params(campaign)
    board = board_context(request, campaign, varying)
    names = [head.name for head in board["param_heads"]]
    return {
        **head_context(request, campaign, now, by_state=by_state),
        **board,
        **race_options_context(request, campaign),
        **verdict_context(request, campaign, progress, now),
        **figures_context(campaign, progress, by_state, names),
        "why_nothing_is_ranked": why_nothing_is_ranked(campaign, progress),
        "constant": constant,
        **hero_context(campaign, of_class=request.GET.get("class", "")),
        "poll_seconds": 3 if progress.total <= LARGE_CAMPAIGN else 15,
    }


def _by_state(progress: CampaignProgress) -> dict[str, int]:
    return {
        "pending": progress.pending,
        "leased": progress.leased,
        "completed": progress.completed,
        "failed": progress.failed,
        "cancelled": progress.cancelled,
    }


# The address of the board from before it came to the campaign's page.
arms_address = reading_page(RedirectView.as_view(pattern_name="campaign"))


@reading_page
def leaderboard_csv(request: HttpRequest, pk: int) -> StreamingHttpResponse:
    """Send the board of arms, of the class that the address selects, as a CSV file."""
    campaign = get_object_or_404(Campaign, pk=pk)
    lines = export_leaderboard.csv_lines(
        campaign,
        result_class=request.GET.get("class", ""),
        baseline=arm_in_address(campaign, request.GET.get("baseline", "")),
    )
    headers = {"Content-Disposition": f'attachment; filename="campaign-{pk}-leaderboard.csv"'}
    return StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8", headers=headers)


@reading_page
def results_csv(request: HttpRequest, pk: int) -> StreamingHttpResponse:
    """Send the campaign's results as a CSV file. Simulated ones only with ?simulated."""
    campaign = get_object_or_404(Campaign, pk=pk)
    lines = export_rows.csv_lines(campaign, simulated="simulated" in request.GET)
    headers = {"Content-Disposition": f'attachment; filename="campaign-{pk}-results.csv"'}
    return StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8", headers=headers)
