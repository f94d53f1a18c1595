"""How far an invitation has come: from waiting for its machine to the end of a first task."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from django.utils.text import Truncator

from workers.models import EnrolmentToken, Worker, WorkerState
from workers.scripts import why_outdated

_MESSAGE_CHARACTERS: Final = 200  # the task's page has all of it


class Stage(StrEnum):
    """Where an invitation is; each but the last two follows the one before."""

    WAITING = "waiting"
    JOINED = "joined"
    READY = "ready"
    RUNNING = "running"
    DONE = "done"
    EXPIRED = "expired"
    GONE = "gone"


@dataclass(frozen=True)
class Progress:
    """A stage with what its page shows: the machine, its first task, and what is wrong."""

    stage: Stage
    worker: Worker | None = None
    machine: str = ""
    # An attempt of `campaigns`, which this app does not know, with task, campaign and result.
    attempt: Any = None
    value: float | None = None
    troubles: tuple[str, ...] = ()
    # Whether it may be busy with its first measurement, which precedes tasks of a work budget.
    may_measure: bool = False


def progress_of(invitation: EnrolmentToken, *, now: dt.datetime) -> Progress:
    """Return how far the invitation has come, in at most three queries."""
    worker = invitation.worker
    if worker is None:
        if invitation.used_at is not None:
            return Progress(Stage.GONE)
        return Progress(Stage.WAITING if invitation.expires_at > now else Stage.EXPIRED)
    attempts = worker.attempts.select_related("task__campaign", "result")
    attempt = attempts.order_by("started_at", "pk").first()
    stage = Stage.JOINED if worker.last_seen_at is None else Stage.READY
    if attempt is not None:
        stage = Stage.RUNNING if attempt.outcome == "running" else Stage.DONE
    troubles = tuple(_troubles(worker, attempt, now))
    result = getattr(attempt, "result", None)
    value = result.value if result is not None and result.is_ranked else None
    may_measure = stage is Stage.READY and not worker.simulates and not worker.calibrations.exists()
    return Progress(stage, worker, _machine(worker), attempt, value, troubles, may_measure)


def _machine(worker: Worker) -> str:
    """Return in a few words what the machine is, as its agent told when it joined."""
    hardware = worker.hardware
    cores = hardware.get("cpu_count")
    parts = [
        str(hardware.get("gpu_name") or ""),
        str(hardware.get("cpu_model") or ""),
        f"{cores} core{'' if cores == 1 else 's'}" if cores else "",
        f"torch {hardware['torch_version']}" if hardware.get("torch_version") else "",
    ]
    return ", ".join(part for part in parts if part)


def _troubles(worker: Worker, attempt: Any, now: dt.datetime) -> Iterator[str]:
    """Yield, in sentences, what keeps the worker from running tasks well."""
    if not worker.hardware.get("devices"):
        why = "; ".join(str(note) for note in worker.hardware.get("notes") or [])
        yield (
            "It cannot train, as PyTorch does not work there: its values are invented and never "
            f"ranked.{f' It says: {why}.' if why else ''}"
        )
    if worker.last_seen_at is not None and not worker.is_online(now):
        yield "Its agent has stopped calling: it was ended, or it has lost the network."
    if worker.state != WorkerState.ACTIVE:
        yield f"It is {worker.state}, so it gets no tasks."
    elif worker.paused_until is not None and worker.paused_until > now:
        yield f"It paused itself: {worker.pause_reason}"
    if outdated := why_outdated(worker):
        yield outdated
    if attempt is not None and attempt.outcome in {"failed", "lost"}:
        message = Truncator(attempt.message).chars(_MESSAGE_CHARACTERS)
        reasons = [attempt.get_failure_class_display(), message]
        said = ": ".join(str(part) for part in reasons if part)
        how = "failed" if attempt.outcome == "failed" else "was lost"
        yield f"Its first task {how}{f' ({said})' if said else ''}."
