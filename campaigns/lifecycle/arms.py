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
from operator import attrgetter
from typing import Final, NamedTuple

from django.db.models import Count, Max

from campaigns.fleet.budgets import Work, WorkBudget, budget_of
from campaigns.lifecycle import journal
from campaigns.lifecycle.errors import InvalidCampaign
from campaigns.lifecycle.inserts import insert_rows
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
    TaskQuerySet,
    TaskState,
)
from campaigns.search import samplers
from campaigns.search.samplers import Params
from campaigns.search.seeds import index_of, seed_at
from campaigns.search.space import SearchSpace, UnsatisfiableSpace
from campaigns.search.steps import DRAW_STEPS, LAUNCH_STEPS, StepsSpent
from campaigns.work.describe import InfeasibleCost

# So many arms are looked up in one query.
LOOKED_UP: Final = 1_000
_ARM_FIELDS: Final = ("number", "params", "params_sha256", "origin", "infeasible")
_TASK_FIELDS: Final = (
    *("number", "arm_id", "params", "seed", "seed_index", "purpose", "origin", "queue_rank"),
    *("max_steps", "work_seconds", "not_on"),
)
_FAILED: Final = {"state": TaskState.FAILED, "failure_class": FailureClass.TOO_SLOW}


def drawn_points(campaign: Campaign, count: int, *, of: int | None = None) -> Iterator[Params]:
    """Yield the params of the campaign's next `count` draws, the first of `of` (None: of as many).

    Raises InvalidCampaign where no point is found, or all of them would take too many steps.
    """
    total = count if of is None else of
    limit = LAUNCH_STEPS if total <= count else LAUNCH_STEPS * count // total + DRAW_STEPS
    space = SearchSpace.stored(campaign.search_space).with_budget(limit)
    for drawn in range(count):
        draw = campaign.draws + drawn
        try:
            yield samplers.sample(space, campaign.sampler, campaign.base_seed, draw)
        except UnsatisfiableSpace as error:
            raise InvalidCampaign({"search_space": [str(error)]}) from error
        except StepsSpent as error:
            enough_for = drawn * total // count
            raise InvalidCampaign({"search_space": [_too_many_steps(enough_for)]}) from error


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
    """An arm, its work (None: under a time budget), and which seeds its tasks have.

    They have the seeds before `next_index` of the campaign's list, and `seeds`.
    """

    number: int
    params: Params
    params_sha256: str
    origin: str
    infeasible: str = ""
    work: Work | None = None
    arm_id: int | None = None  # None until it is stored
    seeds: set[int] = field(default_factory=set)
    next_index: int = 0


