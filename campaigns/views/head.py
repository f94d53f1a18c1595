"""What the tabs of a campaign share: its head with its state, and the buttons for its verbs."""

from __future__ import annotations

import datetime as dt
from functools import cache
from typing import Any

from django.db.models import BigIntegerField, Max, Min, QuerySet
from django.http import Http404, HttpRequest

from campaigns import steering
from campaigns.caching import cached_by_revision
from campaigns.clock import read_at, with_clock
from campaigns.lifecycle.race_due import runs_kept_at_launch
from campaigns.lifecycle.transitions import CAMPAIGN_TRANSITIONS
from campaigns.models import MAX_TRIES, BudgetKind, Campaign, CampaignState, WorkUnit
from campaigns.scripts import steering as script_steering
from campaigns.search.samplers import MAX_TASKS
from campaigns.standings.param_order import stored_importance
from campaigns.standings.task_counts import tasks_by_state
from campaigns.work.cost import CostModel
from xeenet_site.web.prepared import Prepared, Slot
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
    "finish": Verb(
        steering.finish,
        "Nobody will ask again: what is open ends as usual, then the campaign completes.",
        CAMPAIGN_TRANSITIONS["finish"].sources,
    ),
    "cancel": Verb(
        steering.cancel,
        "Cancelled. Results that exist stay.",
        frozenset({CampaignState.DRAFT, CampaignState.ACTIVE, CampaignState.PAUSED}),
    ),
}


def campaign_and_now(pk: int, *, with_importance: bool = False) -> tuple[Campaign, dt.datetime]:
    """Return the campaign with the objects that its head shows, and the time. Raises Http404.

    One query, which reads the stored importance too where the page shows it.
    """
    campaign = _loaded(with_importance=with_importance).first(pk=pk)
    if campaign is None:
        raise Http404(f"There is no campaign {pk}.")
    return campaign, read_at(campaign)


@cache
def _loaded(*, with_importance: bool) -> Prepared[Campaign]:
    def campaigns() -> QuerySet[Campaign]:
        # Do not load the text of the script, which is as long as the rest of the page.
        rows: QuerySet[Campaign] = Campaign.objects.select_related("owner", "dataset", "package")
        rows = with_clock(rows.defer("package__source").filter(pk=Slot("pk", BigIntegerField())))
        return rows.annotate(importance=stored_importance()) if with_importance else rows

    return Prepared(campaigns)


def may_race(user: Person, campaign: Campaign) -> bool:
    """Return whether the user may let arms of the campaign race now."""
    if campaign.state not in GROWING_STATES or campaign.state == CampaignState.PAUSED:
        return False
    return steering.may_change(user, campaign) and not campaign.undrawn_tasks


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
            name
            for name, verb in VERBS.items()
            if allowed
            and campaign.state in verb.states
            and (name != "finish" or campaign.asked_at is not None)
        ],
        "may_grow": allowed and campaign.state in GROWING_STATES,
        "may_raise": allowed and campaign.state != CampaignState.CANCELLED,
        "kept_at_launch": runs_kept_at_launch(
            campaign.task_count, campaign.sampler, races_automatically=campaign.races_automatically
        ),
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
        "worker_seconds": _worker_seconds(campaign),
        "work_steps": _work_steps(campaign),
        "reference": CostModel.from_json(campaign.cost_model).origin if campaign.cost_model else "",
        "now": now,
    }


def _worker_seconds(campaign: Campaign) -> float | None:
    """Return the worker time of a draft, on the reference for work; None when it is unknown."""
    if campaign.budget_kind == BudgetKind.TIME:
        return campaign.task_count * campaign.time_budget_seconds
    if campaign.work_unit == WorkUnit.SECONDS:
        return campaign.task_count * (campaign.work_amount or 0.0)
    return None


def _work_steps(campaign: Campaign) -> str:
    """Return the range of the steps of the campaign's tasks; "" when it says no more."""
    if campaign.work_unit in {"", WorkUnit.STEPS}:
        return ""
    # New tasks raise the revision.
    steps = cached_by_revision(
        campaign,
        "work-steps",
        lambda: campaign.tasks.aggregate(fewest=Min("max_steps"), most=Max("max_steps")),
    )
    return " to ".join(f"{count:,}" for count in sorted({*steps.values()} - {None}))
