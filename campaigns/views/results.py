"""The results of one campaign: figures, chart, leaderboard, and the file behind them."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, Final

from django.core.paginator import Page, Paginator
from django.forms.models import model_to_dict
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django.utils.html import json_script

from campaigns.caching import cached_roughly
from campaigns.charts.best_so_far import best_so_far
from campaigns.charts.points import chart_points
from campaigns.clock import database_now
from campaigns.design.previews import preview
from campaigns.exports import rows as export_rows
from campaigns.models import Campaign, CampaignState
from campaigns.standings import board, leaderboard
from campaigns.standings.board import LeaderboardQuery
from campaigns.standings.progress import CampaignProgress, campaign_progress
from campaigns.standings.rows import Standing
from campaigns.standings.summaries import progress_bar
from campaigns.views.head import head_context, shown_campaign
from campaigns.views.leaderboard_cells import Cells, cells
from campaigns.views.table_heads import Head, columns, known_sort, leaderboard_heads
from experiments import catalog
from xeenet_site.web.pages import page_or_fragment, reading_page

# A screen or two; drawing twice as many rows takes nearly twice the time.
ROWS_PER_PAGE: Final = 50
MOST_RECORDS: Final = 20
EVALUATIONS: Final = ("full", "subset")
STATE_LABELS: Final[dict[str, str]] = {
    Standing.COMPLETED: "with a value",
    Standing.DIVERGED: "diverged",
    Standing.BUDGET_TOO_SMALL: "budget too small",
    Standing.FAILED: "failed",
    Standing.SIMULATED: "simulated",
}
LARGE_CAMPAIGN: Final = 2_000


@reading_page
def campaign(request: HttpRequest, pk: int) -> HttpResponse:
    """Show one campaign; with htmx the part that changes while it runs."""
    shown = shown_campaign(pk)
    now = database_now()
    if shown.state == CampaignState.DRAFT:
        context = head_context(request, shown, now)
        context["preview"] = preview(model_to_dict(shown), now=now)
    else:
        context = _findings(request, shown, now)
    return page_or_fragment(request, "campaigns/campaign.html", "campaigns/_campaign.html", context)


def _findings(request: HttpRequest, shown: Campaign, now: dt.datetime) -> dict[str, Any]:
    """Return head, figures, chart and leaderboard, as the address line wants them."""
    progress = campaign_progress(shown, now=now)
    by_state = _by_state(progress)
    show_simulated = request.GET.get("state") == Standing.SIMULATED
    by_time = request.GET.get("x") != "number"
    best = leaderboard.best(shown)
    varying, constant = leaderboard.varying_params(shown)
    return {
        **head_context(request, shown, now, by_state=by_state),
        **_leaderboard(request, shown, varying, progress),
        "progress": progress,
        "bar": progress_bar(by_state, progress.total),
        "top_failure": next(iter(progress.failure_classes.items()), None),
        "best": best,
        "best_params": [(name, best.task.params.get(name)) for name in varying] if best else [],
        "constant": constant,
        "chart": cached_roughly(
            shown,
            "best-so-far",
            lambda: _chart(shown, by_time=by_time, simulated=show_simulated),
            by_time=by_time,
            simulated=show_simulated,
        ),
        "by_time": by_time,
        "show_simulated": show_simulated,
        # A large campaign is dear to draw: look at it less often.
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


@dataclass(frozen=True)
class Record:
    """A value that was the best when it came, `seconds` after the launch."""

    task_id: int
    number: int
    order: int
    seconds: float
    val_bpb: float | None
    device: str


@dataclass(frozen=True)
class Chart:
    """A figure and how much of the campaign it draws.

    `markup` is the figure as the page holds it, "" for none: writing thousands of points as JSON
    at each look would cost more than all the rest of the chart. `records` are the latest new
    bests, the best first; `more_records` came before them.
    """

    markup: str
    drawn: int
    total: int
    records: list[Record]
    more_records: int


def _chart(shown: Campaign, *, by_time: bool, simulated: bool) -> Chart:
    points = chart_points(shown, simulated=simulated)
    figure = best_so_far(points, since=shown.launched_at, by_time=by_time, anchors=_anchors(shown))
    markup = json_script(figure, "best-so-far-figure") if figure else ""
    records = [
        Record(
            task_id=point.task_id,
            number=point.number,
            order=point.order,
            seconds=(point.finished_at - shown.launched_at).total_seconds(),
            val_bpb=point.val_bpb,
            device=point.device,
        )
        for point in reversed(points.points)
        if point.is_record and shown.launched_at
    ]
    listed = records[:MOST_RECORDS]
    return Chart(
        markup, len(points.points), points.total, listed, more_records=len(records) - len(listed)
    )


def _anchors(shown: Campaign) -> dict[str, float]:
    """Return the n-gram marks of the campaign's data set, where these very bytes are known."""
    for known in catalog.all_datasets():
        if known.sha256 == shown.dataset_id:
            return known.ngram_anchors
    return {}


