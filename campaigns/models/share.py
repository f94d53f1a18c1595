"""The share of the fleet that a campaign gets beside others."""

from __future__ import annotations

from typing import ClassVar, Final

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Coalesce

from campaigns.models.campaign import Campaign, CampaignQuerySet

MIN_WEIGHT: Final = 0.01
MAX_WEIGHT: Final = 100.0
DEFAULT_WEIGHT: Final = 1.0
# An owner who gives more campaigns a place of their own is not listing them by hand.
MAX_PLACE: Final = 1_000
# Far more virtual seconds than any server hands out; keeps out infinity and NaN, which have no
# place in an order.
MAX_ACCOUNT: Final = 1e300


class ShareQuerySet(models.QuerySet["Share"]):
    """Which campaigns have a row."""

    def make(self, campaigns: CampaignQuerySet) -> None:
        """Store a row with the defaults for each of these campaigns that has none."""
        keys = campaigns.filter(share=None).order_by("pk").values_list("pk", flat=True)
        self.bulk_create([Share(campaign_id=key) for key in keys], ignore_conflicts=True)


class Share(models.Model):
    """What a campaign was given of the fleet so far, and how much it is to get.

    A narrow row of its own, because it changes as tasks are handed out. A campaign without one
    counts as one with the defaults.
    """

    campaign = models.OneToOneField(
        Campaign, on_delete=models.CASCADE, primary_key=True, related_name="share"
    )
    # Seconds of budget handed out, divided by the weight. The smallest account goes first.
    account = models.FloatField(default=0.0)
    # Set by operators: of two campaigns that wait, the one with twice the weight gets twice the
    # time.
    weight = models.FloatField(default=DEFAULT_WEIGHT)
    # Set by the owner, whose campaigns pool their turns: 1 takes them before 2, and those without a
    # place come last.
    place = models.PositiveSmallIntegerField(null=True, blank=True)

    objects = ShareQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                name="share_account_sane", condition=Q(account__gte=0, account__lte=MAX_ACCOUNT)
            ),
            models.CheckConstraint(
                name="share_weight_sane",
                condition=Q(weight__gte=MIN_WEIGHT, weight__lte=MAX_WEIGHT),
            ),
            models.CheckConstraint(
                name="share_place_sane",
                condition=Q(place__isnull=True) | Q(place__gte=1, place__lte=MAX_PLACE),
            ),
        ]

    def __str__(self) -> str:
        return f"share of {self.campaign}"


def account_of_campaign() -> Coalesce:
    """Return the account of a query's campaigns as an expression."""
    return Coalesce(F("share__account"), 0.0)


def weight_of_campaign() -> Coalesce:
    """Return the weight of a query's campaigns as an expression."""
    return Coalesce(F("share__weight"), DEFAULT_WEIGHT)
