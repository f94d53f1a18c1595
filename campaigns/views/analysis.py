"""The analysis tab: the page, its panels, which load as they scroll into view, and their data."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.cache import patch_vary_headers

from campaigns.analysis.axes import level_label
from campaigns.caching import cached_roughly
from campaigns.models import Campaign, CampaignState, Result
from campaigns.panels import ATTEMPT_PANELS, PANELS, Chart, Panel, Subject, panel, table
from campaigns.views.head import campaign_and_now, head_context
from xeenet_site.web.csv_text import csv_lines
from xeenet_site.web.pages import reading_page, wants_fragment

TABLE_ROWS: Final = 100


@dataclass(frozen=True)
class Cell:
    """One cell of a panel's table, as text."""

    text: str
    is_number: bool


@dataclass(frozen=True)
class Slot:
    """The place of a panel on the page. Without `panel`, the browser fetches it once visible."""

    key: str
    name: str
    path: str
    url: str
    csv_url: str
    device: str
    panel: Panel | None = None

    @property
    def charts(self) -> list[tuple[str, Chart]]:
        """The panel's charts, each with the id of its figure on the page."""
        charts = self.panel.charts if self.panel else []
        return [(f"{self.key}-figure-{number}", chart) for number, chart in enumerate(charts)]

    @property
    def table(self) -> list[list[Cell]]:
        """The first rows of the panel's data as text."""
        rows = self.panel.rows[:TABLE_ROWS] if self.panel else []
        return [[_cell(value) for value in row] for row in rows]

    @property
    def number_heads(self) -> list[tuple[str, bool]]:
        """The heads of the table, each with whether its column holds numbers."""
        assert self.panel  # noqa: S101 - the template reads this only for a computed panel
        first = self.table[0] if self.panel.rows else []
        return [
            (head, cell.is_number)
            for head, cell in zip(self.panel.heads, first, strict=bool(first))
        ]


def _cell(value: Any) -> Cell:
    if value is None:
        return Cell("—", is_number=True)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return Cell(f"{value:.5g}" if isinstance(value, float) else level_label(value), is_number)


@reading_page
def analysis(request: HttpRequest, pk: int) -> HttpResponse:
    """Show the tab with a place for each panel. No panel is computed yet."""
    campaign, now = campaign_and_now(pk)
    subject = _subject(request, campaign, now)
    slots = []
    if campaign.launched_at is not None:
        keys = PANELS if devices_of(campaign) else ATTEMPT_PANELS
        slots = [_slot(key, subject) for key in keys]
    return _page(request, subject, slots, "Analysis")


@reading_page
def analysis_panel(request: HttpRequest, pk: int, key: str) -> HttpResponse:
    """Show one panel: for htmx only its part of the page, otherwise alone on the tab."""
    campaign, now = campaign_and_now(pk)
    subject = _subject(request, campaign, now)
    slot = _slot(key, subject, computed=True)
    if wants_fragment(request):
        response = render(
            request, "campaigns/_analysis_panel.html", {"slot": slot, "campaign": campaign}
        )
    else:
        response = _page(request, subject, [slot], slot.name, alone=True)
    patch_vary_headers(response, ["HX-Request"])
    return response


@reading_page
def analysis_csv(request: HttpRequest, pk: int, key: str) -> StreamingHttpResponse:
    """Send the complete data of a panel as a CSV file."""
    subject = _subject(request, *campaign_and_now(pk))
    heads, rows = table(key, subject)
    headers = {"Content-Disposition": f'attachment; filename="campaign-{pk}-{key}.csv"'}
    return StreamingHttpResponse(
        csv_lines(heads, rows),
        content_type="text/csv; charset=utf-8",
        headers=headers,
    )


def _page(
    request: HttpRequest, subject: Subject, slots: list[Slot], title: str, *, alone: bool = False
) -> HttpResponse:
    context = head_context(request, subject.campaign, subject.now) | {
        "slots": slots,
        # The tab does not refresh by itself, so that nothing moves while somebody reads it.
        "is_live": False,
        "grows": subject.campaign.state == CampaignState.ACTIVE,
        "alone": alone,
        "device": subject.device,
        "devices": devices_of(subject.campaign),
        "tab_title": title,
        "tab_has_charts": True,
        "fragment": "campaigns/_analysis.html",
    }
    return render(request, "campaigns/tab.html", context)


def devices_of(campaign: Campaign) -> list[str]:
    """Return the devices that ranked results were measured on, sorted by name."""

    def read() -> list[str]:
        ranked = Result.objects.filter(campaign=campaign, is_ranked=True)
        return list(ranked.order_by("device_used").values_list("device_used", flat=True).distinct())

    return cached_roughly(campaign, "devices", read)


def _subject(request: HttpRequest, campaign: Campaign, now: dt.datetime) -> Subject:
    """Return the subject in the address. Unknown devices and parameters are ignored."""
    names = {parameter["name"] for parameter in campaign.search_space["parameters"]}
    x, y = request.GET.get("x", ""), request.GET.get("y", "")
    device = request.GET.get("device", "")
    return Subject(
        campaign,
        now,
        device=device if device and device in devices_of(campaign) else "",
        x=x if x in names else "",
        y=y if y in names else "",
    )


def _slot(key: str, subject: Subject, *, computed: bool = False) -> Slot:
    choices = {"device": subject.device, "x": subject.x, "y": subject.y}
    query = urlencode({name: value for name, value in choices.items() if value})
    tail = f"?{query}" if query else ""
    arguments = [subject.campaign.pk, key]
    path = reverse("campaign-analysis-panel", args=arguments)
    return Slot(
        key,
        PANELS[key].name,
        path,
        path + tail,
        reverse("campaign-analysis-csv", args=arguments) + tail,
        subject.device,
        panel(key, subject) if computed else None,
    )
