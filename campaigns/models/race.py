"""Races between arms, and what each of their looks decided."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone

from campaigns.models.arm import Arm
from campaigns.models.campaign import Campaign
from campaigns.models.states import RaceOutcome


class RaceQuerySet(models.QuerySet["Race"]):
    """Which races may still look."""

    def running(self) -> RaceQuerySet:
        """Return the races that have not ended."""
        return self.filter(outcome="")


class Race(models.Model):
    """Some arms of a campaign on the same seeds; the rule is in `campaigns.race`.

    Its columns are what the rule needs beside the runs; they are written once, at the start.
    """

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="races")
    number = models.PositiveIntegerField(help_text="From 1, in the campaign.")
    # Of so many arms, the first of its campaign, screening chose those that race: it began by
    # itself. Null when a person picked them.
    chosen_from = models.PositiveIntegerField(null=True, blank=True)
    # The numbers of the arms that began, and the seed indices on which they may run, in order.
    arms = models.JSONField()
    seeds = models.JSONField()
    # The noise floor as it stood before the race; null while no arm had two seeds.
    floor_sd = models.FloatField(null=True, blank=True)
    floor_pairs = models.PositiveIntegerField(default=0)
    # The most runs that it may make.
    runs_allowed = models.PositiveIntegerField()
    min_effect = models.FloatField()
    # Empty while the race runs.
    outcome = models.CharField(max_length=16, choices=RaceOutcome, blank=True)
    started_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = RaceQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["campaign_id", "number"]
        indexes: ClassVar = [
            # Finds the races whose looks may be due.
            models.Index(fields=["campaign"], name="race_running", condition=Q(outcome="")),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["campaign", "number"], name="race_number_once"),
            models.CheckConstraint(
                name="race_outcome_known", condition=Q(outcome__in=["", *RaceOutcome.values])
            ),
            models.CheckConstraint(
                name="race_ended_has_outcome",
                condition=Q(outcome="", ended_at__isnull=True)
                | (~Q(outcome="") & Q(ended_at__isnull=False)),
            ),
            models.CheckConstraint(
                name="race_numbers_sane",
                condition=Q(min_effect__gte=0, min_effect__lt=1e6)
                & (Q(floor_sd__isnull=True) | Q(floor_sd__gte=0, floor_sd__lt=1e6)),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.campaign}, race {self.number}"


class Decision(models.Model):
    """What one look of a race decided, with everything it saw: `campaigns.race.decide(saw)`."""

    race = models.ForeignKey(Race, on_delete=models.CASCADE, related_name="decisions")
    look = models.PositiveSmallIntegerField(help_text="From 1, in the race.")
    outcome = models.CharField(
        max_length=16,
        choices=RaceOutcome,
        blank=True,
        help_text="Empty when the race goes on.",
    )
    why = models.CharField(max_length=200)
    leader = models.ForeignKey(
        Arm, null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    # The nearest rival, with the seeds that both have, the median of the differences (positive when
    # it is behind), the s.d. of a difference, and what the median must exceed.
    rival = models.ForeignKey(
        Arm, null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    n = models.PositiveIntegerField()
    estimate = models.FloatField(null=True, blank=True)
    scale = models.FloatField(null=True, blank=True)
    df = models.FloatField()
    bound = models.FloatField(null=True, blank=True)
    # Numbers of arms: never proven behind the leader, proven behind it, dropped only for number,
    # and infeasible.
    group = models.JSONField()
    behind = models.JSONField()
    dropped = models.JSONField()
    infeasible = models.JSONField()
    seeds_to_separate = models.PositiveIntegerField(null=True, blank=True)
    saw = models.JSONField()
    decided_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["race_id", "look"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["race", "look"], name="decision_look_once"),
            models.CheckConstraint(
                name="decision_outcome_known", condition=Q(outcome__in=["", *RaceOutcome.values])
            ),
            models.CheckConstraint(
                name="decision_champion_leads",
                condition=~Q(outcome=RaceOutcome.CHAMPION) | Q(leader__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.race}, look {self.look}: {self.outcome or 'goes on'}"
