"""The first page: what runs, the latest leaders, and what needs attention."""

from __future__ import annotations

from typing import Any, Final

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse

from campaigns.clock import database_now, read_at
from campaigns.health import concerns, health, live_campaigns
from campaigns.models import Campaign, Result
from campaigns.standings.champions import latest_champions
from campaigns.standings.summaries import summarise
from campaigns.views import glyphs
from campaigns.views.table_heads import campaign_heads, columns
from experiments import metrics
from workers.joining.lines import joining_offers
from workers.models import Worker
from xeenet_site.web import commands
from xeenet_site.web.pages import page_or_fragment, reading_page

CAMPAIGNS_SHOWN: Final = 8


@reading_page
def overview(request: HttpRequest) -> HttpResponse:
    """Show the installation at a glance. With htmx only the part that changes."""
    live = live_campaigns()
    now = read_at(live[0]) if live else database_now()
    latest = Campaign.objects.select_related("owner", "dataset", "package")
    latest = latest.defer("package__source")[:CAMPAIGNS_SHOWN]
    campaigns = live[:CAMPAIGNS_SHOWN] or list(latest)
    figures = health(live, now=now)
    champions = latest_champions()
    spec = metrics.common(campaign.metric_spec for campaign in campaigns)
    champions_spec = metrics.common(champion.result.campaign.metric_spec for champion in champions)
    steps_done = {
        "campaign": bool(campaigns),
        "worker": figures.workers > 0 or Worker.objects.exists(),
        "result": bool(champions) or Result.objects.exists(),
    }
    context = {
        "now": now,
        "summaries": glyphs.on_summaries(
            summarise(campaigns, now=now, known=figures.outlook if live else None), spec
        ),
        "columns": columns(campaign_heads(spec), ""),
        "spec": spec,
        "champions_spec": champions_spec,
        "campaigns_are_current": bool(live),
        "champions": glyphs.on_champions(champions, champions_spec),
        "health": figures,
        "concerns": concerns(figures, live, now=now, reader=request.user),
        "steps_done": steps_done,
    }
    if not all(steps_done.values()):
        context |= _first_steps(request)
    return page_or_fragment(request, "overview.html", "_overview.html", context)


def _first_steps(request: HttpRequest) -> dict[str, Any]:
    """Return what the first steps show: how a machine joins, who has an account, what to type."""
    known: dict[str, Any] = {
        "joining": joining_offers(request),
        "has_account": request.user.is_authenticated or User.objects.exists(),
    }
    if commands.may_see(request):
        sizes = ("--tasks", "10", "--budget", "10", "--launch")
        known["commands"] = {
            "account": commands.manage("first_account"),
            "campaign": commands.manage("create_campaign", "First look", *sizes),
            "leaderboard": commands.manage("leaderboard"),
        }
    return known
