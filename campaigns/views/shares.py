"""The page with the turns of campaigns that share the workers, and its form for each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from campaigns import lifecycle, steering
from campaigns.clock import database_now
from campaigns.models import Campaign, Share
from campaigns.models.share import MAX_PLACE, MAX_WEIGHT, MIN_WEIGHT
from campaigns.sharing.standing import Standing
from campaigns.standings.shares import turn_words, turns_now
from campaigns.views.head import LIVE_STATES
from campaigns.views.verbs import decimal, sentence_of, whole_number
from xeenet_site.web.pages import reading_page, signed_in, signed_in_user

CAMPAIGNS_PER_PAGE: Final = 50


@dataclass(frozen=True)
class _Row:
    """A campaign of the list; `weight` is not localised, because it is the value of an input."""

    key: str
    campaign: Campaign
    may_change: bool
    weight: str
    place: int | None
    standing: Standing | None
    turn: str


@require_safe
@reading_page
def shares(request: HttpRequest) -> HttpResponse:
    """List the campaigns that run or are paused, those that wait in the order of their turns."""
    turns = turns_now()
    live = Campaign.objects.filter(state__in=LIVE_STATES).order_by("pk")
    others = set(live.values_list("pk", flat=True)).difference(turns)
    page = Paginator([*turns, *sorted(others)], CAMPAIGNS_PER_PAGE).get_page(
        request.GET.get("page")
    )
    context = {
        "page": page,
        "rows": _rows(request, list(page.object_list), turns),
        "waiting": len(turns),
        "least_weight": f"{MIN_WEIGHT:g}",
        "most_weight": f"{MAX_WEIGHT:g}",
        "most_place": MAX_PLACE,
    }
    return render(request, "campaigns/shares.html", context)


def _rows(request: HttpRequest, keys: Sequence[int], turns: Mapping[int, Standing]) -> list[_Row]:
    campaigns = Campaign.objects.select_related("owner", "share")
    loaded = campaigns.only("name", "state", "owner__username", "share").in_bulk(keys)
    rows = []
    for key in keys:
        if campaign := loaded.get(key):
            share = getattr(campaign, "share", None) or Share(campaign=campaign)
            standing = turns.get(key)
            rows.append(
                _Row(
                    str(key),
                    campaign,
                    steering.may_change(request.user, campaign),
                    f"{share.weight:g}",
                    share.place,
                    standing,
                    turn_words(standing) if standing else "",
                )
            )
    return rows


@signed_in
@require_POST
def set_share(request: HttpRequest, pk: int) -> HttpResponse:
    """Set the place of a campaign in its owner's order, and for operators its weight."""
    campaign = get_object_or_404(Campaign, pk=pk)
    try:
        chosen: dict[str, Any] = {}
        if "place" in request.POST:
            has_place = bool(request.POST["place"].strip())
            chosen["place"] = whole_number(request, "place") if has_place else None
        if "weight" in request.POST:
            chosen["weight"] = decimal(request, "weight")
        steering.set_share(signed_in_user(request), campaign, chosen, now=database_now())
    except lifecycle.LifecycleError as error:
        messages.error(request, f"The share stays as it was. {sentence_of(error)}")
    else:
        messages.success(request, f"The share of {campaign.name} is saved.")
    return redirect("campaign-shares")
