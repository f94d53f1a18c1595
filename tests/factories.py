"""Creates rows in every state through the real verbs, so that tests start from possible states."""

from __future__ import annotations

import datetime as dt
import itertools
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast
from unittest import mock

from django.contrib.auth.models import User
from django.db.models import Q, QuerySet

from campaigns import lifecycle
from campaigns.fleet import calibrations
from campaigns.fleet.calibrations import plan_of
from campaigns.lifecycle import CampaignSpec
from campaigns.models import (
    Attempt,
    BudgetKind,
    Campaign,
    Dataset,
    Package,
    ProgressPoint,
    Race,
    Result,
    ResultClass,
    Task,
    WorkUnit,
)
from campaigns.scripts import steering as script_steering
from campaigns.work.cost import CostModel
from campaigns.work.describe import read_description
from experiments import catalog
from experiments.metrics import bits_per_byte
from tests.constraints import check_once
from workers import lifecycle as worker_lifecycle
from workers.calibration import CalibrationReport
from workers.models import Calibration, Worker
from workers.protocol import FailureClass, Outcome, Submission
from xeenet_site.web import roles

NOW = dt.datetime(2026, 1, 5, 12, 0, tzinfo=dt.UTC)
_numbers = itertools.count(1)

SMALL_SPACE: dict[str, Any] = {
    "parameters": [
        {"name": "lr", "type": "float", "low": 1e-4, "high": 1e-2, "log": True, "decimals": 6},
        {"name": "d_model", "type": "choice", "values": [64, 128, 256]},
    ],
    "constraints": [],
}
# A script that differs from an installed one.
VARIATION = catalog.script_source("train_char_lm") + b"\n# a variation\n"


def at(seconds: float) -> dt.datetime:
    """Return the time `seconds` after NOW."""
    return NOW + dt.timedelta(seconds=seconds)


def user(username: str = "", *, role: str = roles.RESEARCHER, **fields: Any) -> User:
    """Create a user with a role and the password "secret-for-tests"."""
    name = username or f"user-{next(_numbers)}"
    person = User.objects.create_user(name, password="secret-for-tests", **fields)
    roles.give_role(person, role)
    return person


def worker_with_token(name: str = "", now: dt.datetime = NOW, **fields: Any) -> tuple[Worker, str]:
    """Create an active worker; return it and its token."""
    enrolled, token = worker_lifecycle.register(name or f"worker-{next(_numbers)}", now=now)
    if fields:
        Worker.objects.filter(pk=enrolled.pk).update(**fields)
        enrolled.refresh_from_db()
    return enrolled, token


def worker(name: str = "", **fields: Any) -> Worker:
    """Create an active worker."""
    return worker_with_token(name, **fields)[0]


def runner() -> Worker:
    """Return the worker of all runs that are to be compared, the same at each call.

    Under a time budget the results of two workers are of two classes.
    """
    return Worker.objects.filter(name="runner").first() or worker("runner")


def in_another_class(results: QuerySet[Result], **changes: Any) -> ResultClass:
    """Move results of one class into a new one, as if another kind of machine had measured them."""
    first = results[0].result_class
    assert first is not None
    other = ResultClass.objects.get(pk=first.pk)
    other.pk, other.key = None, f"class {next(_numbers)}"
    for name, value in changes.items():
        setattr(other, name, value)
    other.save()
    results.update(result_class=other)
    return other


def uploaded(
    source: bytes = VARIATION,
    *,
    name: str = "wider",
    actor: User | None = None,
    approved: bool = False,
    now: dt.datetime = NOW,
) -> Package:
    """Upload a script, and approve it if wanted. Equal bytes are the same script."""
    package, _ = script_steering.upload(
        actor, name=name, experiment="train_char_lm", source=source, now=now
    )
    if approved:
        script_steering.approve(None, package, now=now)
    return package


def campaign(*, owner: User | None = None, now: dt.datetime = NOW, **fields: Any) -> Campaign:
    """Create a draft campaign."""
    spec = {
        "name": f"campaign {next(_numbers)}",
        "experiment": "train_char_lm",
        "task_count": 3,
        "time_budget_seconds": 10.0,
        "search_space": SMALL_SPACE,
        "dataset": "tinyshakespeare",
        # Tests of automatic races switch them on; elsewhere as many tasks are made as asked for.
        "races_automatically": False,
    }
    if fields.get("budget_kind") == "work":
        del spec["time_budget_seconds"]
    with mock.patch.object(Q, "check", check_once):
        return lifecycle.create_campaign(CampaignSpec(**(spec | fields)), owner=owner, now=now)


