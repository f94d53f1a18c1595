"""What the tabs of a campaign share: its head, its state, and the buttons a person may press."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.http import HttpRequest
from django.shortcuts import get_object_or_404

from campaigns import steering
from campaigns.lifecycle.campaigns import MAX_TASKS
from campaigns.lifecycle.transitions import CAMPAIGN_TRANSITIONS
from campaigns.models import MAX_TRIES, Campaign, CampaignState
from campaigns.scripts import steering as script_steering
from campaigns.standings.task_counts import tasks_by_state
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


def shown_campaign(pk: int) -> Campaign:
    """Return the campaign with what its head names loaded, or answer 404."""
    campaigns = Campaign.objects.select_related("owner", "dataset", "package")
    # The script's text is as long as the rest of the page.
    campaigns = campaigns.defer("package__source")
    return get_object_or_404(campaigns, pk=pk)


def head_context(
    request: HttpRequest,
    shown: Campaign,
    now: dt.datetime,
    *,
    by_state: dict[str, int] | None = None,
) -> dict[str, Any]:
    """Return what `_head.html` and `_tabs.html` need.

    `by_state` are the tasks counted by state; without it they are counted here, for who may change
    the campaign.
    """
    allowed = steering.may_change(request.user, shown)
    if by_state is None:
        by_state = tasks_by_state(shown) if allowed else {}
    waits = not shown.package.may_run and shown.state not in ENDED_STATES
    return {
        "campaign": shown,
        "verbs": [name for name, verb in VERBS.items() if allowed and shown.state in verb.states],
        "may_grow": allowed and shown.state in GROWING_STATES,
        "may_raise": allowed and shown.state != CampaignState.CANCELLED,
        "most_new_tasks": MAX_TASKS - shown.task_count,
        "most_tries": MAX_TRIES,
        # The question before cancelling tells what would be lost.
        "tasks_by_state": by_state,
        "is_live": shown.state in LIVE_STATES,
        "waits_for_approval": waits,
        # Named to people signed in alone.
        "operators": script_steering.operator_names()
        if waits and request.user.is_authenticated
        else [],
        "is_stand_in": shown.dataset.name == "english_like",
        "worker_seconds": shown.task_count * shown.time_budget_seconds,
        "now": now,
    }
