"""The page with the list of campaigns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from django.contrib.auth.models import User
from django.core.paginator import Paginator
from django.db.models import F, QuerySet
from django.http import HttpRequest, HttpResponse

from campaigns.clock import database_now, read_at, with_clock
from campaigns.models import Campaign, CampaignState
from campaigns.standings.summaries import summarise, with_best
from campaigns.views import glyphs
from campaigns.views.head import LIVE_STATES
from campaigns.views.table_heads import campaign_heads, columns, known_sort
from experiments import metrics
from xeenet_site.web.pages import page_or_fragment, reading_page

CAMPAIGNS_PER_PAGE: Final = 20
_NEWEST_FIRST: Final = "-created"
# The parameters of a search in the address.
_SEARCH_NAMES: Final = ("q", "state", "owner", "experiment")
# Key of a column -> the field that it sorts by.
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
    """The search in the address; "" matches everything."""

    query: str
    state: str
    owner: str
    experiment: str

    @classmethod
    def of(cls, request: HttpRequest) -> Search:
        # Replace NUL characters: no database stores one, and PostgreSQL refuses to look for it.
        texts = {name: request.GET.get(name, "").replace("\0", "\ufffd") for name in _SEARCH_NAMES}
        state = texts["state"] if texts["state"] in CampaignState.values else ""
        return cls(texts["q"].strip(), state, texts["owner"], texts["experiment"])

    @property
    def filters(self) -> bool:
        return any((self.query, self.state, self.owner, self.experiment))

    def campaigns(self) -> QuerySet[Campaign]:
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


@reading_page
def campaign_list(request: HttpRequest) -> HttpResponse:
    """List campaigns, searched and sorted as the address says. With htmx only the table."""
    search = Search.of(request)
    sort = known_sort(campaign_heads(None), request.GET.get("sort", ""), _NEWEST_FIRST)
    campaigns = with_clock(_sorted(search.campaigns(), sort))
    campaigns = campaigns.select_related("owner", "dataset", "package").defer("package__source")
    page = Paginator(campaigns, CAMPAIGNS_PER_PAGE).get_page(request.GET.get("page"))
    listed = list(page.object_list)
    now = read_at(listed[0]) if listed else database_now()
    summaries = summarise(listed, now=now)
    spec = metrics.common(summary.campaign.metric_spec for summary in summaries)
    context: dict[str, Any] = {
        "page": page,
        "summaries": glyphs.on_summaries(summaries, spec),
        "columns": columns(campaign_heads(spec), sort),
        "spec": spec,
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
        "is_live": any(summary.campaign.state in LIVE_STATES for summary in summaries),
        "now": now,
    }
    return page_or_fragment(request, "campaigns/list.html", "campaigns/_list.html", context)


def _sorted(campaigns: QuerySet[Campaign], sort: str) -> QuerySet[Campaign]:
    """Sort by a column, then newest first. Rows without a value always come last."""
    key = sort.removeprefix("-")
    # The database reads them of the rows of the page alone, unless it sorts by them.
    campaigns = with_best(campaigns)
    field = F(_FIELDS[key])
    order = field.desc(nulls_last=True) if sort.startswith("-") else field.asc(nulls_last=True)
    return campaigns.order_by(order, "-created_at", "-pk")