def active_campaign(
    tasks: int = 3, *, now: dt.datetime = NOW, shares_seeds: bool = True, **fields: Any
) -> Campaign:
    """Create and launch a campaign with `tasks` pending tasks.

    Its params may have any names: what a launch checks has tests of its own. Without shared seeds
    the task number k has the seed base seed + k, as in campaigns from before the arms.
    """
    draft = campaign(task_count=tasks, now=now, **fields)
    if not shares_seeds:
        Campaign.objects.filter(pk=draft.pk).update(shares_seeds=False)
        draft.refresh_from_db()
    with mock.patch("campaigns.lifecycle.campaigns.launch_problems", return_value={}):
        lifecycle.launch(draft, now=now)
    return draft


def work_campaign(tasks: int = 3, *, now: dt.datetime = NOW, **fields: Any) -> Campaign:
    """Create and launch a campaign whose budget is a number of steps."""
    work = {"budget_kind": BudgetKind.WORK, "work_unit": WorkUnit.STEPS, "work_amount": 100.0}
    return active_campaign(tasks, now=now, **work | fields)


def calibration_report(
    times_as_fast: float = 1.0, *, places: Iterable[int] | None = None, **changes: Any
) -> CalibrationReport:
    """Return what a machine measures that is so many times as fast as the recorded one.

    `places` are those of the measured shapes in the catalog's plan, by default all. Every value is
    the known one.
    """
    plan = plan_of("train_char_lm")
    description = read_description(catalog.script_source("train_char_lm"))
    assert description is not None
    recorded = CostModel(plan.coefficients, plan.recorded_on)
    dtype = changes.get("dtype", "float32")
    shapes = [plan.shapes[place] for place in places or range(len(plan.shapes))]
    report: Any = {
        "experiment": "train_char_lm",
        "script_sha256": catalog.script_sha256("train_char_lm"),
        "device": "cpu",
        "dtype": dtype,
        "threads": 2,
        "torch_version": "2.13.0",
        "isolation": "T1",
        "foreign_load": 0.25,
        "shapes": [
            {
                "params": dict(shape.params),
                "steps": shape.steps,
                "step_seconds": recorded.step_seconds(description, shape.params) / times_as_fast,
                "val_bpb": plan.known_values.get(dtype, 3.0),
            }
            for shape in shapes
        ],
    }
    report |= changes
    return cast(CalibrationReport, report)


def calibrate(by: Worker, *arguments: Any, now: dt.datetime = NOW, **changes: Any) -> Calibration:
    """Let the worker send a report (see `calibration_report`); return what was stored."""
    calibrations.take(by, calibration_report(*arguments, **changes), now=now)
    return by.calibrations.all()[0]


def pending_task(**fields: Any) -> Task:
    """Launch a campaign with one task; return the task."""
    return active_campaign(1, **fields).tasks.get()


def claim(by: Worker, count: int = 1, *, now: dt.datetime = NOW) -> lifecycle.Claim:
    """Claim up to `count` pending tasks in a new claim; return its answer."""
    return lifecycle.claim(by, claim_id=uuid.uuid4(), count=count, now=now)


def claim_one(by: Worker, *, now: dt.datetime = NOW) -> Attempt:
    """Claim the next pending task; return its attempt."""
    return claim(by, now=now).attempts[0]


def leased_task(by: Worker | None = None, *, now: dt.datetime = NOW, **fields: Any) -> Attempt:
    """Launch a campaign and let `by` (or a new worker) claim its task; return the attempt."""
    pending_task(now=now, **fields)
    return claim_one(by or worker(), now=now)


def metrics(task: Task, val_bpb: float = 3.0, **changes: Any) -> dict[str, Any]:
    """Return a valid result line for this task, as the training script would print it."""
    dataset: Dataset = task.campaign.dataset
    experiment = catalog.get(task.campaign.experiment)
    eval_bytes = experiment.eval_bytes_allowed(dataset.size_bytes)["full"]
    nats = val_bpb * eval_bytes / bits_per_byte(1.0, 1)
    return {
        "val_bpb": val_bpb,
        "train_loss": 2.0,
        "steps_completed": task.max_steps or 100,
        "wall_time_seconds": 9.5,
        "device_used": "cpu",
        "model_params": 100_000,
        "eval_nll_nats": nats,
        "eval_bytes": eval_bytes,
        "eval_tokens": eval_bytes,
        "dataset": dataset.name,
        "dataset_sha256": dataset.sha256,
        "tokens_trained": 409_600,
        "train_seconds": 7.5,
        "eval_seconds": 0.5,
        "setup_seconds": 1.5,
        "stop_reason": "time",
        "threads": 2,
        "dtype": "bfloat16",
        "torch_version": "2.13.0",
        "seed": task.seed,
        "peak_memory_mb": 300.0,
    } | changes


def completed(task: Task, val_bpb: float = 3.0, **changes: Any) -> Submission:
    """Return the submission of a valid result."""
    return Submission(
        outcome=Outcome.COMPLETED,
        metrics=metrics(task, val_bpb, **changes),
        exit_code=0,
        stderr_tail="done\n",
        wall_time_seconds=9.6,
        simulated=False,
        code_sha256=task.campaign.package_id,
    )


