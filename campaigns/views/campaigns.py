"""The list of campaigns, and the form that makes one."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from campaigns import lifecycle, steering
from campaigns.clock import database_now
from campaigns.forms import CampaignForm
from campaigns.models import Campaign, CampaignState
from campaigns.samplers import sample_task
from campaigns.search_space import SearchSpace, UnsatisfiableSpace
from campaigns.summaries import summarise
from workers.pages import (
    page_or_fragment,
    reading_page,
    signed_in,
    signed_in_user,
    wants_fragment,
)

CAMPAIGNS_PER_PAGE = 20
PREVIEWED_CONFIGS = 5


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
