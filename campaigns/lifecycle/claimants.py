"""Which campaigns have a task for a worker, with what decides whose turn it is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import F, OuterRef, QuerySet, Subquery

from campaigns.lifecycle.charges import CHARGES
from campaigns.models import TaskQuerySet
from campaigns.models.campaign import CampaignQuerySet
from campaigns.models.share import account_of_campaign, weight_of_campaign
from campaigns.models.task import slow_for_none
from campaigns.sharing.turns import Claimant
from workers.models import Worker


def with_tasks(
    campaigns: CampaignQuerySet, tasks: TaskQuerySet, worker: Worker
) -> QuerySet[Any, tuple[Any, ...]]:
    """Return the rows of `claimants`: of these campaigns those that have any of these tasks."""
    # One probe of an index for each campaign. PostgreSQL would turn an EXISTS into a join, which
    # reads all tasks of all campaigns where a prepared statement does not tell how few it needs.
    own = tasks.filter(campaign=OuterRef("pk")).values("pk")[:1]
    rows = slow_for_none(campaigns, worker).alias(first_task=Subquery(own))
    rows = rows.filter(first_task__isnull=False).order_by()
    return rows.values_list(
        "pk",
        "owner",
        F("share__place"),
        account_of_campaign(),
        weight_of_campaign(),
        "time_budget_seconds",
    )


def claimants(rows: Iterable[tuple[Any, ...]]) -> list[Claimant]:
    """Return the campaigns of `with_tasks`, with what this process charged them since."""
    outstanding = CHARGES.outstanding()
    found = map(Claimant._make, rows)
    return [
        claimant._replace(account=claimant.account + outstanding[claimant.campaign])
        if claimant.campaign in outstanding
        else claimant
        for claimant in found
    ]
