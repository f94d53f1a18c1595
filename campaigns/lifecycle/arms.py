"""Which arm a new task belongs to, and on which seed it runs: every task is made here.

The same params are the same arm, whoever gives them: sampler, grid, person or outside optimiser. A
new task of an arm runs on the first seed of the campaign's list that the arm has not had.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django.db.models import Max

from campaigns.fleet.budgets import WorkBudget, budget_of
from campaigns.lifecycle import journal
from campaigns.lifecycle.errors import InvalidCampaign
from campaigns.lifecycle.journal import SERVER, Change
from campaigns.models import (
    MAX_SEED,
    Arm,
    Campaign,
    FailureClass,
    QueueRank,
    Task,
    TaskOrigin,
    TaskPurpose,
    TaskState,
)
from campaigns.search import samplers
from campaigns.search.samplers import Params
from campaigns.search.seeds import index_of, seed_at
from campaigns.search.space import SearchSpace, UnsatisfiableSpace
from campaigns.search.steps import LAUNCH_STEPS, StepsSpent
from campaigns.work.describe import InfeasibleCost

CREATE_BATCH: Final = 1_000
_FAILED: Final = {"state": TaskState.FAILED, "failure_class": FailureClass.TOO_SLOW}


def drawn_points(campaign: Campaign, count: int) -> Iterator[Params]:
    """Yield the params of the campaign's next `count` draws. Raises InvalidCampaign."""
    space = SearchSpace.stored(campaign.search_space).with_budget(LAUNCH_STEPS)
    for drawn in range(count):
        draw = campaign.draws + drawn
        try:
            yield samplers.sample(space, campaign.sampler, campaign.base_seed, draw)
        except UnsatisfiableSpace as error:
            raise InvalidCampaign({"search_space": [str(error)]}) from error
        except StepsSpent as error:
            raise InvalidCampaign({"search_space": [_too_many_steps(drawn)]}) from error


def _too_many_steps(drawn: int) -> str:
    return (
        f"drawing these tasks takes more than {LAUNCH_STEPS:,} steps; they are enough for about "
        f"{drawn:,}. Draw fewer tasks at once, loosen or shorten the constraints, or give the "
        "choices that stand in them fewer values"
    )


def _queue_rank(purpose: TaskPurpose, origin: TaskOrigin) -> QueueRank:
    """Return which tasks of their campaign are handed out first."""
    if purpose == TaskPurpose.RACE:
        return QueueRank.RACE
    return QueueRank.ENQUEUED if origin == TaskOrigin.ENQUEUED else QueueRank.SAMPLED


def next_task_number(campaign: Campaign) -> int:
    """Return the number of the campaign's next task."""
    return _after(campaign.tasks.aggregate(last=Max("number"))["last"])


def _after(last: int | None) -> int:
    return 0 if last is None else last + 1


