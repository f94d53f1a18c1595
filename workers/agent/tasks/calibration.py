"""Measures how fast this machine trains: fixed steps of the catalog's script, between two tasks.

The server asks for it in the reply to a claim. It is done as soon as nothing else of this agent
runs, like a task: the same script, tier, threads and environment. Nothing is lost with it: a stop
ends it at once, and after a failure the agent works on and tries again an hour later.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Iterable
from typing import Any, Final

import stamina

from experiments import catalog, english_like_corpus
from experiments.calibration import (
    CALIBRATION_DATASET,
    CALIBRATION_GUARD_SECONDS,
    CALIBRATION_SEED,
    CalibrationPlan,
    CalibrationShape,
)
from workers.agent.attempt import Attempt, StopReason
from workers.agent.connection.client import Abandoned, Client, ServerError, ServerUnavailable
from workers.agent.grants import Grant
from workers.agent.status.board import StatusBoard
from workers.agent.status.model import Fault
from workers.agent.tasks.datasets import cached_dataset, store_generated
from workers.agent.tasks.runner import Runner
from workers.calibration import (
    CalibrationOrder,
    CalibrationReply,
    CalibrationReport,
    MeasuredShape,
)
from workers.protocol import DatasetReference, IsolationTier, Lease, Outcome, Submission, is_number

RETRY_SECONDS: Final = 3600.0  # after a calibration that failed
MOST_WAIT_SECONDS: Final = 600.0  # for this agent's other tasks to end
# The first step of a run is slower than the others; so many tell their time.
_FEWEST_STEPS: Final = 3
_KILL_GRACE_SECONDS: Final = 5.0
_STOP_SECONDS: Final = 10.0
_SENDING_SECONDS: Final = 60.0

log = logging.getLogger("xeenet.calibration")


class CalibrationFailed(Exception):
    """The machine's speed was not measured; the message says why."""


