"""The verbs of an outside optimiser: `ask` leases tasks of one campaign, `finish` ends the asking.

A campaign to which a program adds tasks does not complete between two asks. It does when somebody
says `finish`, or when the last ask is older than ASK_TIMEOUT_SECONDS.
"""

from __future__ import annotations

import datetime as dt
import uuid

from django.db import transaction
from django.db.models import F, Q

from campaigns.lifecycle.claim_reasons import why_nothing
from campaigns.lifecycle.claims import Claim, attempts_of_claim, lease_waiting
from campaigns.lifecycle.endings import finish_if_done
from campaigns.lifecycle.errors import WrongState
from campaigns.lifecycle.growth import enqueue
from campaigns.lifecycle.journal import SERVER, Actor, agent
from campaigns.lifecycle.transitions import CAMPAIGN_TRANSITIONS
from campaigns.models import Campaign, CampaignState
from campaigns.search.samplers import Params
from workers.models import Worker


def ask(
    worker: Worker,
    campaign: Campaign,
    *,
    claim_id: uuid.UUID,
    now: dt.datetime,
    count: int = 1,
    params: Params | None = None,
    seed: int | None = None,
) -> Claim:
    """Lease up to `count` waiting tasks of the campaign, or one new task with the given params.

    Idempotent: a repeated `claim_id` returns the same leases and adds no second task. Overdue
    leases are not taken back here: call `expire` first, in a transaction of its own. Raises
    WrongState when the campaign hands out no tasks; with params also what `enqueue` raises.
    """
    # One transaction: a task with the caller's params is leased to the caller or not created.
    with transaction.atomic():
        # Lock order as in `claim`: the worker first, then campaign, task, attempt.
        worker = Worker.objects.select_for_update(no_key=True).get(pk=worker.pk)
        if repeated := attempts_of_claim(worker, claim_id):
            return Claim(repeated, "")
        if reason := why_nothing(worker, now) or _why_no_task(campaign, params):
            return Claim([], reason)
        if params is None:
            task_filter = Q(campaign=campaign)
        else:
            count = 1
            task = enqueue(campaign, params, seed=seed, now=now, actor=agent(worker))
            Campaign.objects.filter(pk=campaign.pk).update(asked_at=now)
            task_filter = Q(pk=task.pk)
        # The caller (the campaign's owner or an operator) runs the script in their own program on
        # their own machine, so checking approval and isolation tier would protect nobody.
        claim = lease_waiting(
            worker,
            claim_id=claim_id,
            count=count,
            now=now,
            among=task_filter,
            runs_own_script=True,
        )
        if params is not None and not claim.attempts:
            raise WrongState(f"The campaign hands out nothing now. {claim.reason}")
    return claim


def finish(campaign: Campaign, *, now: dt.datetime, actor: Actor = SERVER) -> None:
    """Say that nobody will ask again: open tasks and the race end as usual, then it completes.

    A later ask with params makes it active again. Raises WrongState for a campaign that does not
    run, or to which no outside program adds tasks.
    """
    with transaction.atomic():
        locked = Campaign.objects.select_for_update(no_key=True).get(pk=campaign.pk)
        if locked.state not in CAMPAIGN_TRANSITIONS["finish"].sources:
            raise WrongState(f"The campaign is {locked.state}; only active or paused can finish.")
        if locked.asked_at is None:
            raise WrongState(
                "No outside program adds tasks to this campaign, so it completes by itself when "
                "its tasks and its race have ended. To end it now, cancel it."
            )
        Campaign.objects.filter(pk=campaign.pk).update(asked_at=None, revision=F("revision") + 1)
        finish_if_done(campaign.pk, now=now, actor=actor, reason="Nobody will ask again.")
    campaign.refresh_from_db()


def _why_no_task(campaign: Campaign, params: Params | None) -> str:
    """Return why the campaign has no task to lease; "" when it may have one.

    Raises WrongState for a campaign that hands out no tasks at all.
    """
    campaign.refresh_from_db(fields=["state"])
    if campaign.state == CampaignState.COMPLETED and params is None:
        return "The campaign is completed: no task waits. Ask with params, or add tasks."
    if campaign.state not in {CampaignState.ACTIVE, CampaignState.COMPLETED}:
        raise WrongState(f"The campaign is {campaign.state}; only an active one hands out tasks.")
    return ""
