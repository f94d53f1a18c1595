"""Rows for `bench_pages`: campaigns that look as if a fleet had worked on them for a while.

The rows are written in bulk, because 100,000 runs through the real verbs would take an hour. The
database's constraints make sure that the verbs could have made them. The same sizes always give the
same campaigns.
"""

import datetime as dt
import hashlib
import itertools
import math
import random
import uuid
from collections.abc import Iterator
from typing import Any

from django.contrib.auth.models import User
from django.db import connection

from campaigns import lifecycle
from campaigns.lifecycle import CampaignSpec
from campaigns.lifecycle.arms import NewTask, TaskMaker, drawn_points
from campaigns.lifecycle.classes import class_id
from campaigns.models import (
    Attempt,
    AttemptOutcome,
    Campaign,
    CampaignState,
    FailureClass,
    ProgressPoint,
    Result,
    Task,
    TaskOrigin,
    TaskPurpose,
    TaskState,
)
from experiments import catalog
from experiments.metrics import VAL_BPB, bits_per_byte
from workers.models import Worker

EXPERIMENT = "train_char_lm"
DATASET = "tinyshakespeare"
BUDGET_SECONDS = 10.0
# Out of each thousand tasks; all others have a measured value.
FAILED, DIVERGED, SIMULATED, LOST_ONCE, SUBSETS = 40, 15, 25, 20, 50
PENDING_TASKS = 50
CURVES = 50
POINTS_PER_CURVE = 20
BATCH = 1_000
# The columns of a result that its line does not have.
_RANKING = frozenset({"value", "sort_key"})
FLEET = (
    ("cpu", "Xeon 8 cores", 0.25),
    ("cpu", "Ryzen 16 cores", 0.2),
    ("cpu", "laptop, 4 cores", 0.35),
    ("cuda", "RTX 3060", 0.02),
    ("cuda", "RTX 4090", 0.0),
    ("mps", "Apple M2", 0.08),
)
MACHINES_PER_KIND = 4


def make_fleet(now: dt.datetime) -> list[Worker]:
    """Create workers of several kinds and return them. They have no usable tokens."""
    workers = [
        Worker(
            name=f"{title} {number}",
            token_hash=hashlib.sha256(f"bench {title} {number}".encode()).hexdigest(),
            hardware={"devices": [device], "machine": title, "torch": "2.13.0"},
            agent_version="0.1.0",
            enrolled_at=now - dt.timedelta(days=30),
            last_seen_at=now,
        )
        for device, title, _ in FLEET
        for number in range(1, MACHINES_PER_KIND + 1)
    ]
    return Worker.objects.bulk_create(workers)


def make_campaign(
    results: int, *, owner: User, workers: list[Worker], now: dt.datetime
) -> Campaign:
    """Create an active campaign with exactly `results` results, plus failed and waiting tasks."""
    spec = CampaignSpec(
        name=f"{results:,} results",
        experiment=EXPERIMENT,
        dataset=DATASET,
        task_count=results,
        time_budget_seconds=BUDGET_SECONDS,
        allow_simulated=True,
        base_seed=results * 7,
    )
    campaign = lifecycle.create_campaign(spec, owner=owner, now=now)
    failed = results * FAILED // 1000
    total = results + failed + PENDING_TASKS
    seconds_each = BUDGET_SECONDS + 2.0
    launched_at = now - dt.timedelta(seconds=seconds_each * (total / len(workers) + 2))
    Campaign.objects.filter(pk=campaign.pk).update(
        state=CampaignState.ACTIVE,
        launched_at=launched_at,
        metric=VAL_BPB.name,
        metric_version=VAL_BPB.version,
        task_count=total,
        revision=results,
    )
    campaign.refresh_from_db()
    chance = random.Random(results)  # the same campaign every time
    failing = set(chance.sample(range(results + failed), failed))
    runs = _Runs(campaign, workers, chance, launched_at, seconds_each)
    points = drawn_points(campaign, total)
    maker = TaskMaker(campaign, now=launched_at)
    while batch := list(itertools.islice(points, BATCH)):
        new = [maker.task(params, TaskOrigin.SAMPLED) for params in batch]
        maker.store_arms()
        runs.store([_task(campaign, task, launched_at) for task in new], failing, results + failed)
    Campaign.objects.filter(pk=campaign.pk).update(draws=total)
    _store_curves(campaign, chance)
    return campaign


