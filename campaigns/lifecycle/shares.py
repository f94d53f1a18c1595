"""The verbs of a campaign's share: where its account enters, and what people set.

The accounts of campaigns that are served stay within a round of each other: the time in which each
has one turn. Credit and debt beyond that are given up, so that no campaign takes the whole fleet
for having had nothing to hand out, nor waits long for having had machines of its own.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from django.db import transaction
from django.db.models import Exists, F, OuterRef
from django.db.models.functions import Greatest

from campaigns.lifecycle.errors import InvalidCampaign
from campaigns.models import Campaign, CampaignState, Share, Task, TaskState
from campaigns.models.share import (
    MAX_PLACE,
    MAX_WEIGHT,
    MIN_WEIGHT,
    account_of_campaign,
    weight_of_campaign,
)

# No account is ahead of the others by more virtual seconds, or by more than a round.
MOST_AHEAD: Final = 3_600.0


def enter(campaign: Campaign) -> None:
    """Let a campaign that begins to hand out tasks begin where the others are, not before.

    Call it in the transaction that makes it active.
    """
    Share.objects.make(Campaign.objects.filter(pk=campaign.pk))
    others = [each for each in _active() if each.campaign != campaign.pk]
    level = _level(others)
    if level is None:
        level = max((each.account for each in others), default=0.0)
    Share.objects.filter(pk=campaign.pk).update(account=Greatest(F("account"), level))


def level_accounts() -> int:
    """Take credit and debt beyond a round from active campaigns; return of how many.

    One that has nothing waiting comes up to the smallest account of those that are served.
    """
    active = _active()
    Share.objects.make(Campaign.objects.filter(state=CampaignState.ACTIVE))
    level = _level(active)
    if level is None:
        return 0
    a_round = max(each.seconds / each.weight for each in active if each.waits)
    changed = 0
    for each in active:
        least = level - a_round if each.waits else level
        account = min(max(each.account, least), level + max(a_round, MOST_AHEAD))
        if account != each.account:
            # Guarded by what was read: a claim's charge in between is not undone.
            row = Share.objects.filter(pk=each.campaign, account=each.account)
            changed += row.update(account=account)
    return changed


def set_weight(campaign: Campaign, weight: float) -> None:
    """Give the campaign so many times the share of one with weight 1. Raises InvalidCampaign."""
    # Also refuses NaN.
    if not MIN_WEIGHT <= weight <= MAX_WEIGHT:
        raise InvalidCampaign({"weight": [f"must be from {MIN_WEIGHT:g} to {MAX_WEIGHT:g}"]})
    _set(campaign, weight=weight)


def set_place(campaign: Campaign, place: int | None) -> None:
    """Put the campaign at a place of its owner's order; None is behind all that have one.

    Raises InvalidCampaign.
    """
    if place is not None and not 1 <= place <= MAX_PLACE:
        raise InvalidCampaign({"place": [f"must be from 1 to {MAX_PLACE:,}, or none"]})
    _set(campaign, place=place)


def _set(campaign: Campaign, **columns: Any) -> None:
    with transaction.atomic():
        Share.objects.make(Campaign.objects.filter(pk=campaign.pk))
        Share.objects.filter(pk=campaign.pk).update(**columns)


class _Active(NamedTuple):
    campaign: int
    account: float
    weight: float
    seconds: float
    waits: bool
    runs: bool


def _active() -> list[_Active]:
    tasks = Task.objects.filter(campaign=OuterRef("pk")).order_by()
    rows = Campaign.objects.filter(state=CampaignState.ACTIVE).order_by("pk")
    columns = rows.values_list(
        "pk",
        account_of_campaign(),
        weight_of_campaign(),
        "time_budget_seconds",
        Exists(tasks.filter(state=TaskState.PENDING)),
        Exists(tasks.filter(state=TaskState.LEASED)),
    )
    return [_Active(*row) for row in columns]


def _level(active: list[_Active]) -> float | None:
    """Return the smallest account of those that are served; None when no task waits.

    A campaign that waits and of which nothing runs is perhaps one that no worker may run: it counts
    only where there is no other.
    """
    waiting = [each for each in active if each.waits]
    served = [each.account for each in waiting if each.runs]
    return min(served or [each.account for each in waiting], default=None)
