"""Guards of the end of leases: which are taken back, who pays for it, and how long they last."""

from __future__ import annotations

from typing import Final

from tests.mutants.leases import CLAIMING, FAIR, HISTORIES, RACES, TASK
from tests.mutants.mutant import Mutant

EXPIRY: Final = "campaigns/lifecycle/expiry.py"
EXPIRE: Final = "tests/lifecycle/test_expire.py"
PACE: Final = "campaigns/lifecycle/pace.py"
PACES: Final = "workers/pace.py"
PACE_TESTS: Final = "tests/lifecycle/test_pace.py"
PACES_TESTS: Final = "tests/workers/test_pace.py"
FLEET_OWNER: Final = "tests/lifecycle/test_fleet_owner.py"

EXPIRIES: Final = (
    Mutant(
        "expire: leases that are not over",
        TASK,
        "return self.filter(state=TaskState.LEASED, lease_expires_at__lt=now)",
        "return self.filter(state=TaskState.LEASED, deadline_at__gt=now)",
        HISTORIES,
    ),
    Mutant(
        "expire: only after the deadline",
        TASK,
        "return self.filter(state=TaskState.LEASED, lease_expires_at__lt=now)",
        "return self.filter(state=TaskState.LEASED, deadline_at__lt=now)",
        HISTORIES,
    ),
    Mutant(
        "expire: the longest overdue comes last",
        EXPIRY,
        'overdue = Task.objects.overdue(now).order_by("lease_expires_at")',
        'overdue = Task.objects.overdue(now).order_by("-lease_expires_at")',
        (EXPIRE,),
    ),
    Mutant(
        "expire: a renewal that came first does not count",
        EXPIRY,
        "overdue = Task.objects.overdue(now).filter(pk__in=pks)",
        "overdue = Task.objects.filter(pk__in=pks, state=TaskState.LEASED)",
        (f"{RACES}::test_a_renewal_that_came_after_the_look_keeps_its_lease",),
    ),
    Mutant(
        "expire: two who look at once each take a lease back",
        EXPIRY,
        "tasks = {task.pk: task for task in locked.select_for_update(skip_locked=True)}",
        "tasks = {task.pk: task for task in locked}",
        (f"{RACES}::test_sweeps_at_once_take_each_lease_back_once",),
        "postgresql",
    ),
    Mutant(
        "expire: a sweep waits for a task that is locked",
        EXPIRY,
        "locked.select_for_update(skip_locked=True)",
        "locked.select_for_update()",
        (f"{RACES}::test_a_sweep_does_not_wait_for_a_task_that_is_locked",),
        "postgresql",
    ),
    Mutant(
        "expire: a task can be lost for ever",
        EXPIRY,
        "task.lost_attempts >= task.max_lost_attempts - 1",
        "task.lost_attempts >= task.max_lost_attempts",
        HISTORIES,
    ),
    Mutant(
        "expire: one worker uses up a task's losses alone",
        EXPIRY,
        "        counts = task.pk not in free\n",
        "        counts = True\n",
        (FAIR, "-k", "three_times_for_nothing"),
    ),
    Mutant(
        "expire: a worker that is alone never uses up a task's losses",
        EXPIRY,
        "    free = set(Task.objects.filter(others, pk__in=again)",
        "    free = set(Task.objects.filter(pk__in=again)",
        (f"{FAIR}::test_a_worker_that_is_alone_online_uses_up_the_losses_of_a_task",),
    ),
    Mutant(
        "expire: a fleet's other workers count as other machines",
        TASK,
        'exclude(pk=OuterRef("worker")).exclude(fleet_token=fleet)',
        'exclude(pk=OuterRef("worker"))',
        (EXPIRE, "-k", "whatever_was_lost_before"),
    ),
    Mutant(
        "expire: another worker's loss counts as the holder's",
        EXPIRY,
        "Attempt.objects.losses().filter(same_owner, task=",
        "Attempt.objects.losses().filter(task=",
        (EXPIRE, "-k", "whatever_was_lost_before"),
    ),
    Mutant(
        "expire: a task that cannot be written holds up its batch",
        EXPIRY,
        "        if len(pks) > 1:\n",
        "        if len(pks) > BATCH:\n",
        (f"{EXPIRE}::test_a_task_that_cannot_be_written_holds_up_no_other",),
    ),
    Mutant(
        "expire: a silent worker gets the next task at once",
        EXPIRY,
        "    worker_lifecycle.pause_after_loss([loss.attempt.worker for loss in lost], now=now)\n",
        "",
        HISTORIES,
    ),
    Mutant(
        "expire: the worker that lost a task has it next",
        EXPIRY,
        '            last_failed_worker=F("worker"),\n',
        "",
        ("tests/lifecycle/test_claim.py", "-k", "others_come_first"),
    ),
    Mutant(
        "expire: the attempt stays alive",
        EXPIRY,
        "            outcome=AttemptOutcome.LOST,\n",
        "            outcome=AttemptOutcome.RELEASED,\n",
        HISTORIES,
    ),
    Mutant(
        "expire: every claim sweeps",
        EXPIRY,
        "            if self._last is not None and abs(now - self._last) < SWEPT_EVERY:\n",
        "            if False:\n",
        (EXPIRE, "-k", "five_times_a_second"),
    ),
)

