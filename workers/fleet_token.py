"""The model of the tokens with which fleets of short-lived workers enrol; see `workers.fleets`."""

from __future__ import annotations

import datetime as dt
from typing import Any, ClassVar, Final

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

from workers.protocol import IsolationTier

MAX_FLEET_WORKERS: Final = 10_000
MAX_PREFIX_LENGTH: Final = 60
# A worker's name stands in addresses, lists and logs of schedulers.
PREFIX_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9_.-]*\Z"
PREFIX_WORDS: Final = "Begin with a letter or digit; go on with these, “_”, “.” and “-”."
TIER_CHOICES: Final = [("", "any"), *((tier.value, tier.value) for tier in IsolationTier)]


def of_same_owner(field: str, worker: Any) -> Q:
    """Return the condition that `field` names a worker of the same owner; "" is the row itself.

    All workers of a fleet have one owner, any other worker has its own. So a fleet cannot take what
    is to go to others first, nor pause a campaign with many names.
    """
    if worker.fleet_token_id is None:
        return Q(**{field or "pk": worker.pk})
    of_fleet = f"{field}__fleet_token" if field else "fleet_token"
    return Q(**{of_fleet: worker.fleet_token_id})


class FleetToken(models.Model):
    """A reusable, scoped permission to enrol ephemeral workers: one owner with many machines."""

    label = models.CharField(max_length=100, help_text="Which cluster or queue it is for.")
    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    name_prefix = models.CharField(
        max_length=MAX_PREFIX_LENGTH,
        validators=[RegexValidator(PREFIX_PATTERN, PREFIX_WORDS)],
        help_text="The names of its workers begin with this and a hyphen.",
    )
    max_live = models.PositiveIntegerField(
        "most live workers",
        validators=[MinValueValidator(1), MaxValueValidator(MAX_FLEET_WORKERS)],
        help_text="How many of its workers may live at a time.",
    )
    # "" lets its workers claim in any tier; otherwise the weakest in which they get tasks.
    tier = models.CharField(
        max_length=8,
        choices=TIER_CHOICES,
        blank=True,
        help_text="The weakest isolation in which its workers get tasks; empty for any.",
    )
    expires_at = models.DateTimeField(
        null=True, blank=True, help_text="Nobody enrols with it from then on; empty for never."
    )
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL
    )
    created_at = models.DateTimeField(default=timezone.now)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering: ClassVar = ["-created_at"]
        constraints: ClassVar = [
            models.CheckConstraint(
                name="fleet_token_max_live_sane",
                condition=Q(max_live__gte=1, max_live__lte=MAX_FLEET_WORKERS),
            ),
            models.CheckConstraint(
                name="fleet_token_tier_known",
                condition=Q(tier__in=[tier for tier, _ in TIER_CHOICES]),
            ),
        ]

    def __str__(self) -> str:
        return self.label or f"no. {self.pk}"

    def is_open(self, now: dt.datetime) -> bool:
        """Whether machines may enrol with it: it is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)

    def admits(self, tier: IsolationTier) -> bool:
        """Whether a worker that holds scripts back by this tier may get tasks."""
        return not self.tier or tier >= IsolationTier(self.tier)
