"""What people wrote about an arm or a task."""

from __future__ import annotations

from typing import ClassVar, Final

from django.conf import settings
from django.db import models
from django.db.models import Q

from campaigns.models.arm import Arm
from campaigns.models.campaign import Campaign
from campaigns.models.task import Task

MAX_NOTE_LENGTH: Final = 2_000


class Note(models.Model):
    """The note on one arm or one task: plain text. The audit log keeps how earlier texts began.

    `edits` counts how often it was written. Whoever writes on top of an older count is refused, so
    that nobody overwrites what they have not read. A note that was emptied stays, with its count.
    """

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="notes")
    arm = models.OneToOneField(
        Arm, null=True, blank=True, on_delete=models.CASCADE, related_name="note"
    )
    task = models.OneToOneField(
        Task, null=True, blank=True, on_delete=models.CASCADE, related_name="note"
    )
    text = models.TextField(max_length=MAX_NOTE_LENGTH, blank=True)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    # Stays when the account is gone; "command line" for the command line on the server.
    author_name = models.CharField(max_length=150, blank=True)
    edits = models.PositiveIntegerField(default=0)
    edited_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["campaign_id", "-edited_at", "-id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                name="note_of_arm_or_task",
                condition=Q(arm__isnull=False, task__isnull=True)
                | Q(arm__isnull=True, task__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"note on {self.arm or self.task}"