class NewTask(NamedTuple):
    """A task that is not stored yet."""

    number: int
    member: _Member
    seed: int
    seed_index: int | None
    purpose: TaskPurpose
    origin: TaskOrigin
    queue_rank: QueueRank
    not_on: str = ""

    @property
    def infeasible(self) -> str:
        """Why its arm can get no result, so that it fails at once; "" when it may run."""
        return self.member.infeasible


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
        self._new: list[_Member] = []
        self._next_task = self._next_arm = 0

    def load(self, points: Iterable[Params] = ()) -> None:
        """Read the campaign's last numbers, its arms of these points, and their seeds."""
        campaign = self._campaign
        self._next_task = next_task_number(campaign)
        self._next_arm = _after(campaign.arms.aggregate(last=Max("number"))["last"])
        hashes = list({params_sha256(self._space.normalised(point)) for point in points})
        for start in range(0, len(hashes), LOOKED_UP):
            self._load_arms(hashes[start : start + LOOKED_UP])

    def task(self, params: Params, origin: TaskOrigin, *, seed: int | None = None) -> NewTask:
        """Return the next task; `seed` may also lie outside the list.

        Raises InvalidCampaign when the arm has a task with that seed.
        """
        params = self._space.normalised(params)
        digest = params_sha256(params)
        member = self._members.get(digest)
        if member is None:
            member = self._members[digest] = self._new_arm(params, digest, origin)
        is_first = not (member.seeds or member.next_index)
        seed, index = self._choose_seed(member, seed)
        member.seeds.add(seed)
        purpose = TaskPurpose.SCREEN if is_first else TaskPurpose.REPEAT
        return self._new_task(member, seed, index, purpose, origin)

    def race_task(self, arm: Arm, index: int) -> NewTask:
        """Return the next task: the arm on the seed of this index."""
        seed = seed_at(self._campaign.base_seed, index)
        origin = TaskOrigin(arm.origin)
        return self._new_task(self._member(arm), seed, index, TaskPurpose.RACE, origin)

    def replay(self, task: Task, *, not_on: str = "") -> NewTask:
        """Return the next task, pending: the same arm on the same seed once more.

        `not_on` is a machine that it is not to run on.
        """
        seed, index, origin = task.seed, task.seed_index, TaskOrigin(task.origin)
        member, purpose = self._member(task.arm), TaskPurpose.REPLAY
        replay = self._new_task(member, seed, index, purpose, origin)
        return replay._replace(not_on=not_on, queue_rank=QueueRank(task.queue_rank))

    def store_arms(self) -> None:
        """Store the arms that are new; their tasks can be stored then."""
        if not self._new:
            return
        columns = attrgetter(*_ARM_FIELDS)
        insert_rows(
            Arm,
            _ARM_FIELDS,
            [columns(member) for member in self._new],
            campaign_id=self._campaign.pk,
            package_id=self._campaign.package_id,
            created_at=self._now,
        )
        stored = self._campaign.arms.filter(number__gte=self._new[0].number)
        ids = dict(stored.order_by().values_list("number", "pk"))
        for member in self._new:
            member.arm_id = ids[member.number]
        self._new = []

    def store(self, tasks: Sequence[NewTask]) -> TaskQuerySet:
        """Store the tasks that this object made, and their new arms; return them by number.

        They are pending, those of an infeasible arm have failed.
        """
        self.store_arms()
        infeasible = [task for task in tasks if task.infeasible]
        self._insert([task for task in tasks if not task.infeasible])
        # They are made, so that the arm is seen, and fail at once.
        self._insert(infeasible, **_FAILED, finished_at=self._now)
        self._record_failed(infeasible)
        numbers = [task.number for task in tasks]
        stored: TaskQuerySet = self._campaign.tasks.filter(number__in=numbers)
        return stored.order_by("number")

    def _insert(self, tasks: Sequence[NewTask], **columns: object) -> None:
        campaign = self._campaign
        insert_rows(
            Task,
            _TASK_FIELDS,
            [_row(task) for task in tasks],
            **columns,
            campaign_id=campaign.pk,
            available_at=self._now,
            created_at=self._now,
            max_failed_attempts=campaign.max_failed_attempts,
            max_lost_attempts=campaign.max_lost_attempts,
        )

    def _record_failed(self, tasks: Sequence[NewTask]) -> None:
        reasons = {task.number: task.infeasible for task in tasks}
        changes: dict[str, list[Change]] = {}
        for task in self._campaign.tasks.filter(number__in=reasons) if reasons else ():
            change = Change(task, TaskState.PENDING, TaskState.FAILED)
            changes.setdefault(reasons[task.number], []).append(change)
        for reason, alike in changes.items():
            journal.record(SERVER, *alike, now=self._now, reason=reason)

    def _load_arms(self, hashes: list[str]) -> None:
        campaign = self._campaign
        arms = campaign.arms.filter(package=campaign.package_id, params_sha256__in=hashes)
        members = {arm.pk: self._member(arm) for arm in arms}
        tasks = Task.objects.filter(arm__in=members).exclude(purpose=TaskPurpose.REPLAY).order_by()
        # An arm of a small grid may have thousands of tasks, nearly always on the first seeds.
        counted = tasks.values_list("arm_id").annotate(
            tasks=Count("*"), listed=Count("seed_index"), last=Max("seed_index")
        )
        others = []
        for arm_id, number, listed, last in counted:
            if number == listed == (last or 0) + 1:
                members[arm_id].next_index = number
            else:
                others.append(arm_id)
        for arm_id, seed in tasks.filter(arm__in=others).values_list("arm_id", "seed"):
            members[arm_id].seeds.add(seed)
        self._members |= {member.params_sha256: member for member in members.values()}

    def _member(self, arm: Arm) -> _Member:
        """Return the member for a stored arm, without its seeds."""
        member = _Member(
            arm.number, arm.params, arm.params_sha256, arm.origin, arm.infeasible, arm_id=arm.pk
        )
        if not arm.infeasible:
            member.work = self._work_of(arm.params)
        return member

    def _new_task(
        self,
        member: _Member,
        seed: int,
        index: int | None,
        purpose: TaskPurpose,
        origin: TaskOrigin,
    ) -> NewTask:
        number, self._next_task = self._next_task, self._next_task + 1
        rank = _queue_rank(purpose, origin)
        return NewTask(number, member, seed, index, purpose, origin, rank)

    def _new_arm(self, params: Params, digest: str, origin: TaskOrigin) -> _Member:
        number, self._next_arm = self._next_arm, self._next_arm + 1
        member = _Member(number, params, digest, origin)
        try:
            member.work = self._work_of(params)
        except InfeasibleCost as error:
            member.infeasible = str(error)[:200]
        self._new.append(member)
        return member

    def _work_of(self, params: Params) -> Work | None:
        """Return the work of an arm; None under a time budget. Raises InfeasibleCost."""
        return None if self._work is None else self._work.work_of(params)

    def _choose_seed(self, member: _Member, seed: int | None) -> tuple[int, int | None]:
        """Return the task's seed, and its index in the campaign's list (None outside of it).

        Raises InvalidCampaign when the arm has a task with the given seed.
        """
        base_seed = self._campaign.base_seed
        if seed is not None and (
            seed in member.seeds
            or any(seed == seed_at(base_seed, index) for index in range(member.next_index))
        ):
            raise InvalidCampaign(
                {"params": ["this point with this seed is in the campaign already"]}
            )
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


def _row(task: NewTask) -> tuple[object, ...]:
    """Return the values of `_TASK_FIELDS`."""
    member = task.member
    steps, seconds = member.work or (None, None)
    return (
        *(task.number, member.arm_id, member.params, task.seed, task.seed_index, task.purpose),
        *(task.origin, task.queue_rank, steps, seconds, task.not_on),
    )