def _leaderboard(
    request: HttpRequest, shown: Campaign, varying: list[str], progress: CampaignProgress
) -> dict[str, Any]:
    """Return the asked-for page of the leaderboard, in the order and of the kinds asked for."""
    whole = leaderboard.whole_params(shown)
    heads = leaderboard_heads(varying, whole)
    asked = _asked(request, heads)
    counted = board.counts(shown, asked, failed=progress.failed)
    paginator: Paginator[Cells] = Paginator((), ROWS_PER_PAGE)
    paginator.count = board.total(counted, asked)
    page: Page[Cells] = paginator.get_page(request.GET.get("page"))
    offset = (page.number - 1) * ROWS_PER_PAGE
    lines = board.lines(shown, asked, counted, limit=ROWS_PER_PAGE, offset=offset)
    ranked = [kind for kind in leaderboard.kinds(shown) if kind.is_ranked]
    return {
        "columns": columns(heads, asked.sort),
        "rows": cells(lines, varying, whole),
        "page": page,
        "asked": asked,
        "states": _states(counted, asked),
        "devices": sorted({kind.device for kind in ranked}),
        "evaluations": EVALUATIONS if len({kind.is_subset for kind in ranked}) > 1 else (),
        "has_subsets": any(kind.is_subset for kind in ranked),
    }


def _asked(request: HttpRequest, heads: list[Head]) -> LeaderboardQuery:
    """Return what the address line asks for; what it may not ask for counts as not asked."""
    state = request.GET.get("state", "")
    evaluation = request.GET.get("evaluation", "")
    return LeaderboardQuery(
        state=state if state in board.STATES else Standing.COMPLETED,
        # No database stores a NUL; PostgreSQL refuses even to look for one.
        device=request.GET.get("device", "").replace("\0", ""),
        evaluation=evaluation if evaluation in EVALUATIONS else "",
        sort=known_sort(heads, request.GET.get("sort", ""), "rank"),
    )


@dataclass(frozen=True)
class State:
    """One choice of the filter by how tasks ended; `key` is "" for the usual one."""

    key: str
    label: str
    number: int
    is_chosen: bool


def _states(counted: dict[Standing, int], asked: LeaderboardQuery) -> list[State]:
    """Return the choices that hold anything, or nothing where there is no choice."""
    labels = STATE_LABELS | {board.EVERYTHING: "all measured"}
    found = [
        State(
            "" if key == Standing.COMPLETED else key,
            label,
            board.total(counted, LeaderboardQuery(state=key)),
            key == asked.state,
        )
        for key, label in labels.items()
    ]
    held = [one for one in found if one.number or one.is_chosen or not one.key]
    # "All" beside one other choice is the same as that choice.
    others = [one for one in held if one.key not in {"", board.EVERYTHING}]
    return held if others else []


@reading_page
def results_csv(request: HttpRequest, pk: int) -> StreamingHttpResponse:
    """Send the campaign's results as a CSV file; simulated ones only with ?simulated."""
    exported = get_object_or_404(Campaign, pk=pk)
    lines = export_rows.csv_lines(exported, simulated="simulated" in request.GET)
    headers = {"Content-Disposition": f'attachment; filename="campaign-{pk}-results.csv"'}
    return StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8", headers=headers)