PACES_TOLD: Final = (
    Mutant(
        "pace: the longer interval comes before the longer lease",
        PACE,
        "if wanted.lease_seconds > pace.lease_seconds and not _renew_all(worker, wanted, now)",
        "if False",
        (PACE_TESTS, "-k", "granted_before"),
    ),
    Mutant(
        "pace: a longer lease revives one that ran out",
        PACE,
        "    leased.filter(lease_expires_at__gte=now).update(",
        "    leased.update(",
        (PACE_TESTS, "-k", "not_revived"),
    ),
    Mutant(
        "pace: a longer lease outlasts the deadline",
        PACE,
        'lease_expires_at=Least(\n            F("deadline_at"), '
        'Greatest(F("lease_expires_at"), Value(now + pace.lease_time))\n        )',
        'lease_expires_at=Greatest(F("lease_expires_at"), Value(now + pace.lease_time))',
        (PACE_TESTS, "-k", "outlast_the_deadline"),
    ),
    Mutant(
        "pace: a lease that is locked stays short",
        PACE,
        "    if len(locked) < leased.count():\n",
        "    if False:\n",
        (PACE_TESTS, "-k", "does_not_wait"),
        "postgresql",
    ),
    Mutant(
        "pace: people's own programs are told a longer interval",
        PACE,
        "worker.is_program or ",
        "",
        (PACE_TESTS, "-k", "own_program"),
    ),
    Mutant(
        "pace: a claim goes by the worker as it was read before",
        CLAIMING,
        "        choice.worker.lease_time = worker.lease_time\n",
        "",
        (PACE_TESTS, "-k", "tells_the_pace"),
    ),
    Mutant(
        "pace: the interval goes to and fro",
        PACES,
        "_shortest_for(workers * _HYSTERESIS)",
        "_shortest_for(workers)",
        (PACES_TESTS, "-k", "much_smaller_fleet"),
    ),
    Mutant(
        "pace: a cancel reaches its script too late",
        PACES,
        "min(seconds, LONGEST_HEARTBEAT_SECONDS)",
        "seconds",
        (PACES_TESTS, "-k", "grow_with_the_fleet"),
    ),
    Mutant(
        "pace: a worker with a long lease is offline after the usual one",
        "workers/models.py",
        "(Q(last_seen_at__gte=now - least) | within_own)",
        "Q(last_seen_at__gte=now - least)",
        (PACES_TESTS, "-k", "own_lease_time"),
    ),
    Mutant(
        "pace: every heartbeat counts the fleet",
        "workers/fleet_size.py",
        "    return abs(now - counted_at) < COUNTED_EVERY\n",
        "    return False\n",
        (PACES_TESTS, "-k", "counted_once"),
    ),
)
