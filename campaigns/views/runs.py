"""The tab with the single runs of a campaign, filtered and sorted as the address says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from django.core.paginator import Page, Paginator
from django.http import HttpRequest, HttpResponse

from campaigns.models import Campaign
from campaigns.standings import board, leaderboard
from campaigns.standings.board import LeaderboardQuery
from campaigns.standings.finding import why_nothing_is_ranked
from campaigns.standings.progress import CampaignProgress, campaign_progress
from campaigns.standings.rows import Standing
from campaigns.views.head import campaign_and_now, head_context
from campaigns.views.run_cells import Cells, cells
from campaigns.views.table_heads import Head, columns, known_sort, run_heads
from campaigns.views.tabs import show_tab
from xeenet_site.web.pages import reading_page

# One or two screens. Twice as many rows take nearly twice the time to render.
ROWS_PER_PAGE: Final = 50
EVALUATIONS: Final = ("full", "subset")
STATE_LABELS: Final[dict[str, str]] = {
    Standing.COMPLETED: "with a value",
    Standing.DIVERGED: "diverged",
    Standing.BUDGET_TOO_SMALL: "budget too small",
    Standing.IMPLAUSIBLE: "implausible",
    Standing.FAILED: "failed",
    Standing.SIMULATED: "simulated",
}


@reading_page
def runs(request: HttpRequest, pk: int) -> HttpResponse:
    """List a campaign's runs that have ended. Their order is no ranking: the board has that."""
    campaign, now = campaign_and_now(pk)
    progress = campaign_progress(campaign, now=now)
    varying, constant = leaderboard.varying_params(campaign)
    context = {
        **head_context(request, campaign, now),
        **_runs(request, campaign, varying, progress),
        "progress": progress,
        "why_nothing_is_ranked": why_nothing_is_ranked(campaign, progress),
        "constant": constant,
    }
    return show_tab(request, "Runs", "campaigns/_runs.html", context)


def _runs(
    request: HttpRequest, campaign: Campaign, varying: list[str], progress: CampaignProgress
) -> dict[str, Any]:
    """Return the page of runs that the address selects."""
    whole, spec = leaderboard.whole_params(campaign), campaign.metric_spec
    heads = run_heads(spec, varying, whole)
    query = _query(request, heads, "-value" if spec.is_maximised else "value")
    counted = board.counts(campaign, query, failed=progress.failed)
    paginator: Paginator[Cells] = Paginator((), ROWS_PER_PAGE)
    paginator.count = board.total(counted, query)
    page: Page[Cells] = paginator.get_page(request.GET.get("page"))
    offset = (page.number - 1) * ROWS_PER_PAGE
    lines = board.lines(campaign, query, counted, limit=ROWS_PER_PAGE, offset=offset)
    ranked = [kind for kind in leaderboard.kinds(campaign) if kind.is_ranked]
    return {
        "columns": columns(heads, query.sort),
        "rows": cells(campaign.pk, lines, spec, varying, whole),
        "page": page,
        "query": query,
        "states": _states(counted, query),
        "devices": sorted({kind.device for kind in ranked}),
        "evaluations": EVALUATIONS if len({kind.is_subset for kind in ranked}) > 1 else (),
        "show_simulated": query.state == Standing.SIMULATED,
        "has_subsets": any(kind.is_subset for kind in ranked),
    }


def _query(request: HttpRequest, heads: list[Head], usual_sort: str) -> LeaderboardQuery:
    """Return the query in the address. Unknown states, evaluations and sorts are ignored."""
    state = request.GET.get("state", "")
    evaluation = request.GET.get("evaluation", "")
    return LeaderboardQuery(
        state=state if state in board.STATES else Standing.COMPLETED,
        # Leave out NUL characters: no database stores one, and PostgreSQL refuses to look for it.
        device=request.GET.get("device", "").replace("\0", ""),
        evaluation=evaluation if evaluation in EVALUATIONS else "",
        sort=known_sort(heads, request.GET.get("sort", ""), usual_sort),
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
