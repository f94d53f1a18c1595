"""The list of campaigns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from django.contrib.auth.models import User
from django.core.paginator import Paginator
from django.db.models import F, QuerySet
from django.http import HttpRequest, HttpResponse

from campaigns.clock import database_now
from campaigns.models import Campaign, CampaignState
from campaigns.standings.summaries import summarise, with_best
from campaigns.views.head import LIVE_STATES
from campaigns.views.table_heads import CAMPAIGN_HEADS, columns, known_sort
from xeenet_site.web.pages import page_or_fragment, reading_page

CAMPAIGNS_PER_PAGE: Final = 20
_NEWEST_FIRST: Final = "-created"
_FIELDS: Final = {
    "name": "name",
    "state": "state",
    "best": "best",
    "tasks": "task_count",
    "experiment": "experiment",
    "budget": "time_budget_seconds",
    "owner": "owner__username",
    "created": "created_at",
}


@dataclass(frozen=True)
class Search:
    """What the address line asks for; "" for anything."""

    query: str
    state: str
    owner: str
    experiment: str

    @classmethod
    def of(cls, request: HttpRequest) -> Search:
        # No database stores a NUL; PostgreSQL refuses even to look for one.
        asked = {name: request.GET.get(name, "").replace("\0", "\ufffd") for name in _ASKED}
        state = asked["state"] if asked["state"] in CampaignState.values else ""
        return cls(asked["q"].strip(), state, asked["owner"], asked["experiment"])

    @property
    def filters(self) -> bool:
        return any((self.query, self.state, self.owner, self.experiment))

    def found(self) -> QuerySet[Campaign]:
        campaigns = Campaign.objects.all()
        if self.query:
            campaigns = campaigns.filter(name__icontains=self.query)
        if self.state:
            campaigns = campaigns.filter(state=self.state)
        if self.owner:
            campaigns = campaigns.filter(owner__username=self.owner)
        if self.experiment:
            campaigns = campaigns.filter(experiment=self.experiment)
        return campaigns


_ASKED: Final = ("q", "state", "owner", "experiment")


@reading_page
def campaign_list(request: HttpRequest) -> HttpResponse:
    """List campaigns, found and sorted as the address line says; with htmx the table alone."""
    search = Search.of(request)
    sort = known_sort(CAMPAIGN_HEADS, request.GET.get("sort", ""), _NEWEST_FIRST)
    found = _sorted(search.found(), sort).select_related("owner", "dataset")
    page = Paginator(found, CAMPAIGNS_PER_PAGE).get_page(request.GET.get("page"))
    summaries = summarise(page.object_list)
    context: dict[str, Any] = {
        "page": page,
        "summaries": summaries,
        "columns": columns(CAMPAIGN_HEADS, sort),
        "sort": sort,
        "search": search,
        "states": CampaignState.values,
        "owners": User.objects.filter(campaigns__isnull=False)
        .order_by("username")
        .values_list("username", flat=True)
        .distinct(),
        "experiments": Campaign.objects.order_by("experiment")
        .values_list("experiment", flat=True)
        .distinct(),
        "is_live": any(one.campaign.state in LIVE_STATES for one in summaries),
        "now": database_now(),
    }
    return page_or_fragment(request, "campaigns/list.html", "campaigns/_list.html", context)


def _sorted(campaigns: QuerySet[Campaign], sort: str) -> QuerySet[Campaign]:
    """Sort by a column, newest first among equals; what has no value comes last either way."""
    key = sort.removeprefix("-")
    if key == "best":
        campaigns = with_best(campaigns)
    field = F(_FIELDS[key])
    order = field.desc(nulls_last=True) if sort.startswith("-") else field.asc(nulls_last=True)
    return campaigns.order_by(order, "-created_at", "-pk")
