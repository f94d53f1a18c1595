"""Tasks, and which of them a worker may have."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Exists, F, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce
from django.urls import reverse
from django.utils import timezone

from campaigns.models.arm import Arm
from campaigns.models.attempt import FAILED, Attempt, AttemptQuerySet
from campaigns.models.campaign import Campaign, CampaignQuerySet, machines_able_to_run
from campaigns.models.states import (
    MAX_BUDGET_SECONDS,
    MAX_UNPAID_TRIES,
    FailureClass,
    QueueRank,
    TaskOrigin,
    TaskPurpose,
    TaskState,
    WorkUnit,
)
from campaigns.models.task_names import TaskName
from workers.fleet_token import of_same_owner
from workers.models import Worker, WorkerQuerySet

# A worker that nobody can take a task over from may have it again when this time has passed.
ALONE_AGAIN_AFTER = dt.timedelta(minutes=10)
_DUE_SINCE = {f"due_since_{rank.name.lower()}": rank for rank in QueueRank}


class TaskQuerySet(models.QuerySet["Task"]):
    """Queries that the lifecycle and the pages share."""

    def claimable(self, worker: Worker, now: dt.datetime) -> TaskQuerySet:
        """Return the pending tasks that the worker may have now, in the order of their campaign.

        After a failure or a loss other workers come first for a while. Which campaigns hand out
        tasks to the worker is the caller's question. Filtered to one campaign, the tasks are read
        in the order of its index.
        """
        head_start = dt.timedelta(seconds=settings.XEENET["OTHER_WORKER_FIRST_SECONDS"])
        tasks = self.due(now).exclude(
            of_same_owner("last_failed_worker", worker), available_at__gt=now - head_start
        )
        tasks = tasks.exclude(not_on=worker.machine)
        too_slow = Exists(_too_slow(worker.pk, OuterRef("campaign"), OuterRef("work_seconds")))
        fast_enough = tasks.exclude(Q(max_steps__isnull=False) & Q(too_slow))
        return fast_enough.order_by("queue_rank", "available_at", "id")

    def due(self, now: dt.datetime) -> TaskQuerySet:
        """Return the tasks that wait and may be handed out now, in no order."""
        return self.filter(state=TaskState.PENDING, available_at__lte=now)

    def to_be_had_again(self, worker: Worker, now: dt.datetime) -> TaskQuerySet:
        """Leave out the tasks that go to other workers: this one failed or had them too often."""
        return self.exclude(_not_here_again(worker, now))

    def held_by(self, worker: Any) -> TaskQuerySet:
        """Return the tasks that the worker holds leases of, overdue ones included."""
        return self.filter(state=TaskState.LEASED, worker=worker)

    def overdue(self, now: dt.datetime) -> TaskQuerySet:
        """Return the leased tasks whose lease has run out; no renewal goes past the deadline."""
        return self.filter(state=TaskState.LEASED, lease_expires_at__lt=now)

    def named(self, names: Iterable[TaskName]) -> TaskQuerySet:
        """Return the tasks with these names, in no order; unknown names have none."""
        condition = Q(pk__in=[])
        for name in names:
            condition |= Q(campaign=name.campaign, number=name.number)
        return self.filter(condition)

    def open(self) -> TaskQuerySet:
        """Return the tasks that may still run."""
        return self.filter(state__in=[TaskState.PENDING, TaskState.LEASED])


def _not_here_again(worker: Worker, now: dt.datetime) -> Q:
    """Return the condition under which the worker is not handed a task again.

    It failed the task, or had it `MAX_UNPAID_TRIES` times for nothing, and a machine online that
    did not can run it. Otherwise one worker that fails everything at once would spend all tries of
    all tasks. Where no other machine is left, the worker may try again, after a while if it had
    the task for nothing; otherwise nobody would.
    """
    last_allowed = slice(MAX_UNPAID_TRIES - 1, MAX_UNPAID_TRIES)
    by_owner = of_same_owner("worker", worker)
    own = Attempt.objects.filter(by_owner, task=OuterRef("pk")).order_by()
    recent = own.unpaid().filter(ended_at__gt=now - ALONE_AGAIN_AFTER)
    others = other_machines(worker, now)
    by_them = Q(worker=OuterRef("pk")) | Q(worker__fleet_token=OuterRef("fleet_token"))
    theirs = Attempt.objects.filter(by_them, task=OuterRef(OuterRef("pk"))).order_by()
    can_still = others.filter(~Exists(theirs.unpaid()[last_allowed]))
    too_often = Q(Exists(own.unpaid()[last_allowed])) & (
        Q(Exists(can_still)) | Q(Exists(recent[last_allowed]))
    )
    did_not_fail = others.filter(~Exists(theirs.filter(FAILED)))
    failed = Q(failed_attempts__gt=0) & Q(Exists(own.filter(FAILED))) & Q(Exists(did_not_fail))
    return failed | too_often


def _too_slow(worker: Any, campaign: Any, work_seconds: Any) -> AttemptQuerySet:
    """Return the worker's tries of the campaign that were too slow with at most so much work.

    Such a worker gets no task of the campaign with as much work. Without a cost model
    (`work_seconds` is null) all work of a campaign counts as equal.
    """
    tries = Attempt.objects.filter(
        worker=worker, failure_class=FailureClass.TOO_SLOW, task__campaign=campaign
    )
    no_more = Q(task__work_seconds=None) | Q(task__work_seconds__lte=work_seconds)
    return tries.filter(no_more).order_by()


def slow_for_none(campaigns: CampaignQuerySet, worker: Worker) -> CampaignQuerySet:
    """Leave out the campaigns for whose every task the worker is too slow.

    Claims then need not look at their tasks one by one.
    """
    tries = _too_slow(worker.pk, OuterRef("pk"), OuterRef("work_amount"))
    of_all = Q(task__work_seconds=None) | Q(task__campaign__work_unit=WorkUnit.SECONDS)
    return campaigns.exclude(Exists(tries.filter(of_all)))


def since_when_due(now: dt.datetime) -> dict[str, Subquery]:
    """Return since when the oldest due task of each rank waits, for a query on campaigns.

    One probe of an index each. `oldest_of` has the oldest of all from such a row.
    """
    due = Task.objects.due(now).filter(campaign=OuterRef("pk")).order_by("available_at")
    return {
        name: Subquery(due.filter(queue_rank=rank).values("available_at")[:1])
        for name, rank in _DUE_SINCE.items()
    }


def oldest_of(row: Any) -> dt.datetime | None:
    """Return since when the oldest due task waits of a campaign with `since_when_due`."""
    times = (getattr(row, name) for name in _DUE_SINCE)
    return min((time for time in times if time is not None), default=None)


def other_machines(worker: Worker, now: dt.datetime) -> WorkerQuerySet:
    """Return the machines online, of other owners, that could run the task of an outer query.

    For a subquery of a query on tasks.
    """
    return _machines_online(now).exclude(of_same_owner("", worker))


def machines_of_others(now: dt.datetime) -> WorkerQuerySet:
    """Return `other_machines` of the worker that holds the task of the outer query."""
    # Nobody's fleet, where the holder is of none: nothing can be compared with null.
    fleet = Coalesce(OuterRef("worker__fleet_token"), 0)
    return _machines_online(now).exclude(pk=OuterRef("worker")).exclude(fleet_token=fleet)


def _machines_online(now: dt.datetime) -> WorkerQuerySet:
    """Return the machines online that could run the task of an outer query."""
    slow = _too_slow(
        OuterRef("pk"), OuterRef(OuterRef("campaign")), OuterRef(OuterRef("work_seconds"))
    )
    machines = machines_able_to_run(
        now=now,
        allow_simulated=OuterRef("campaign__allow_simulated"),
        required_isolation=OuterRef("campaign__required_isolation"),
        script_origin=OuterRef("campaign__package__origin"),
        script_sha256=OuterRef("campaign__package"),
        budget_kind=OuterRef("campaign__budget_kind"),
        experiment=OuterRef("campaign__experiment"),
    )
    return machines.exclude(Exists(slow))


class Task(models.Model):
    """One arm with one seed, to be evaluated once."""

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="tasks")
    arm = models.ForeignKey(Arm, on_delete=models.CASCADE, related_name="tasks")
    number = models.PositiveIntegerField(help_text="From 0, in the order of the tasks' creation.")
    # A copy of the arm's params, so that lists and charts read one table.
    params = models.JSONField()
    seed = models.PositiveBigIntegerField()
    # The place of the seed in the campaign's list; null for a seed outside of it, and in campaigns
    # whose arms share no seeds.
    seed_index = models.PositiveIntegerField(null=True, blank=True)
    purpose = models.CharField(max_length=16, choices=TaskPurpose, default=TaskPurpose.SCREEN)
    origin = models.CharField(max_length=16, choices=TaskOrigin, default=TaskOrigin.SAMPLED)
    # Under a work budget: after so many steps the run is over. Null when its arm is infeasible.
    max_steps = models.PositiveBigIntegerField(null=True, blank=True)
    # The machine that it is not to run on (`Worker.machine`): the set-up took too long there.
    not_on = models.CharField(max_length=64, blank=True)
    # How long these steps take on the campaign's reference; null without a cost model.
    work_seconds = models.FloatField(null=True, blank=True)

    state = models.CharField(max_length=16, choices=TaskState, default=TaskState.PENDING)
    available_at = models.DateTimeField(default=timezone.now)
    queue_rank = models.PositiveSmallIntegerField(choices=QueueRank, default=QueueRank.SAMPLED)
    # Fencing token of the attempt that may decide this task.
    lease_id = models.UUIDField(null=True, blank=True, unique=True)
    worker = models.ForeignKey(
        Worker, null=True, blank=True, on_delete=models.PROTECT, related_name="leased_tasks"
    )
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    # Hard end of the attempt; a renewal never moves the lease beyond it.
    deadline_at = models.DateTimeField(null=True, blank=True)
    # Counted tries: failures of the task itself, and losses that are nobody's fault.
    failed_attempts = models.PositiveSmallIntegerField(default=0)
    lost_attempts = models.PositiveSmallIntegerField(default=0)
    max_failed_attempts = models.PositiveSmallIntegerField()
    max_lost_attempts = models.PositiveSmallIntegerField()
    last_failed_worker = models.ForeignKey(
        Worker, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    failure_class = models.CharField(max_length=20, choices=FailureClass, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = TaskQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["campaign_id", "number"]
        indexes: ClassVar = [
            models.Index(fields=["campaign", "state"], name="task_by_state"),
            # Finds the next tasks of one campaign to hand out, however many the others have.
            models.Index(
                fields=["campaign", "queue_rank", "available_at", "id"],
                name="task_pending_of_campaign",
                condition=Q(state="pending"),
            ),
            # Finds the replays that wait for another machine.
            models.Index(
                fields=["campaign", "not_on"],
                name="task_for_elsewhere",
                condition=Q(state="pending") & ~Q(not_on=""),
            ),
            # Finds the overdue leases.
            models.Index(
                fields=["lease_expires_at"], name="task_leased", condition=Q(state="leased")
            ),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(
                name="task_state_known", condition=Q(state__in=TaskState.values)
            ),
            models.CheckConstraint(
                name="task_leased_has_lease",
                condition=Q(
                    state="leased",
                    lease_id__isnull=False,
                    worker__isnull=False,
                    lease_expires_at__isnull=False,
                    deadline_at__isnull=False,
                )
                | (
                    ~Q(state="leased")
                    & Q(
                        lease_id__isnull=True,
                        worker__isnull=True,
                        lease_expires_at__isnull=True,
                        deadline_at__isnull=True,
                    )
                ),
            ),
            models.CheckConstraint(
                name="task_tries_bounded",
                condition=Q(
                    failed_attempts__lte=F("max_failed_attempts"),
                    lost_attempts__lte=F("max_lost_attempts"),
                ),
            ),
            models.CheckConstraint(
                name="task_failed_has_class",
                condition=~Q(state="failed") | ~Q(failure_class=""),
            ),
            models.CheckConstraint(
                name="task_finished_when_terminal",
                condition=Q(
                    state__in=["completed", "failed", "cancelled"], finished_at__isnull=False
                )
                | Q(state__in=["pending", "leased"], finished_at__isnull=True),
            ),
            models.UniqueConstraint(fields=["campaign", "number"], name="task_number_once"),
            models.CheckConstraint(
                name="task_steps_positive",
                condition=Q(max_steps__isnull=True) | Q(max_steps__gte=1),
            ),
            models.CheckConstraint(
                name="task_work_sane",
                condition=Q(work_seconds__isnull=True)
                | Q(
                    max_steps__isnull=False,
                    work_seconds__gt=0,
                    work_seconds__lte=MAX_BUDGET_SECONDS,
                ),
            ),
            models.CheckConstraint(
                name="task_purpose_known", condition=Q(purpose__in=TaskPurpose.values)
            ),
            models.UniqueConstraint(
                fields=["arm", "seed"], name="task_seed_once", condition=~Q(purpose="replay")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.campaign} #{self.number}"

    def get_absolute_url(self) -> str:
        return reverse("task", args=[self.campaign_id, self.number])

    @property
    def name(self) -> TaskName:
        """What the task is called everywhere: campaign and number."""
        return TaskName(self.campaign_id, self.number)

    @property
    def config(self) -> dict[str, object]:
        """The config that the script reads: params, seed, budget, data set in one flat object.

        Under a work budget its time is only the guard, and an attempt has its own:
        `Attempt.config`.
        """
        campaign = self.campaign
        config = {
            **self.params,
            "seed": self.seed,
            "time_budget_seconds": campaign.time_budget_seconds,
            "dataset": campaign.dataset.name,
            "dataset_sha256": campaign.dataset_id,
        }
        # Campaigns from before the work budgets may have it among their params.
        return config if self.max_steps is None else {**config, "max_steps": self.max_steps}

    @property
    def last_config(self) -> dict[str, object]:
        """The config of the last attempt; before the first that of the task. Reads `attempts`."""
        attempts = list(self.attempts.all())
        return attempts[-1].config if attempts else self.config
