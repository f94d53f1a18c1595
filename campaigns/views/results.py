"""The results tab of a campaign: figures, chart and leaderboard, and the file with all results."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, Final

from django.core.paginator import Page, Paginator
from django.forms.models import model_to_dict
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404

from campaigns.caching import cached_roughly
from campaigns.charts.best_so_far import best_so_far
from campaigns.charts.points import chart_points
from campaigns.clock import database_now
from campaigns.design.previews import preview
from campaigns.exports import rows as export_rows
from campaigns.models import Campaign, CampaignState
from campaigns.standings import board, leaderboard
from campaigns.standings.board import LeaderboardQuery
from campaigns.standings.finding import finding, why_nothing_is_ranked
from campaigns.standings.progress import CampaignProgress, campaign_progress
from campaigns.standings.rows import Standing
from campaigns.standings.summaries import progress_bar
from campaigns.views.head import campaign_or_404, head_context
from campaigns.views.leaderboard_cells import Cells, cells
from campaigns.views.table_heads import Head, columns, known_sort, leaderboard_heads
from experiments import catalog
from experiments.metrics import VAL_BPB
from xeenet_site.web.pages import page_or_fragment, reading_page
from xeenet_site.web.strict_json import figure_script

# One or two screens. Twice as many rows take nearly twice the time to render.
ROWS_PER_PAGE: Final = 50
MOST_RECORDS: Final = 20
EVALUATIONS: Final = ("full", "subset")
STATE_LABELS: Final[dict[str, str]] = {
    Standing.COMPLETED: "with a value",
    Standing.DIVERGED: "diverged",
    Standing.BUDGET_TOO_SMALL: "budget too small",
    Standing.IMPLAUSIBLE: "implausible",
    Standing.FAILED: "failed",
    Standing.SIMULATED: "simulated",
}
# Pages of campaigns with more tasks refresh less often, because they are expensive to render.
LARGE_CAMPAIGN: Final = 2_000


@reading_page
def campaign(request: HttpRequest, pk: int) -> HttpResponse:
    """Show one campaign. With htmx only the part that changes while it runs."""
    campaign = campaign_or_404(pk)
    now = database_now()
    if campaign.state == CampaignState.DRAFT:
        context = head_context(request, campaign, now)
        context["preview"] = preview(model_to_dict(campaign), now=now)
    else:
        context = _findings(request, campaign, now)
    return page_or_fragment(request, "campaigns/campaign.html", "campaigns/_campaign.html", context)


def _findings(request: HttpRequest, campaign: Campaign, now: dt.datetime) -> dict[str, Any]:
    """Return head, figures, chart and leaderboard, as the address selects them."""
    progress = campaign_progress(campaign, now=now)
    by_state = _by_state(progress)
    show_simulated = request.GET.get("state") == Standing.SIMULATED
    by_time = request.GET.get("x") != "number"
    best = leaderboard.best(campaign)
    varying, constant = leaderboard.varying_params(campaign)
    return {
        **head_context(request, campaign, now, by_state=by_state),
        **_leaderboard(request, campaign, varying, progress),
        "progress": progress,
        "finding": finding(campaign, progress),
        "why_nothing_is_ranked": why_nothing_is_ranked(campaign, progress),
        "bar": progress_bar(by_state, progress.total),
        "top_failure": next(iter(progress.failure_classes.items()), None),
        "best": best,
        "best_params": [(name, best.task.params.get(name)) for name in varying] if best else [],
        "constant": constant,
        "chart": cached_roughly(
            campaign,
            "best-so-far",
            lambda: _chart(campaign, by_time=by_time, simulated=show_simulated),
            by_time=by_time,
            simulated=show_simulated,
        ),
        "by_time": by_time,
        "show_simulated": show_simulated,
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
    """A result that was the best when it came, `seconds` after the launch."""

    task_id: int
    number: int
    order: int
    seconds: float
    value: float | None
    device: str


@dataclass(frozen=True)
class Chart:
    """The best-so-far chart, and how much of the campaign it draws.

    `markup` is the figure as a JSON script element, "" for none. It is cached in this form, because
    writing thousands of points as JSON takes longer than all other steps. `records` are the latest
    new bests, the best first; `more_records` came before them.
    """

    markup: str
    drawn: int
    total: int
    records: list[Record]
    more_records: int


def _chart(campaign: Campaign, *, by_time: bool, simulated: bool) -> Chart:
    points = chart_points(campaign, simulated=simulated)
    figure = best_so_far(
        points,
        campaign.metric_spec,
        since=campaign.launched_at,
        by_time=by_time,
        anchors=_anchors(campaign),
    )
    markup = figure_script(figure, "best-so-far-figure") if figure else ""
    records = [
        Record(
            task_id=point.task_id,
            number=point.number,
            order=point.order,
            seconds=(point.finished_at - campaign.launched_at).total_seconds(),
            value=point.value,
            device=point.device,
        )
        for point in reversed(points.points)
        if point.is_record and campaign.launched_at
    ]
    listed = records[:MOST_RECORDS]
    return Chart(
        markup, len(points.points), points.total, listed, more_records=len(records) - len(listed)
    )


def _anchors(campaign: Campaign) -> dict[str, float]:
    """Return the n-gram values of the campaign's data set, if the catalog has the same bytes.

    They are bits per byte; no other metric has any.
    """
    if campaign.metric_spec.name != VAL_BPB.name:
        return {}
    for dataset in catalog.all_datasets():
        if dataset.sha256 == campaign.dataset_id:
            return dataset.ngram_anchors
    return {}


def _leaderboard(
    request: HttpRequest, campaign: Campaign, varying: list[str], progress: CampaignProgress
) -> dict[str, Any]:
    """Return the page of the leaderboard that the address selects."""
    whole, spec = leaderboard.whole_params(campaign), campaign.metric_spec
    heads = leaderboard_heads(spec, varying, whole)
    query = _query(request, heads)
    counted = board.counts(campaign, query, failed=progress.failed)
    paginator: Paginator[Cells] = Paginator((), ROWS_PER_PAGE)
    paginator.count = board.total(counted, query)
    page: Page[Cells] = paginator.get_page(request.GET.get("page"))
    offset = (page.number - 1) * ROWS_PER_PAGE
    lines = board.lines(campaign, query, counted, limit=ROWS_PER_PAGE, offset=offset)
    ranked = [kind for kind in leaderboard.kinds(campaign) if kind.is_ranked]
    return {
        "columns": columns(heads, query.sort),
        "rows": cells(lines, spec, varying, whole),
        "page": page,
        "query": query,
        "states": _states(counted, query),
        "devices": sorted({kind.device for kind in ranked}),
        "evaluations": EVALUATIONS if len({kind.is_subset for kind in ranked}) > 1 else (),
        "has_subsets": any(kind.is_subset for kind in ranked),
    }


def _query(request: HttpRequest, heads: list[Head]) -> LeaderboardQuery:
    """Return the query in the address. Unknown states, evaluations and sorts are ignored."""
    state = request.GET.get("state", "")
    evaluation = request.GET.get("evaluation", "")
    return LeaderboardQuery(
        state=state if state in board.STATES else Standing.COMPLETED,
        # Leave out NUL characters: no database stores one, and PostgreSQL refuses to look for it.
        device=request.GET.get("device", "").replace("\0", ""),
        evaluation=evaluation if evaluation in EVALUATIONS else "",
        sort=known_sort(heads, request.GET.get("sort", ""), "rank"),
    )


@dataclass(frozen=True)
class State:
    """One choice of the filter by how tasks ended. `key` is "" for the default."""

    key: str
    label: str
    number: int
    is_chosen: bool


def _states(counted: dict[Standing, int], query: LeaderboardQuery) -> list[State]:
    """Return the choices with any tasks, or [] if there is nothing to choose."""
    labels = STATE_LABELS | {board.EVERYTHING: "all measured"}
    states = [
        State(
            "" if key == Standing.COMPLETED else key,
            label,
            board.total(counted, LeaderboardQuery(state=key)),
            key == query.state,
        )
        for key, label in labels.items()
    ]
    offered = [state for state in states if state.number or state.is_chosen or not state.key]
    # With only the default and "all", both would show the same rows.
    has_choice = any(state.key not in {"", board.EVERYTHING} for state in offered)
    return offered if has_choice else []


@reading_page
def results_csv(request: HttpRequest, pk: int) -> StreamingHttpResponse:
    """Send the campaign's results as a CSV file. Simulated ones only with ?simulated."""
    campaign = get_object_or_404(Campaign, pk=pk)
    lines = export_rows.csv_lines(campaign, simulated="simulated" in request.GET)
    headers = {"Content-Disposition": f'attachment; filename="campaign-{pk}-results.csv"'}
    return StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8", headers=headers)
