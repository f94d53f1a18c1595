"""What the buttons of a campaign's head send."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST

from campaigns import lifecycle
from campaigns.clock import database_now
from campaigns.models import Campaign
from campaigns.views.head import VERBS
from workers.pages import signed_in, signed_in_user


@signed_in
@require_POST
def change_campaign(request: HttpRequest, pk: int, verb: str) -> HttpResponse:
    """Launch, pause, resume or cancel a campaign for its owner or an operator, and show it."""
    changed = get_object_or_404(Campaign, pk=pk)
    try:
        VERBS[verb].run(signed_in_user(request), changed, now=database_now())
    except lifecycle.LifecycleError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, VERBS[verb].done)
    return redirect(changed)
