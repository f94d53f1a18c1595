"""The verbs behind the buttons in a campaign's head."""

from __future__ import annotations

from typing import Final

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST

from campaigns import lifecycle, steering
from campaigns.clock import database_now
from campaigns.models import MAX_REASON_LENGTH, Campaign
from campaigns.search.samplers import MAX_TASKS
from campaigns.views.board import ARMS_PER_PAGE
from campaigns.views.head import VERBS
from xeenet_site.web.pages import signed_in, signed_in_user

# The verbs whose dialogs ask for a reason.
WITH_REASON: Final = frozenset({"pause", "cancel"})
TRIES: Final = ("max_failed_attempts", "max_lost_attempts")
# Field -> its name in the dialogs.
FIELDS: Final = {
    "count": "the number of tasks",
    "max_failed_attempts": "the tries that may fail",
    "max_lost_attempts": "the tries that may be lost",
    "times": "the number of runs",
    "arm": "the arm",
    "text": "the note",
    "min_effect": "the smallest difference that matters",
    "weight": "the weight",
    "place": "the place",
    "races_automatically": "the race that begins by itself:",
}


@signed_in
@require_POST
def change_campaign(request: HttpRequest, pk: int, verb: str) -> HttpResponse:
    """Launch, pause, resume or cancel a campaign for its owner or an operator, and show it."""
    campaign = get_object_or_404(Campaign, pk=pk)
    arguments = {"reason": reason_in(request)} if verb in WITH_REASON else {}
    try:
        VERBS[verb].run(signed_in_user(request), campaign, now=database_now(), **arguments)
    except lifecycle.LifecycleError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, VERBS[verb].done)
    return redirect(campaign)


@signed_in
@require_POST
def add_tasks(request: HttpRequest, pk: int) -> HttpResponse:
    """Sample more tasks for a launched campaign, and show it."""
    campaign = get_object_or_404(Campaign, pk=pk)
    try:
        count = whole_number(request, "count")
        steering.add_tasks(signed_in_user(request), campaign, count, now=database_now())
    except lifecycle.LifecycleError as error:
        messages.error(request, f"No task was added. {sentence_of(error)}")
    else:
        messages.success(request, f"Added {count:,} task{'' if count == 1 else 's'}.")
    return redirect(campaign)


@signed_in
@require_POST
def raise_attempts(request: HttpRequest, pk: int) -> HttpResponse:
    """Allow each task of a campaign more tries, and show it."""
    campaign = get_object_or_404(Campaign, pk=pk)
    try:
        tries = {name: whole_number(request, name) for name in TRIES}
        steering.raise_attempts(
            signed_in_user(request),
            campaign,
            max_failed_attempts=tries["max_failed_attempts"],
            max_lost_attempts=tries["max_lost_attempts"],
            now=database_now(),
        )
    except lifecycle.LifecycleError as error:
        messages.error(request, f"The tries stay as they were. {sentence_of(error)}")
    else:
        messages.success(
            request, "Each task may try so often now. Run failed tasks again from their pages."
        )
    return redirect(campaign)


@signed_in
@require_POST
def race(request: HttpRequest, pk: int) -> HttpResponse:
    """Let the ticked arms of a campaign race, and show the page that the form names."""
    campaign = get_object_or_404(Campaign, pk=pk)
    try:
        arms = [_number_of(text, "arms") for text in request.POST.getlist("arms")]
        started = steering.start_race(
            signed_in_user(request),
            campaign,
            arms,
            seeds=whole_number(request, "seeds"),
            now=database_now(),
        )
    except lifecycle.LifecycleError as error:
        messages.error(request, f"No race began. {sentence_of(error)}")
    else:
        messages.success(
            request, f"Race {started.number} began: {len(arms)} arms on the same fresh seeds."
        )
    return redirect("campaign-races", pk) if "from_races" in request.POST else redirect(campaign)


@signed_in
@require_POST
def run_again(request: HttpRequest, pk: int) -> HttpResponse:
    """Add runs of the ticked arms of a campaign on their next seeds, and show the board."""
    campaign = get_object_or_404(Campaign, pk=pk)
    actor, now = signed_in_user(request), database_now()
    try:
        numbers = {_number_of(text, "arms") for text in request.POST.getlist("arms")}
        times = whole_number(request, "times")
        if not 1 <= len(numbers) <= ARMS_PER_PAGE:
            raise lifecycle.InvalidCampaign({"arms": [f"must be 1 to {ARMS_PER_PAGE} arms"]})
        known = [number for number in numbers if 0 <= number < MAX_TASKS]
        arms = list(campaign.arms.filter(number__in=known).order_by("number"))
        if len(arms) < len(numbers):
            raise lifecycle.InvalidCampaign({"arms": ["must be arms of this campaign"]})
        # All of them or none: half of what was asked for would have to be counted by hand.
        with transaction.atomic():
            added = sum(len(steering.run_again(actor, arm, times, now=now)) for arm in arms)
    except lifecycle.LifecycleError as error:
        messages.error(request, f"No run was added. {sentence_of(error)}")
    else:
        messages.success(request, f"Added {added:,} run{'' if added == 1 else 's'}.")
    return redirect(campaign)


@signed_in
@require_POST
def race_options(request: HttpRequest, pk: int) -> HttpResponse:
    """Choose how a campaign's arms race, and show their board."""
    campaign = get_object_or_404(Campaign, pk=pk)
    try:
        steering.set_race_options(
            signed_in_user(request),
            campaign,
            races_automatically=request.POST.get("races_automatically") == "True",
            min_effect=decimal(request, "min_effect"),
            now=database_now(),
        )
    except lifecycle.LifecycleError as error:
        messages.error(request, f"The race options stay as they were. {sentence_of(error)}")
    else:
        messages.success(request, "The race options are saved.")
    return redirect(campaign)


def reason_in(request: HttpRequest) -> str:
    """Return the reason in a posted dialog, cleaned so that it can be stored."""
    # Replace NUL characters, which no database stores.
    return request.POST.get("reason", "").replace("\0", "\ufffd").strip()[:MAX_REASON_LENGTH]


def whole_number(request: HttpRequest, name: str) -> int:
    """Return a field of the posted form. Raises InvalidCampaign if it is not a whole number."""
    return _number_of(request.POST.get(name, ""), name)


def decimal(request: HttpRequest, name: str) -> float:
    """Return a field of the posted form. Raises InvalidCampaign if it is no number."""
    try:
        return float(request.POST.get(name, ""))
    except ValueError as error:
        raise lifecycle.InvalidCampaign({name: ["must be a number"]}) from error


def _number_of(text: str, name: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise lifecycle.InvalidCampaign({name: ["must be a whole number"]}) from error


def sentence_of(error: lifecycle.LifecycleError) -> str:
    """Return an error as a sentence, with the names that the dialogs use for its fields."""
    if not isinstance(error, lifecycle.InvalidCampaign):
        return str(error)
    parts = [f"{FIELDS.get(name, name)} {' '.join(texts)}" for name, texts in error.errors.items()]
    return "; ".join(parts).capitalize() + "."