def params_sha256(params: Params) -> str:
    """Return the hash by which the params of an arm are the same; they must be normalised."""
    canonical = json.dumps(params, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


@dataclass(slots=True)
class _Member:
    """An arm, the seeds of its tasks, and the index before which the list has no free seed."""

    arm: Arm
    seeds: set[int] = field(default_factory=set)
    next_index: int = 0


class TaskMaker:
    """Makes the new tasks of one campaign, in order, and the arms that they need.

    Nothing is stored before `store`. For a launched campaign call it in a transaction that has
    locked the campaign, and `load` the points first: two callers would give a number or a seed
    twice.
    """

    def __init__(
        self, campaign: Campaign, *, now: dt.datetime, work: WorkBudget | None = None
    ) -> None:
        self._campaign = campaign
        self._now = now
        # Given at the launch; later the campaign has it pinned.
        self._work = work or budget_of(campaign)
        self._space = SearchSpace.stored(campaign.search_space)
        self._members: dict[str, _Member] = {}
        self._new_arms: list[Arm] = []
        self._next_task = self._next_arm = 0

    def load(self, points: Iterable[Params] = ()) -> None:
        """Read the campaign's last numbers, its arms of these points, and their seeds."""
        campaign = self._campaign
        self._next_task = next_task_number(campaign)
        self._next_arm = _after(campaign.arms.aggregate(last=Max("number"))["last"])
        hashes = list({params_sha256(self._space.normalised(point)) for point in points})
        for start in range(0, len(hashes), CREATE_BATCH):
            self._load_arms(hashes[start : start + CREATE_BATCH])

    def task(self, params: Params, origin: TaskOrigin, *, seed: int | None = None) -> Task:
        """Return the next task, unsaved; `seed` may also lie outside the list.

        It is pending, or has failed when its arm is infeasible. Raises InvalidCampaign when the
        arm has a task with that seed.
        """
        params = self._space.normalised(params)
        digest = params_sha256(params)
        member = self._members.get(digest)
        if member is None:
            member = self._members[digest] = _Member(self._new_arm(params, digest, origin))
        if seed is not None and seed in member.seeds:
            raise InvalidCampaign(
                {"params": ["this point with this seed is in the campaign already"]}
            )
        is_first = not member.seeds
        seed, index = self._choose_seed(member, seed)
        member.seeds.add(seed)
        purpose = TaskPurpose.SCREEN if is_first else TaskPurpose.REPEAT
        return self._new_task(member.arm, seed, index, purpose, origin)

    def race_task(self, arm: Arm, index: int) -> Task:
        """Return the next task, unsaved: the arm on the seed of this index."""
        seed = seed_at(self._campaign.base_seed, index)
        return self._new_task(arm, seed, index, TaskPurpose.RACE, TaskOrigin(arm.origin))

    def replay(self, task: Task, *, not_on: str = "") -> Task:
        """Return the next task, unsaved and pending: the same arm on the same seed once more.

        `not_on` is a machine that it is not to run on.
        """
        seed, index, origin = task.seed, task.seed_index, TaskOrigin(task.origin)
        replay = self._new_task(task.arm, seed, index, TaskPurpose.REPLAY, origin)
        replay.not_on = not_on
        replay.queue_rank = task.queue_rank
        return replay

    def store_arms(self) -> None:
        """Store the arms that are new; their tasks can be stored then."""
        Arm.objects.bulk_create(self._new_arms, batch_size=CREATE_BATCH)
        self._new_arms = []

    def store(self, tasks: Sequence[Task]) -> None:
        """Store the tasks that this object made, and their new arms."""
        self.store_arms()
        Task.objects.bulk_create(tasks, batch_size=CREATE_BATCH)
        failed: dict[str, list[Change]] = {}
        for task in tasks:
            if task.state == TaskState.FAILED:
                change = Change(task, TaskState.PENDING, TaskState.FAILED)
                failed.setdefault(task.arm.infeasible, []).append(change)
        for reason, changes in failed.items():
            journal.record(SERVER, *changes, now=self._now, reason=reason)

    def _load_arms(self, hashes: list[str]) -> None:
        campaign = self._campaign
        arms = campaign.arms.filter(package=campaign.package_id, params_sha256__in=hashes)
        members = {arm.pk: _Member(arm) for arm in arms}
        for arm_id, seed in Task.objects.filter(arm__in=members).values_list("arm_id", "seed"):
            members[arm_id].seeds.add(seed)
        self._members |= {member.arm.params_sha256: member for member in members.values()}

    def _new_task(
        self, arm: Arm, seed: int, index: int | None, purpose: TaskPurpose, origin: TaskOrigin
    ) -> Task:
        number, self._next_task = self._next_task, self._next_task + 1
        if arm.infeasible:
            # It is made, so that the arm is seen, and fails at once.
            columns = _FAILED | {"finished_at": self._now}
        else:
            columns = self._work_columns(arm)
        return Task(
            **columns,
            campaign=self._campaign,
            arm=arm,
            number=number,
            params=arm.params,
            seed=seed,
            seed_index=index,
            purpose=purpose,
            origin=origin,
            available_at=self._now,
            queue_rank=_queue_rank(purpose, origin),
            created_at=self._now,
            max_failed_attempts=self._campaign.max_failed_attempts,
            max_lost_attempts=self._campaign.max_lost_attempts,
        )

    def _new_arm(self, params: Params, digest: str, origin: TaskOrigin) -> Arm:
        number, self._next_arm = self._next_arm, self._next_arm + 1
        arm = Arm(
            campaign=self._campaign,
            number=number,
            package_id=self._campaign.package_id,
            params=params,
            params_sha256=digest,
            origin=origin,
            created_at=self._now,
        )
        try:
            self._work_columns(arm)
        except InfeasibleCost as error:
            arm.infeasible = str(error)[:200]
        self._new_arms.append(arm)
        return arm

    def _work_columns(self, arm: Arm) -> dict[str, Any]:
        """Return a task's work; {} under a time budget. Raises InfeasibleCost."""
        if self._work is None:
            return {}
        work = self._work.work_of(arm.params)
        return {"max_steps": work.steps, "work_seconds": work.seconds}

    def _choose_seed(self, member: _Member, seed: int | None) -> tuple[int, int | None]:
        """Return the task's seed, and its index in the campaign's list (None outside of it)."""
        base_seed = self._campaign.base_seed
        if not self._campaign.shares_seeds:
            # A campaign from before the arms keeps its rule: each task has a seed of its own.
            seed = base_seed + self._next_task if seed is None else seed
            while seed in member.seeds:
                seed = (seed + 1) % (MAX_SEED + 1)
            return seed, None
        if seed is not None:
            return seed, index_of(base_seed, seed)
        while (free := seed_at(base_seed, member.next_index)) in member.seeds:
            member.next_index += 1
        return free, member.next_index
