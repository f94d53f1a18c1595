"""The list of campaigns."""

from __future__ import annotations

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from campaigns.clock import database_now
from campaigns.models import Campaign, CampaignState
from campaigns.summaries import summarise
from workers.pages import page_or_fragment, reading_page

CAMPAIGNS_PER_PAGE = 20


@reading_page
def campaign_list(request: HttpRequest) -> HttpResponse:
    """List campaigns, newest first, found by name and state; with htmx the table alone."""
    query, state = request.GET.get("q", "").strip(), request.GET.get("state", "")
    campaigns = _found(query, state).select_related("owner", "dataset")
    page = Paginator(campaigns, CAMPAIGNS_PER_PAGE).get_page(request.GET.get("page"))
    context = {
        "page": page,
        "summaries": summarise(page.object_list),
        "states": CampaignState.values,
        "query": query,
        "state": state,
        "filtered": bool(query or state),
        "now": database_now(),
    }
    return page_or_fragment(request, "campaigns/list.html", "campaigns/_list.html", context)


def _found(query: str, state: str) -> QuerySet[Campaign]:
    campaigns = Campaign.objects.all()
    # No database stores a NUL; PostgreSQL refuses even to look for one.
    if query and "\0" not in query:
        campaigns = campaigns.filter(name__icontains=query)
    if state in CampaignState.values:
        campaigns = campaigns.filter(state=state)
    return campaigns
