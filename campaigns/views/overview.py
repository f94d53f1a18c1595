"""The first page: what runs, what was found last, and what needs a person."""

from __future__ import annotations

from typing import Final

from django.http import HttpRequest, HttpResponse

from campaigns.clock import database_now
from campaigns.health import concerns, health, live_campaigns
from campaigns.models import Campaign, Result
from campaigns.standings.champions import latest_champions
from campaigns.standings.summaries import summarise
from campaigns.views.table_heads import CAMPAIGN_HEADS, columns
from workers.models import Worker
from xeenet_site.web.pages import page_or_fragment, reading_page

CAMPAIGNS_SHOWN: Final = 8


@reading_page
def overview(request: HttpRequest) -> HttpResponse:
    """Show the installation at a glance; with htmx the part that changes."""
    now = database_now()
    live = live_campaigns()
    latest = Campaign.objects.select_related("owner", "dataset")[:CAMPAIGNS_SHOWN]
    shown = live[:CAMPAIGNS_SHOWN] or list(latest)
    figures = health(live, now=now)
    needs = concerns(figures, live, now=now, reader=request.user)
    champions = latest_champions()
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