def _task(campaign: Campaign, new: NewTask, launched_at: dt.datetime) -> Task:
    """Return a new task, whose arm is stored, as a model; it is stored with its end."""
    return Task(
        campaign=campaign,
        arm_id=new.member.arm_id,
        number=new.number,
        params=new.member.params,
        seed=new.seed,
        seed_index=new.seed_index,
        purpose=new.purpose,
        origin=new.origin,
        available_at=launched_at,
        created_at=launched_at,
        max_failed_attempts=campaign.max_failed_attempts,
        max_lost_attempts=campaign.max_lost_attempts,
    )


def settle() -> None:
    """Update statistics and visibility map now, as autovacuum would within minutes."""
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


class _Runs:
    """Turns sampled tasks into ended tasks with their attempts and results."""

    def __init__(
        self,
        campaign: Campaign,
        workers: list[Worker],
        chance: random.Random,
        launched_at: dt.datetime,
        seconds_each: float,
    ) -> None:
        self.campaign = campaign
        self.workers = workers
        self.chance = chance
        self.launched_at = launched_at
        self.seconds_each = seconds_each
        sizes = catalog.get(EXPERIMENT).eval_bytes_allowed(campaign.dataset.size_bytes)
        self.eval_bytes = sizes["full"]

    def store(self, batch: list[Task], failing: set[int], run: int) -> None:
        """Store a batch. Tasks numbered below `run` have ended; those in `failing` have failed."""
        attempts: list[Attempt] = []
        for task in batch:
            if task.number < run:
                attempts.extend(self._attempts(task, fails=task.number in failing))
        Task.objects.bulk_create(batch)
        measured = [
            (attempt, self._measure(attempt))
            for attempt in attempts
            if attempt.outcome in {AttemptOutcome.COMPLETED, AttemptOutcome.DIVERGED}
        ]
        for attempt, columns in measured:
            self._submit(attempt, columns)
        Attempt.objects.bulk_create(attempts)
        Result.objects.bulk_create(self._result(attempt, columns) for attempt, columns in measured)

    def _attempts(self, task: Task, *, fails: bool) -> Iterator[Attempt]:
        """Yield the attempts of a task, and set the task's final state."""
        turn, place = divmod(task.number, len(self.workers))
        worker = self.workers[place]
        started = self.launched_at + dt.timedelta(
            seconds=turn * self.seconds_each + place * 0.4 + self.chance.random()
        )
        ended = started + dt.timedelta(seconds=BUDGET_SECONDS + self.chance.random())
        number = 1
        if not fails and self.chance.randrange(1000) < LOST_ONCE:
            yield self._attempt(task, 1, worker, started, ended, AttemptOutcome.LOST)
            task.lost_attempts, number = 1, 2
        task.finished_at = ended
        if fails:
            task.state = TaskState.FAILED
            task.failed_attempts = task.max_failed_attempts
            task.failure_class = self.chance.choice(
                [
                    FailureClass.OOM,
                    FailureClass.OOM,
                    FailureClass.TIMEOUT,
                    FailureClass.SCRIPT_ERROR,
                ]
            )
            for tried in range(1, task.max_failed_attempts + 1):
                yield self._attempt(task, tried, worker, started, ended, AttemptOutcome.FAILED)
            return
        task.state = TaskState.COMPLETED
        diverges = self.chance.randrange(1000) < DIVERGED
        outcome = AttemptOutcome.DIVERGED if diverges else AttemptOutcome.COMPLETED
        yield self._attempt(task, number, worker, started, ended, outcome)

    def _attempt(
        self,
        task: Task,
        number: int,
        worker: Worker,
        started: dt.datetime,
        ended: dt.datetime,
        outcome: AttemptOutcome,
    ) -> Attempt:
        failed = outcome == AttemptOutcome.FAILED
        return Attempt(
            task=task,
            number=number,
            lease_id=uuid.UUID(int=self.chance.getrandbits(128)),
            claim_id=uuid.UUID(int=self.chance.getrandbits(128)),
            worker=worker,
            started_at=started,
            ended_at=ended,
            outcome=outcome,
            failure_class=FailureClass.LOST
            if outcome == AttemptOutcome.LOST
            else (task.failure_class if failed else ""),
            message="exit code 1" if failed else "",
            exit_code=1 if failed else 0,
            stderr_tail="step 100: train loss 2.41, 9.3 s left\n" * 12,
            wall_time_seconds=(ended - started).total_seconds(),
        )

    def _measure(self, attempt: Attempt) -> dict[str, Any]:
        """Return the columns of a result: realistic functions of the params, plus noise."""
        task, chance = attempt.task, self.chance
        slower = next(
            cost for _, title, cost in FLEET if title == attempt.worker.hardware["machine"]
        )
        diverged = attempt.outcome == AttemptOutcome.DIVERGED
        value = None if diverged else _value(task.params) + slower + chance.gauss(0, 0.05)
        steps = int(400 / (1 + slower) * 64 / task.params["batch_size"])
        return {
            "value": value,
            "sort_key": value and VAL_BPB.sort_key(value),
            "train_loss": None if value is None else 0.7 * value,
            "eval_nll_nats": value and value * self.eval_bytes / bits_per_byte(1.0, 1),
            "eval_bytes": self.eval_bytes,
            "eval_tokens": self.eval_bytes,
            "steps_completed": steps,
            "tokens_trained": steps * task.params["batch_size"] * task.params["context_length"],
            "model_params": 12 * task.params["n_layers"] * task.params["d_model"] ** 2,
            "wall_time_seconds": attempt.wall_time_seconds or BUDGET_SECONDS,
            "device_used": attempt.worker.device,
            "stop_reason": "diverged" if diverged else "time",
        }

    def _submit(self, attempt: Attempt, columns: dict[str, Any]) -> None:
        """Set the attempt's submission and answer, as if an agent had sent the result."""
        attempt.submission = {
            "outcome": "completed",
            "metrics": self._metrics(attempt.task, columns),
            "exit_code": 0,
            "wall_time_seconds": attempt.wall_time_seconds,
            "simulated": False,
            "code_sha256": self.campaign.package_id,
        }
        attempt.submission_digest = hashlib.sha256(attempt.lease_id.bytes).hexdigest()
        attempt.answer = {"verdict": "accepted", "message": ""}

    def _metrics(self, task: Task, columns: dict[str, Any]) -> dict[str, Any]:
        """Return the whole result line of the script."""
        line = {name: number for name, number in columns.items() if name not in _RANKING}
        return line | {
            VAL_BPB.name: columns["value"],
            "dataset": DATASET,
            "dataset_sha256": self.campaign.dataset_id,
            "train_seconds": 8.0,
            "eval_seconds": 0.5,
            "setup_seconds": 1.5,
            "threads": 2,
            "dtype": "bfloat16",
            "torch_version": "2.13.0",
            "seed": task.seed,
            "peak_memory_mb": 300.0,
        }

    def _result(self, attempt: Attempt, columns: dict[str, Any]) -> Result:
        """Return the result of a stored attempt."""
        diverged = attempt.outcome == AttemptOutcome.DIVERGED
        simulated = not diverged and self.chance.randrange(1000) < SIMULATED
        is_subset = self.chance.randrange(1000) < SUBSETS
        metrics = self._metrics(attempt.task, columns)
        of_class = (
            None if diverged or simulated else class_id(attempt, metrics, is_subset=is_subset)
        )
        return Result(
            task=attempt.task,
            attempt=attempt,
            campaign=self.campaign,
            arm_id=attempt.task.arm_id,
            result_class_id=of_class,
            is_screening=attempt.task.purpose == TaskPurpose.SCREEN,
            is_ranked=not diverged and not simulated,
            diverged=diverged,
            simulated=simulated,
            eval_is_subset=is_subset,
            metrics=metrics,
            created_at=attempt.ended_at or self.launched_at,
            **columns,
        )


