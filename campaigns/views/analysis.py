"""The analysis tab: the page, each of its panels when it scrolls into view, and their data."""

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
from campaigns.clock import database_now
from campaigns.models import Campaign, CampaignState, Result
from campaigns.panels import ATTEMPT_PANELS, PANELS, Chart, Panel, Subject, panel, table
from campaigns.views.head import head_context, shown_campaign
from xeenet_site.web.csv_text import csv_lines
from xeenet_site.web.pages import reading_page, wants_fragment

TABLE_ROWS: Final = 100


@dataclass(frozen=True)
class Cell:
    """One cell of a panel's table as it is written."""

    text: str
    is_number: bool


@dataclass(frozen=True)
class Slot:
    """One panel's place on the page; without `panel` its content is fetched when it is seen."""

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
        """The heads of the table, and whether numbers stand below them."""
        assert self.panel  # noqa: S101 - only templates of a computed panel ask
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
    """Show the tab with a place for each panel; reading it computes none of them."""
    shown = shown_campaign(pk)
    subject = _subject(request, shown, database_now())
    slots = []
    if shown.launched_at is not None:
        keys = PANELS if devices_of(shown) else ATTEMPT_PANELS
        slots = [_slot(key, subject) for key in keys]
    return _page(request, subject, slots, "Analysis")


@reading_page
def analysis_panel(request: HttpRequest, pk: int, key: str) -> HttpResponse:
    """Show one panel: for htmx its part of the page, else alone on the tab."""
    shown = shown_campaign(pk)
    subject = _subject(request, shown, database_now())
    slot = _slot(key, subject, computed=True)
    if wants_fragment(request):
        response = render(request, "campaigns/_analysis_panel.html", {"slot": slot})
    else:
        response = _page(request, subject, [slot], slot.name, alone=True)
    patch_vary_headers(response, ["HX-Request"])
    return response


@reading_page
def analysis_csv(request: HttpRequest, pk: int, key: str) -> StreamingHttpResponse:
    """Send what stands behind a panel as a CSV file."""
    subject = _subject(request, shown_campaign(pk), database_now())
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
        # The page does not refresh by itself: nothing may move under a reader's hand.
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
    """Return the kinds of device that brought ranked results, by name."""

    def read() -> list[str]:
        ranked = Result.objects.filter(campaign=campaign, is_ranked=True)
        return list(ranked.order_by("device_used").values_list("device_used", flat=True).distinct())

    return cached_roughly(campaign, "devices", read)


def _subject(request: HttpRequest, shown: Campaign, now: dt.datetime) -> Subject:
    """Return what the address line asks about; what it may not ask for counts as not asked."""
    names = {one["name"] for one in shown.search_space["parameters"]}
    x, y = request.GET.get("x", ""), request.GET.get("y", "")
    device = request.GET.get("device", "")
    return Subject(
        shown,
        now,
        device=device if device and device in devices_of(shown) else "",
        x=x if x in names else "",
        y=y if y in names else "",
    )


def _slot(key: str, subject: Subject, *, computed: bool = False) -> Slot:
    asked = {"device": subject.device, "x": subject.x, "y": subject.y}
    query = urlencode({name: value for name, value in asked.items() if value})
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
