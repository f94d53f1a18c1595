"""What the tabs of a campaign share: its head with its state, and the buttons for its verbs."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.http import HttpRequest
from django.shortcuts import get_object_or_404

from campaigns import steering
from campaigns.lifecycle.transitions import CAMPAIGN_TRANSITIONS
from campaigns.models import MAX_TRIES, Campaign, CampaignState
from campaigns.scripts import steering as script_steering
from campaigns.search.samplers import MAX_TASKS
from campaigns.standings.task_counts import tasks_by_state
from xeenet_site.web.roles import Person
from xeenet_site.web.verbs import Verb

LIVE_STATES = frozenset({CampaignState.ACTIVE, CampaignState.PAUSED})
ENDED_STATES = frozenset({CampaignState.COMPLETED, CampaignState.CANCELLED})
GROWING_STATES = CAMPAIGN_TRANSITIONS["grow"].sources
VERBS = {
    "launch": Verb(steering.launch, "Launched.", frozenset({CampaignState.DRAFT})),
    "pause": Verb(
        steering.pause,
        "Paused. Running tasks may finish; nothing new is handed out.",
        frozenset({CampaignState.ACTIVE}),
    ),
    "resume": Verb(
        steering.resume, "Resumed: tasks are handed out again.", frozenset({CampaignState.PAUSED})
    ),
    "cancel": Verb(
        steering.cancel,
        "Cancelled. Results that exist stay.",
        frozenset({CampaignState.DRAFT, CampaignState.ACTIVE, CampaignState.PAUSED}),
    ),
}


def campaign_or_404(pk: int) -> Campaign:
    """Return the campaign with the objects that its head shows. Raises Http404."""
    campaigns = Campaign.objects.select_related("owner", "dataset", "package")
    # Do not load the text of the script, which is as long as the rest of the page.
    return get_object_or_404(campaigns.defer("package__source"), pk=pk)


def may_race(user: Person, campaign: Campaign) -> bool:
    """Return whether the user may let arms of the campaign race now."""
    allowed = steering.may_change(user, campaign)
    return allowed and campaign.state in GROWING_STATES and campaign.state != CampaignState.PAUSED


def head_context(
    request: HttpRequest,
    campaign: Campaign,
    now: dt.datetime,
    *,
    by_state: dict[str, int] | None = None,
) -> dict[str, Any]:
    """Return the context of `_head.html` and `_tabs.html`.

    `by_state` is the number of tasks by state. If it is not given, the tasks are counted here, but
    only for people who may change the campaign.
    """
    allowed = steering.may_change(request.user, campaign)
    if by_state is None:
        by_state = tasks_by_state(campaign) if allowed else {}
    waits = not campaign.package.may_run and campaign.state not in ENDED_STATES
    return {
        "campaign": campaign,
        "verbs": [
            name for name, verb in VERBS.items() if allowed and campaign.state in verb.states
        ],
        "may_grow": allowed and campaign.state in GROWING_STATES,
        "may_raise": allowed and campaign.state != CampaignState.CANCELLED,
        "most_new_tasks": MAX_TASKS - campaign.task_count,
        "most_tries": MAX_TRIES,
        # The dialog before cancelling says how much would be lost.
        "tasks_by_state": by_state,
        "is_live": campaign.state in LIVE_STATES,
        "waits_for_approval": waits,
        # Names of accounts are only for people who are signed in.
        "operators": script_steering.operator_names()
        if waits and request.user.is_authenticated
        else [],
        "is_stand_in": campaign.dataset.name == "english_like",
        "worker_seconds": campaign.task_count * campaign.time_budget_seconds,
        "now": now,
    }
