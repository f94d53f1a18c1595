"""The results of one campaign: figures, chart, leaderboard, and the file behind them."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, Final

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.forms.models import model_to_dict
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404

from campaigns import exports, leaderboard
from campaigns.caching import cached_roughly
from campaigns.chart_points import chart_points
from campaigns.charts import Figure, best_so_far
from campaigns.clock import database_now
from campaigns.leaderboard import Kind, Row
from campaigns.models import Campaign, CampaignState, Result
from campaigns.previews import preview
from campaigns.progress import CampaignProgress, campaign_progress
from campaigns.summaries import progress_bar
from campaigns.tables import columns, known_sort, leaderboard_heads
from campaigns.views.head import head_context, shown_campaign
from experiments import catalog
from workers.pages import page_or_fragment, reading_page

ROWS_PER_PAGE: Final = 100
SIMULATED_SHOWN: Final = 100
EVALUATIONS: Final = ("full", "subset")
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
    show_simulated = "simulated" in request.GET
    by_time = request.GET.get("x") != "number"
    best = leaderboard.best(shown)
    varying, constant = leaderboard.varying_params(shown)
    return {
        **head_context(request, shown, now, by_state=by_state),
        **_leaderboard(request, shown, varying),
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
        "simulated": _simulated(shown) if show_simulated else [],
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
class Chart:
    """A figure and how much of the campaign it draws."""

    figure: Figure | None
    drawn: int
    total: int


def _chart(shown: Campaign, *, by_time: bool, simulated: bool) -> Chart:
    points = chart_points(shown, simulated=simulated)
    figure = best_so_far(points, since=shown.launched_at, by_time=by_time, anchors=_anchors(shown))
    return Chart(figure, len(points.points), points.total)


def _anchors(shown: Campaign) -> dict[str, float]:
    """Return the n-gram marks of the campaign's data set, where these very bytes are known."""
    for known in catalog.all_datasets():
        if known.sha256 == shown.dataset_id:
            return known.ngram_anchors
    return {}


def _simulated(shown: Campaign) -> QuerySet[Result]:
    results = shown.results.filter(simulated=True).select_related("task", "attempt__worker")
    return results[:SIMULATED_SHOWN]


def _leaderboard(request: HttpRequest, shown: Campaign, varying: list[str]) -> dict[str, Any]:
    """Return the asked-for page of the leaderboard, in the order and of the kinds asked for."""
    ranked = [kind for kind in leaderboard.kinds(shown) if kind.is_ranked]
    # No database stores a NUL; PostgreSQL refuses even to look for one.
    device = request.GET.get("device", "").replace("\0", "")
    evaluation = request.GET.get("evaluation", "")
    evaluation = evaluation if evaluation in EVALUATIONS else ""
    heads = leaderboard_heads(varying)
    sort = known_sort(heads, request.GET.get("sort", ""), "rank")
    wanted = [kind for kind in ranked if _is_wanted(kind, device, evaluation)]
    paginator: Paginator[Row] = Paginator((), ROWS_PER_PAGE)
    paginator.count = sum(kind.number for kind in wanted)
    page: Page[Row] = paginator.get_page(request.GET.get("page"))
    rows = leaderboard.rank(
        shown,
        limit=ROWS_PER_PAGE,
        offset=(page.number - 1) * ROWS_PER_PAGE,
        device=device,
        evaluation=evaluation,
        sort=sort,
    )
    return {
        "columns": columns(heads, sort),
        "rows": [(row, [row.task.params.get(name) for name in varying]) for row in rows],
        "page": page,
        "device": device,
        "devices": sorted({kind.device for kind in ranked}),
        "evaluation": evaluation,
        "evaluations": EVALUATIONS if len({kind.is_subset for kind in ranked}) > 1 else (),
    }


def _is_wanted(kind: Kind, device: str, evaluation: str) -> bool:
    return (not device or kind.device == device) and (
        not evaluation or kind.is_subset == (evaluation == "subset")
    )


@reading_page
def results_csv(request: HttpRequest, pk: int) -> StreamingHttpResponse:
    """Send the campaign's results as a CSV file; simulated ones only with ?simulated."""
    exported = get_object_or_404(Campaign, pk=pk)
    lines = exports.csv_lines(exported, simulated="simulated" in request.GET)
    headers = {"Content-Disposition": f'attachment; filename="campaign-{pk}-results.csv"'}
    return StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8", headers=headers)