class Calibrator:
    """Takes the server's order, waits until the agent is idle, measures and sends.

    The main loop calls it; the measuring itself has a thread of its own. Into ``stuck_tags`` it
    puts the tag of a run whose processes could not be killed.
    """

    def __init__(
        self,
        client: Client,
        runner: Runner,
        isolation: IsolationTier,
        *,
        is_able: bool,
        stuck_tags: set[str],
        board: StatusBoard | None = None,
    ) -> None:
        self._board = board or StatusBoard()
        self._is_able = is_able
        self._client = client
        self._runner = runner
        self._isolation = isolation
        self._stuck_tags = stuck_tags
        self._order: CalibrationOrder | None = None
        self._retry_at = 0.0
        self._thread: threading.Thread | None = None
        self._attempt: Attempt | None = None
        self._is_stopped = False

    def take(self, order: CalibrationOrder | None, *, running: Iterable[Attempt]) -> None:
        """Note what the reply to a claim asks for; None for nothing.

        A server asks until it is answered, so an order that cannot be carried out soon, because of
        the ``running`` tasks, is left for a later reply.
        """
        self._order = None
        if order is None or not self.offers:
            return
        if not _is_here(order):
            self._is_able = False
            self._board.trouble(
                "measuring",
                Fault.OWNER,
                f"the server asks for the speed of another version of {order['experiment']}",
                "Update the older side, worker or server.",
            )
        elif all(_longest_seconds(attempt.lease) <= MOST_WAIT_SECONDS for attempt in running):
            self._order = order

    @property
    def offers(self) -> bool:
        """Whether claims say that this agent can measure now.

        The server keeps one that can waiting for work until it has measured. Within an hour of a
        failure the agent works unmeasured instead.
        """
        return self._is_able and time.monotonic() >= self._retry_at

    @property
    def keeps_from_claiming(self) -> bool:
        """Whether the agent must claim nothing now: it measures, or is about to."""
        return self._order is not None or self._is_measuring

    @property
    def _is_measuring(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def step(self, *, is_active: bool, is_idle: bool) -> None:
        """Begin with the order when the agent is idle; end everything when it must not work."""
        if not is_active:
            self.stop()
        elif self._order is not None and is_idle and not self._is_measuring:
            order, self._order, self._is_stopped = self._order, None, False
            self._thread = threading.Thread(
                target=self._work, args=(order,), name="calibration", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """End a calibration under way at once, and forget the order."""
        self._order, self._is_stopped = None, True
        attempt = self._attempt
        if attempt is not None:
            attempt.stop.request(StopReason.DRAIN)
        if self._thread is not None:
            self._thread.join(_STOP_SECONDS)

    def _work(self, order: CalibrationOrder) -> None:
        """Measure and send. The body of the thread."""
        try:
            self._board.measured(f"speed measured: {self._sent(self._measured(order))}")
        except (CalibrationFailed, ServerError, OSError) as problem:
            self._note_failure(str(problem))
        except Exception as error:  # a bug must not end the agent's work on tasks
            log.exception("the speed could not be measured")
            self._note_failure(f"{type(error).__name__}: {error}")

    def _note_failure(self, reason: str) -> None:
        if self._is_stopped:
            words = "the measurement of the speed was stopped; it is made again later"
        else:
            self._retry_at = time.monotonic() + RETRY_SECONDS
            words = f"its speed was not measured, the next try is in an hour: {reason}"
        self._board.measured(words)

    def _measured(self, order: CalibrationOrder) -> CalibrationReport:
        """Run the shapes one after the other. Raises CalibrationFailed, OSError."""
        plan = _plan_of(order["experiment"])
        shapes = [plan.shapes[at] for at in plan.repeated] if order["repeated"] else plan.shapes
        self._board.measuring(f"measures its speed with {len(shapes)} short runs")
        dataset = _dataset()
        if cached_dataset(self._runner.data_folder, dataset) is None:
            store_generated(self._runner.data_folder, dataset, english_like_corpus.generate())
        grant = self._runner.grant()  # the same for all shapes: they make one speed
        submissions = []
        for number, shape in enumerate(shapes, start=1):
            self._board.measuring(f"measures its speed, shape {number} of {len(shapes)}")
            submissions.append(self._run(order, shape, dataset, grant, f"shape {number}"))
        metrics = [submission["metrics"] or {} for submission in submissions]
        return {
            "experiment": order["experiment"],
            "script_sha256": order["script_sha256"],
            "device": str(metrics[-1]["device_used"])[:50],
            "dtype": str(metrics[-1].get("dtype", ""))[:50],
            "threads": _whole(metrics[-1].get("threads")),
            "torch_version": str(metrics[-1].get("torch_version", ""))[:50],
            "isolation": self._isolation,
            "foreign_load": _mean_load(submissions),
            "shapes": [_shape_report(*pair) for pair in zip(shapes, metrics, strict=True)],
        }

    def _run(
        self,
        order: CalibrationOrder,
        shape: CalibrationShape,
        dataset: DatasetReference,
        grant: Grant,
        what: str,
    ) -> Submission:
        """Run one shape like a task; return its submission. Raises CalibrationFailed."""
        attempt = Attempt(_lease(order, shape, dataset), label=f"speed, {what}")
        attempt.grant = grant
        self._attempt = attempt
        if self._is_stopped:  # set before the stop could reach this attempt
            raise CalibrationFailed("stopped")
        outcome = self._runner.run(attempt)
        if outcome.stuck_tag:
            self._stuck_tags.add(outcome.stuck_tag)
        if outcome.submission is None:
            raise CalibrationFailed(f"{what}: {outcome.release_reason or 'stopped'}")
        if problem := problem_of(outcome.submission, shape):
            raise CalibrationFailed(f"{what}: {problem}")
        return outcome.submission

    def _sent(self, report: CalibrationReport) -> str:
        """Send the report; return the server's sentence. Raises ServerError."""

        @stamina.retry(on=_is_away, attempts=6, timeout=_SENDING_SECONDS)
        def send() -> CalibrationReply:
            return self._client.calibrate(report, gives_up=lambda: self._is_stopped)

        return send()["message"]


def _is_here(order: CalibrationOrder) -> bool:
    """Return whether this installation has the script that is to be measured, and its shapes."""
    try:
        has_plan = catalog.get(order["experiment"]).calibration is not None
        return has_plan and catalog.script_sha256(order["experiment"]) == order["script_sha256"]
    except (catalog.UnknownExperiment, OSError):
        return False


def _longest_seconds(lease: Lease) -> float:
    return lease["time_budget_seconds"] + lease["kill_grace_seconds"]


def _plan_of(experiment: str) -> CalibrationPlan:
    plan = catalog.get(experiment).calibration
    if plan is None:
        raise CalibrationFailed(f"{experiment} has no shapes to measure")
    return plan


def _dataset() -> DatasetReference:
    info = catalog.get_dataset(CALIBRATION_DATASET)
    return {"name": info.name, "sha256": info.sha256, "size_bytes": info.size_bytes}


def _lease(order: CalibrationOrder, shape: CalibrationShape, dataset: DatasetReference) -> Lease:
    """Return the run of a shape in the form in which the runner takes tasks."""
    guard = CALIBRATION_GUARD_SECONDS
    return {
        "lease_id": f"calibration-{uuid.uuid4().hex}",
        "task_id": 0,
        "task_number": 0,
        "campaign_id": 0,
        "campaign_name": "",
        "code_package_ref": order["experiment"],
        "code_sha256": order["script_sha256"],
        "dataset": dataset,
        "config": {**shape.params, "seed": CALIBRATION_SEED, "max_steps": shape.steps},
        "time_budget_seconds": guard,
        "kill_grace_seconds": _KILL_GRACE_SECONDS,
        "lease_seconds": guard,
        "deadline_seconds": 10 * guard,
    }


def problem_of(submission: Submission, shape: CalibrationShape) -> str:
    """Return why a run tells no speed; "" when it does."""
    metrics = submission.get("metrics")
    if submission["outcome"] != Outcome.COMPLETED or metrics is None:
        return submission.get("message", "it failed")
    if metrics["steps_completed"] < min(_FEWEST_STEPS, shape.steps):
        return (
            f"{metrics['steps_completed']} of {shape.steps} steps in "
            f"{CALIBRATION_GUARD_SECONDS:g} s: this machine is too slow, or too busy"
        )
    is_whole = metrics["steps_completed"] == shape.steps
    if is_whole and metrics["val_bpb"] is None and metrics.get("diverged") is not True:
        # The server takes all steps without a value for a loss that diverged.
        return "no time was left to evaluate: this machine is too slow, or too busy"
    seconds: Any = metrics.get("train_seconds")
    if not is_number(seconds) or seconds <= 0:
        return "the script did not report its training time"
    return ""


def _shape_report(shape: CalibrationShape, metrics: dict[str, Any]) -> MeasuredShape:
    """Return what the run took: on a slow or busy machine fewer steps than the shape has."""
    steps = metrics["steps_completed"]
    return {
        "params": dict(shape.params),
        "steps": steps,
        "step_seconds": round(metrics["train_seconds"] / steps, 6),
        "val_bpb": metrics["val_bpb"],
    }


def _mean_load(submissions: list[Submission]) -> float | None:
    """Return the foreign load over all runs by their length; None when it is unknown for one."""
    foreign_seconds = seconds = 0.0
    for submission in submissions:
        load, length = submission.get("foreign_load"), submission.get("wall_time_seconds")
        if load is None or not length:
            return None
        foreign_seconds += load * length
        seconds += length
    return round(foreign_seconds / seconds, 2)


def _whole(value: object) -> int | None:
    return value if type(value) is int and value > 0 else None


def _is_away(error: Exception) -> bool:
    return isinstance(error, ServerUnavailable) and not isinstance(error, Abandoned)