def failure(
    failure_class: FailureClass = FailureClass.SCRIPT_ERROR, message: str = "exit code 1"
) -> Submission:
    """Return the submission of a failed run."""
    return Submission(
        outcome=Outcome.FAILED,
        failure_class=failure_class,
        message=message,
        exit_code=1,
        stderr_tail="Traceback …\n",
        wall_time_seconds=1.0,
    )


def completed_task(
    val_bpb: float = 3.0, *, by: Worker | None = None, now: dt.datetime = NOW, **fields: Any
) -> Task:
    """Create a task and complete it with a result."""
    attempt = leased_task(by, now=now, **fields)
    finish(attempt, val_bpb, now=now)
    attempt.task.refresh_from_db()
    return attempt.task


def finish(
    attempt: Attempt,
    val_bpb: float = 3.0,
    *,
    now: dt.datetime | None = None,
    **changes: Any,
) -> lifecycle.Answer:
    """Submit a valid result for a running attempt, by default at the moment of its claim."""
    now = now or attempt.started_at
    body = completed(attempt.task, val_bpb, **changes)
    return lifecycle.submit(attempt.worker, attempt.lease_id, body, now=now)


def run(
    val_bpb: float | None = 3.0, *, seconds: float = 10, simulated: bool = False, **changes: Any
) -> None:
    """Let the runner claim the next task and submit its result; None means it diverged."""
    attempt = claim_one(runner(), now=at(seconds))
    if val_bpb is None:
        diverged = {"val_bpb": None, "diverged": True, "eval_nll_nats": None, "train_loss": None}
        body = completed(attempt.task, **changes)
        body["metrics"] = (body["metrics"] or {}) | diverged
    else:
        body = completed(attempt.task, val_bpb, **changes)
    body["simulated"] = simulated
    answer = lifecycle.submit(attempt.worker, attempt.lease_id, body, now=at(seconds))
    assert answer.verdict == "accepted", answer.message


def run_pending(campaign: Campaign, value: Callable[[Task], float]) -> None:
    """Run every pending task of the campaign; `value` gives the result of each."""
    for _ in range(campaign.tasks.filter(state="pending").count()):
        now = at(300 + next(_numbers))
        attempt = claim_one(runner(), now=now)
        finish(attempt, value(attempt.task), now=now)
    campaign.refresh_from_db()


def curve(attempt: Attempt, points: Iterable[Mapping[str, Any]]) -> Attempt:
    """Store a learning curve. By default, points are one second and ten steps apart."""
    ProgressPoint.objects.bulk_create(
        ProgressPoint(
            **{"attempt": attempt, "seq": n, "elapsed_seconds": n, "step": 10 * n} | dict(point)
        )
        for n, point in enumerate(points)
    )
    return attempt


def decided_race(*, now: dt.datetime = NOW, **fields: Any) -> Race:
    """Create a campaign of two arms, and let them race on three seeds to a decision."""
    campaign = active_campaign(2, now=now, **fields)
    race = lifecycle.start_race(campaign, [0, 1], seeds=3, now=now)
    for _ in range(campaign.tasks.filter(state="pending").count()):
        attempt = claim_one(runner(), now=now)
        finish(attempt, 3.0 + attempt.task.arm.number, now=now)
    race.refresh_from_db()
    return race


def failed_task(
    failure_class: FailureClass = FailureClass.SCRIPT_ERROR, *, now: dt.datetime = NOW
) -> Task:
    """Create a task that failed for good."""
    attempt = leased_task(now=now, max_failed_attempts=1)
    lifecycle.submit(attempt.worker, attempt.lease_id, failure(failure_class), now=now)
    attempt.task.refresh_from_db()
    return attempt.task


def fail(
    attempt: Attempt,
    failure_class: FailureClass = FailureClass.SCRIPT_ERROR,
    *,
    now: dt.datetime = NOW,
) -> lifecycle.Answer:
    """Submit a failed run for an attempt."""
    return lifecycle.submit(attempt.worker, attempt.lease_id, failure(failure_class), now=now)


def lost_attempt(*, now: dt.datetime = NOW, **fields: Any) -> Attempt:
    """Return an attempt whose lease expired 60 s after `now`; its task is pending again."""
    attempt = leased_task(now=now, **fields)
    lifecycle.expire(now=now + dt.timedelta(seconds=60))
    attempt.refresh_from_db()
    attempt.task.refresh_from_db()
    return attempt


def cancelled_task(*, now: dt.datetime = NOW) -> Task:
    """Create a task that was cancelled before any worker claimed it."""
    task = pending_task(now=now)
    lifecycle.cancel_task(task, now=now)
    task.refresh_from_db()
    return task
