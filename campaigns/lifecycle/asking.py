"""The verb `ask`: an outside optimiser leases tasks of one campaign."""

from __future__ import annotations

import datetime as dt
import uuid

from django.db import transaction
from django.db.models import Q

from campaigns.lifecycle.claims import Claim, attempts_of_claim, lease_waiting, why_nothing
from campaigns.lifecycle.errors import WrongState
from campaigns.lifecycle.growth import enqueue
from campaigns.lifecycle.journal import agent
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
