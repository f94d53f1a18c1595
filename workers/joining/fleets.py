"""The page of fleets: their tokens, what each has, and a new one."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from workers import steering
from workers.fleet_form import FleetTokenForm
from workers.fleet_token import FleetToken
from workers.joining.lines import starts_of_fleet
from workers.lifecycle import WorkerError
from xeenet_site.web import addresses
from xeenet_site.web.pages import server_url, signed_in, signed_in_user

TOKENS_SHOWN = 100


@signed_in
@never_cache
def fleets(request: HttpRequest) -> HttpResponse:
    """Show an operator the tokens of fleets; a POST makes one and shows its secret, only once."""
    actor, now = signed_in_user(request), timezone.now()
    tokens = steering.fleets(actor)
    form = FleetTokenForm(request.POST or None)
    context = {"form": form, "now": now, "limit": TOKENS_SHOWN}
    if request.method == "POST" and form.is_valid():
        token, secret = steering.create_fleet(actor, now=now, **form.scope())
        url = addresses.reach(request).url or server_url(request)
        context |= {"created": token, "secret": secret, "starts": starts_of_fleet(url, secret)}
        context["form"] = FleetTokenForm()
    return render(request, "workers/fleets.html", context | {"tokens": tokens[:TOKENS_SHOWN]})


@signed_in
@require_POST
def revoke_fleet(request: HttpRequest, pk: int) -> HttpResponse:
    """Revoke a fleet's token for an operator, then show the fleets."""
    token = get_object_or_404(FleetToken, pk=pk)
    try:
        steering.revoke_fleet(signed_in_user(request), token, now=timezone.now())
    except WorkerError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, "Revoked: nobody joins with it, and its workers claim no more.")
    return redirect("fleets")
