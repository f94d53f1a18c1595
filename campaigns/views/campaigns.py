"""The pages of campaigns: the list, the form, and the results of one campaign."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from campaigns import exports, leaderboard, lifecycle, steering
from campaigns.charts import best_so_far
from campaigns.clock import database_now
from campaigns.forms import CampaignForm
from campaigns.models import Campaign, CampaignState, Result
from campaigns.samplers import sample_task
from campaigns.search_space import SearchSpace, UnsatisfiableSpace
from campaigns.summaries import progress_bar, summarise
from campaigns.tables import columns, known_sort, leaderboard_heads
from campaigns.views.head import head_context, shown_campaign
from experiments import catalog
from workers.pages import (
    page_or_fragment,
    reading_page,
    signed_in,
    signed_in_user,
    wants_fragment,
)

CAMPAIGNS_PER_PAGE = 20
LEADERBOARD_ROWS = 100
PREVIEWED_CONFIGS = 5
LARGE_CAMPAIGN = 2000


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


@signed_in
def new_campaign(request: HttpRequest) -> HttpResponse:
    """Show the form; POST makes a draft, or with htmx shows what the form would sample."""
    form = CampaignForm(request.POST or None)
    if wants_fragment(request):
        return render(request, "campaigns/_preview.html", _preview_of_form(form))
    if request.method == "POST" and form.is_valid():
        try:
            campaign = steering.create_campaign(
                signed_in_user(request), form.spec(), now=database_now()
            )
        except lifecycle.InvalidCampaign as error:
            for name, sentences in error.errors.items():
                form.add_error(name if name in form.fields else None, sentences)
        else:
            messages.success(request, "The draft is saved. Launch it to hand out its tasks.")
            return redirect(campaign)
    context = {"form": form, **_preview_of_form(form if form.is_bound else CampaignForm())}
    return render(request, "campaigns/new.html", context, status=422 if form.is_bound else 200)


def _preview_of_form(form: CampaignForm) -> dict[str, Any]:
    """Return the first configs that the form as it stands would sample, or why there are none."""
    if not form.is_bound:
        values = {name: field.initial for name, field in form.fields.items()}
        values["sampler"] = form.fields["sampler"].choices[0][0]  # type: ignore[attr-defined]
        form = CampaignForm(values)
    form.is_valid()
    values = form.cleaned_data
    needed = {"search_space", "base_seed", "sampler", "task_count"}
    if not needed <= values.keys():
        return {"preview_errors": [e for name in needed for e in form.errors.get(name, [])]}
    return preview(
        values["search_space"], values["sampler"], values["base_seed"], values["task_count"]
    )


def preview(
    search_space: dict[str, Any], sampler: str, base_seed: int, task_count: int
) -> dict[str, Any]:
    """Return template context with the first configs that tasks of these settings get."""
    space = SearchSpace.parse(search_space)
    numbers = range(min(PREVIEWED_CONFIGS, task_count))
    try:
        sampled = [sample_task(space, sampler, base_seed, number) for number in numbers]
    except UnsatisfiableSpace as error:
        return {"preview_errors": [str(error)]}
    names = list(space.parameters)
    return {
        "preview_names": names,
        "preview_rows": [
            (number, seed, [params[name] for name in names])
            for number, (seed, params) in enumerate(sampled)
        ],
        "preview_total": task_count,
    }


@reading_page
def campaign(request: HttpRequest, pk: int) -> HttpResponse:
    """Show one campaign; with htmx the part that changes while it runs."""
    shown = shown_campaign(pk)
    now = database_now()
    context = head_context(request, shown, now) | (
        preview(shown.search_space, shown.sampler, shown.base_seed, shown.task_count)
        if shown.state == CampaignState.DRAFT
        else _findings(request, shown, now)
    )
    return page_or_fragment(request, "campaigns/campaign.html", "campaigns/_campaign.html", context)


def _findings(request: HttpRequest, shown: Campaign, now: dt.datetime) -> dict[str, Any]:
    """Return figures, chart and leaderboard, as the address line wants them."""
    progress = leaderboard.progress(shown, now=now)
    varying, constant = leaderboard.varying_params(shown)
    heads = leaderboard_heads(varying)
    sort = known_sort(heads, request.GET.get("sort", ""), "rank")
    device = request.GET.get("device", "").replace("\0", "")
    best = leaderboard.best(shown)
    rows = leaderboard.rank(shown, limit=LEADERBOARD_ROWS, device=device, sort=sort)
    show_simulated = "simulated" in request.GET
    by_time = request.GET.get("x") != "number"
    points = [p for p in leaderboard.points(shown) if show_simulated or not p.simulated]
    return {
        "progress": progress,
        "bar": progress_bar(_counts(progress), progress.total),
        "top_failure": next(iter(progress.failure_classes.items()), None),
        "best": best,
        "best_params": [(name, best.task.params.get(name)) for name in varying] if best else [],
        "without_value": Result.objects.filter(campaign=shown, val_bpb=None).count(),
        "figure": best_so_far(
            points, since=shown.launched_at, by_time=by_time, anchors=_anchors(shown)
        ),
        "by_time": by_time,
        "columns": columns(heads, sort),
        "rows": [(row, [row.task.params.get(name) for name in varying]) for row in rows],
        "constant": constant,
        "device": device,
        "devices": _devices(shown),
        "rows_limit": LEADERBOARD_ROWS,
        "show_simulated": show_simulated,
        "simulated": Result.objects.filter(campaign=shown, simulated=True).select_related(
            "task", "attempt__worker"
        )[:LEADERBOARD_ROWS]
        if show_simulated
        else [],
        # A large campaign is dear to draw: look at it less often.
        "poll_seconds": 3 if progress.total <= LARGE_CAMPAIGN else 15,
    }


def _counts(progress: leaderboard.CampaignProgress) -> dict[str, int]:
    return {
        "completed": progress.completed,
        "failed": progress.failed,
        "cancelled": progress.cancelled,
        "leased": progress.leased,
    }


def _devices(shown: Campaign) -> list[str]:
    ranked = Result.objects.filter(campaign=shown, is_ranked=True).order_by("device_used")
    return list(ranked.values_list("device_used", flat=True).distinct())


def _anchors(shown: Campaign) -> dict[str, float]:
    """Return the n-gram marks of the campaign's data set, where these very bytes are known."""
    for known in catalog.all_datasets():
        if known.sha256 == shown.dataset_id:
            return known.ngram_anchors
    return {}


@reading_page
def results_csv(request: HttpRequest, pk: int) -> StreamingHttpResponse:
    """Send the campaign's results as a CSV file; simulated ones only with ?simulated."""
    exported = get_object_or_404(Campaign, pk=pk)
    lines = exports.csv_lines(exported, simulated="simulated" in request.GET)
    headers = {"Content-Disposition": f'attachment; filename="campaign-{pk}-results.csv"'}
    return StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8", headers=headers)
