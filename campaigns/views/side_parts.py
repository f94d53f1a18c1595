"""What the side panel shows of an arm or a task: everything that may change while it is open."""

from __future__ import annotations

import datetime as dt
import statistics
from collections.abc import Iterable, Sequence
from typing import Any, Final

from django.utils.safestring import SafeString

from campaigns.analysis.curves import load_progress
from campaigns.analysis.sampled_curves import Points, points_of, sampled_curves
from campaigns.charts.curve_bundle import SeedDot, curve_drawing, seeds_drawing
from campaigns.models import Arm, Attempt, Campaign, Result, Task, TaskPurpose, TaskState
from campaigns.race.words import STANDING_WORDS, value_standing
from campaigns.standings.arm_place import ArmPlace, place_of

# An arm may have hundreds of seeds; the page of one of its tasks lists more.
MOST_SEEDS: Final = 60
MOST_ATTEMPTS: Final = 12
# So many curves of its own an arm draws: the newest.
_OWN_CURVES: Final = 6
_CURVE_POINTS: Final = 120


def arm_parts(campaign: Campaign, arm: Arm, *, now: dt.datetime) -> dict[str, Any]:
    """Return the part of the panel of an arm that refreshes."""
    tasks = _tasks_of(arm)
    attempts = list(_attempts(task__arm=arm))
    place = place_of(campaign, arm)
    return {
        "place": place,
        "worth": worth_of(campaign, place),
        "why": STANDING_WORDS[place.row.standing] if place.row else "",
        "state": _state_of(tasks),
        "tasks": tasks[:MOST_SEEDS],
        "more_tasks": max(0, len(tasks) - MOST_SEEDS),
        "seeds": _seeds(campaign, tasks, place),
        "curve": _curve(campaign, arm, [attempt for attempt in attempts if _is_drawn(attempt)]),
        "facts": _facts(_results(tasks)),
        "attempts": attempts,
        "now": now,
    }


def task_parts(campaign: Campaign, task: Task, *, now: dt.datetime) -> dict[str, Any]:
    """Return the part of the panel of a task that refreshes."""
    tasks = _tasks_of(task.arm)
    attempts = list(_attempts(task=task))
    result = getattr(task, "result", None)
    place = place_of(campaign, task.arm)
    return {
        "place": place,
        "worth": worth_of(campaign, place),
        "why": STANDING_WORDS[place.row.standing] if place.row else "",
        "task": task,
        "state": task.state,
        "result": result,
        "tasks": tasks[:MOST_SEEDS],
        "more_tasks": max(0, len(tasks) - MOST_SEEDS),
        "seeds": _seeds(campaign, tasks, place, own=task),
        "curve": _curve(campaign, task.arm, attempts),
        "facts": _facts([result] if result else []),
        "attempts": attempts,
        "now": now,
    }


def is_running(subject: Arm | Task) -> bool:
    """Return whether a run of it is at work, whose curve grows without a new revision."""
    if isinstance(subject, Task):
        return bool(subject.state == TaskState.LEASED)
    return subject.tasks.filter(state=TaskState.LEASED).exists()


def _tasks_of(arm: Arm) -> list[Task]:
    """Return the tasks of an arm in the order of its seeds, with their results."""
    tasks = arm.tasks.select_related("result__result_class__band")
    return list(tasks.defer("params", "result__metrics").order_by("number"))


def _attempts(**of: Any) -> Iterable[Attempt]:
    attempts = Attempt.objects.filter(**of).select_related("worker", "task").order_by("-pk")
    return attempts.defer("submission", "answer", "task__params")[:MOST_ATTEMPTS]


def _is_drawn(attempt: Attempt) -> bool:
    return bool(attempt.outcome in {"completed", "running", "diverged"})


def _results(tasks: Iterable[Task]) -> list[Result]:
    return [task.result for task in tasks if hasattr(task, "result")]


def _state_of(tasks: Sequence[Task]) -> str:
    """Return the state that describes an arm: what runs or waits before what has ended."""
    states = {task.state for task in tasks}
    order = (TaskState.LEASED, TaskState.PENDING, TaskState.COMPLETED, TaskState.FAILED)
    return next((state for state in order if state in states), TaskState.CANCELLED)


def worth_of(campaign: Campaign, place: ArmPlace) -> str:
    """Return in a few words what the arm's value is worth; "" without one."""
    row, spec = place.row, campaign.metric_spec
    if row is None:
        return ""
    half_width = None if row.half_width is None else spec.text(row.half_width)
    return value_standing(row.standing, half_width, row.seeds)


def _seeds(
    campaign: Campaign, tasks: Sequence[Task], place: ArmPlace, *, own: Task | None = None
) -> SafeString:
    spec = campaign.metric_spec
    dots = [
        SeedDot(
            task.result.value,
            f"{spec.text(task.result.value)}, task {task.number}, seed {task.seed}",
            is_own=own is not None and task.pk == own.pk,
            is_screening=task.purpose == TaskPurpose.SCREEN,
        )
        for task in tasks
        if hasattr(task, "result") and task.result.is_ranked and task.result.value is not None
    ]
    row = place.row
    raced = row is not None and row.seeds > 0
    return seeds_drawing(
        dots,
        middle=row.value if row is not None and raced else None,
        half_width=row.half_width if row is not None else None,
        label=f"{len(dots)} values of this arm on one line; the list below has them",
    )


def _curve(campaign: Campaign, arm: Arm, attempts: Sequence[Attempt]) -> SafeString:
    """Draw the newest attempts of the arm or task over a sample of the other arms' curves."""
    spec = campaign.metric_spec
    drawn = list(attempts[:_OWN_CURVES])
    load_progress(drawn, limit=_OWN_CURVES * _CURVE_POINTS)
    own = [points_of(list(attempt.progress.all()), spec) for attempt in drawn]
    others = [points for key, points in sampled_curves(campaign).items() if key != arm.pk]
    kind = "values" if any(points.values for points in own) else "losses"
    words = {"values": "validation", "losses": "training loss"}[kind]
    return curve_drawing(
        _lines(own, kind),
        _lines(others, kind),
        spec,
        label=f"Learning curve ({words}) of this one over those of others, which are grey",
    )


def _lines(curves: Iterable[Points], kind: str) -> list[list[tuple[float, float]]]:
    return [getattr(points, kind) for points in curves]


def _facts(results: Sequence[Result]) -> dict[str, Any]:
    """Return what the runs had in common: class, devices, steps and duration."""
    if not results:
        return {}
    steps = [result.steps_completed for result in results]
    classes = {str(result.result_class): None for result in results if result.result_class}
    return {
        "classes": list(classes),
        "devices": sorted({result.device_used for result in results}),
        "fewest_steps": min(steps),
        "most_steps": max(steps),
        "seconds": statistics.median(result.wall_time_seconds for result in results),
        "model_params": results[0].model_params,
        "runs": len(results),
    }
