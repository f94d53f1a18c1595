"""The journal: what changed state, from where to where, when, and who did it. Append-only."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q

from campaigns.models.attempt import Attempt
from campaigns.models.campaign import Campaign
from campaigns.models.states import ActorKind, ChangeSubject
from campaigns.models.task import Task


class StateChange(models.Model):
    """One change of a campaign's, a task's or an attempt's state; rows are written once.

    `campaigns.lifecycle` writes it in the transaction of the change itself, so that the journal
    always agrees with the states. Creating a campaign (a draft) or a task (pending) writes no row:
    what never moved has none.
    """

    subject = models.CharField(max_length=10, choices=ChangeSubject)
    # The foreign keys have no indexes of their own: each query has its index below. Nor does the
    # database check them, which took a quarter of the time of an insert of two rows. Rows are
    # written in the transaction that changed what they
    # name, and go with it; `lifecycle.delete_draft` is the only way in which it goes.
    campaign = models.ForeignKey(
        Campaign,
        on_delete=models.CASCADE,
        related_name="changes",
        db_index=False,
        db_constraint=False,
    )
    task = models.ForeignKey(
        Task,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="changes",
        db_index=False,
        db_constraint=False,
    )
    # The change of a task names the attempt that caused it, if an attempt did.
    attempt = models.ForeignKey(
        Attempt,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="changes",
        db_index=False,
        db_constraint=False,
    )
    actor_kind = models.CharField(max_length=10, choices=ActorKind)
    # A name, not a key: it stays readable when the account or the worker is gone.
    actor_name = models.CharField(max_length=150)
    # A state of the subject: campaign state, task state or attempt outcome; "" for a new attempt.
    from_state = models.CharField(max_length=16, blank=True)
    to_state = models.CharField(max_length=16)
    reason = models.CharField(max_length=500, blank=True)
    # The database's time, as the verb read it.
    at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["-at", "-id"]
        indexes: ClassVar = [
            # A task's row is locked for each change, so its changes happened in the order of ids.
            models.Index(
                fields=["task", "id"], name="change_by_task", condition=Q(task__isnull=False)
            ),
            models.Index(
                fields=["attempt"], name="change_by_attempt", condition=Q(attempt__isnull=False)
            ),
            models.Index(fields=["campaign", "id"], name="change_by_campaign"),
            # Finds a campaign's own changes, which are few among those of its tasks.
            models.Index(
                fields=["campaign", "-at", "-id"],
                name="change_of_campaign",
                condition=Q(subject="campaign"),
            ),
            models.Index(fields=["-at", "-id"], name="change_newest"),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(
                name="change_names_its_subject",
                condition=Q(subject="campaign", task__isnull=True, attempt__isnull=True)
                | Q(subject="task", task__isnull=False)
                | Q(subject="attempt", task__isnull=False, attempt__isnull=False),
            ),
            models.CheckConstraint(
                name="change_actor_known", condition=Q(actor_kind__in=ActorKind.values)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.subject}: {self.from_state or '–'} → {self.to_state}"
