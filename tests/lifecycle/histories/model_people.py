"""What people do in the model of the lifecycle: pause, cancel, retry, run again, disable."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from campaigns import lifecycle
from campaigns.lifecycle import InvalidCampaign, WrongState
from campaigns.models import AttemptOutcome, Campaign, CampaignState, Task, TaskState
from tests.lifecycle.histories.model_rows import ModelTask
from workers import lifecycle as worker_lifecycle
from workers.models import Worker

# More tasks than this would only make the histories slower.
MOST_TASKS = 7


class PeopleVerbs:
    """The verbs of people; `model.Verbs` has the state that they change."""

    campaign: Campaign
    workers: list[Worker]
    tasks: dict[int, ModelTask]
    state: str
    seconds: float
    disabled: set[int]
    paused_until: dict[int, float]
    now: dt.datetime
    infeasible: set[int]
    end: Callable[[ModelTask, str, str], None]
    finish: Callable[[], None]

    def pause_or_resume(self, number: int) -> None:
        verb = "pause" if number % 4 == 0 else "resume"
        source, target = {
            "pause": (CampaignState.ACTIVE, CampaignState.PAUSED),
            "resume": (CampaignState.PAUSED, CampaignState.ACTIVE),
        }[verb]
        try:
            getattr(lifecycle, verb)(self.campaign, now=self.now)
        except WrongState:
            assert self.state != source
        else:
            assert self.state == source
            self.state = target
            if verb == "resume":
                self.finish()

    def cancel(self, number: int) -> None:
        # After a cancellation a history can do little more: cancel seldom and late.
        if self.seconds < 600:
            return
        try:
            lifecycle.cancel(self.campaign, now=self.now)
        except WrongState:
            assert self.state in {CampaignState.COMPLETED, CampaignState.CANCELLED}
            return
        assert self.state in {CampaignState.ACTIVE, CampaignState.PAUSED}
        self.state = CampaignState.CANCELLED
        for task in self.tasks.values():
            if task.state in {TaskState.PENDING, TaskState.LEASED}:
                self.end(task, TaskState.CANCELLED, AttemptOutcome.CANCELLED)

    def cancel_task(self, number: int) -> None:
        pk = sorted(self.tasks)[number % len(self.tasks)]
        task = self.tasks[pk]
        open_before = task.state in {TaskState.PENDING, TaskState.LEASED}
        try:
            lifecycle.cancel_task(Task.objects.get(pk=pk), now=self.now)
        except WrongState:
            assert not open_before
        else:
            assert open_before
            self.end(task, TaskState.CANCELLED, AttemptOutcome.CANCELLED)

    def retry_task(self, number: int) -> None:
        pk = sorted(self.tasks)[number % len(self.tasks)]
        task = self.tasks[pk]
        allowed = task.state == TaskState.FAILED and self.state != CampaignState.CANCELLED
        try:
            lifecycle.retry_task(Task.objects.get(pk=pk), now=self.now)
        except WrongState:
            assert not allowed
            return
        assert allowed
        self.infeasible.discard(task.arm)
        task.state = TaskState.PENDING
        task.max_failed = max(task.max_failed, task.failed + 1)
        task.max_lost = max(task.max_lost, task.lost + 1)
        if self.state == CampaignState.COMPLETED:
            self.state = CampaignState.ACTIVE

    def disable_or_resume_a_worker(self, number: int) -> None:
        worker = self.workers[number % len(self.workers)]
        if worker.pk in self.disabled:
            worker_lifecycle.resume(worker)
            self.disabled.discard(worker.pk)
            self.paused_until.pop(worker.pk, None)
        elif len(self.disabled) < len(self.workers) - 1:
            worker_lifecycle.disable(worker)
            self.disabled.add(worker.pk)
            self.paused_until.pop(worker.pk, None)

    def run_again(self, number: int) -> None:
        times = 1 + number % 2
        if len(self.tasks) + times > MOST_TASKS:
            return
        task = Task.objects.select_related("arm").get(
            pk=sorted(self.tasks)[number % len(self.tasks)]
        )
        task.arm.campaign = self.campaign
        seeds = set(Task.objects.filter(arm=task.arm_id).values_list("seed", flat=True))
        try:
            added = lifecycle.run_again(task.arm, times, now=self.now)
        except WrongState:
            assert self.state == CampaignState.CANCELLED
            return
        except InvalidCampaign:
            assert task.arm_id in self.infeasible
            return
        assert self.state != CampaignState.CANCELLED
        assert task.arm_id not in self.infeasible
        assert {run.arm_id for run in added} == {task.arm_id}
        assert len({run.seed for run in added} - seeds) == times
        self.tasks |= {run.pk: ModelTask(run.arm_id) for run in added}
        if self.state == CampaignState.COMPLETED:
            self.state = CampaignState.ACTIVE