def _value(params: dict[str, Any]) -> float:
    """Return bits per byte with one best learning rate and slightly better large models."""
    off_best: float = math.log10(params["lr"]) + 2.3
    schedule: float = {"cosine": 0.0, "linear": 0.03, "step_decay": 0.15}[params["lr_schedule"]]
    size: float = 0.08 * math.log2(params["d_model"] / 64) + 0.02 * params["n_layers"]
    batch: float = 0.002 * params["batch_size"]
    return 2.6 + 0.5 * off_best * off_best + schedule - size + batch


def _store_curves(campaign: Campaign, chance: random.Random) -> None:
    """Give each of the last attempts a learning curve."""
    attempts = Attempt.objects.filter(task__campaign=campaign, outcome=AttemptOutcome.COMPLETED)
    points = [
        ProgressPoint(
            attempt_id=pk,
            seq=seq,
            elapsed_seconds=0.4 * seq,
            step=20 * seq,
            tokens=20 * seq * 8192,
            train_loss=4.0 / math.sqrt(seq) + chance.gauss(0, 0.02),
            value=5.5 / math.sqrt(seq) + chance.gauss(0, 0.02),
        )
        for pk in attempts.order_by("-pk").values_list("pk", flat=True)[:CURVES]
        for seq in range(1, POINTS_PER_CURVE + 1)
    ]
    ProgressPoint.objects.bulk_create(points)
