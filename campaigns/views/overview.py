"""The first page: what runs now, what came in last, and what to do on an empty installation."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from campaigns.clock import database_now
from campaigns.models import Campaign, CampaignState, Result, Task, TaskState
from campaigns.summaries import summarise
from workers.models import Worker
from workers.pages import page_or_fragment, reading_page

CAMPAIGNS_SHOWN = 8
RESULTS_SHOWN = 8


@reading_page
def overview(request: HttpRequest) -> HttpResponse:
    """Show the installation at a glance; with htmx the part that changes."""
    now = database_now()
    campaigns = Campaign.objects.select_related("owner", "dataset")
    current = campaigns.filter(state__in=[CampaignState.ACTIVE, CampaignState.PAUSED])
    shown = list(current[:CAMPAIGNS_SHOWN]) or list(campaigns[:CAMPAIGNS_SHOWN])
    latest = Result.objects.select_related("task", "campaign", "attempt__worker")[:RESULTS_SHOWN]
    workers = Worker.objects.count()
    results = Result.objects.count()
    context = {
        "now": now,
        "campaigns": summarise(shown),
        "campaigns_are_current": any(
            one.state in {CampaignState.ACTIVE, CampaignState.PAUSED} for one in shown
        ),
        "latest": latest,
        "figures": {
            "active": Campaign.objects.filter(state=CampaignState.ACTIVE).count(),
            "running": Task.objects.filter(state=TaskState.LEASED).count(),
            "online": Worker.objects.online(now).count(),
            "workers": workers,
            "results": results,
        },
        "steps_done": {"campaign": bool(shown), "worker": workers > 0, "result": results > 0},
        "server_url": request.build_absolute_uri("/").rstrip("/"),
    }
    return page_or_fragment(request, "overview.html", "_overview.html", context)
