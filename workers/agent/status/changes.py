"""How each event changes the status. Pure: a status goes in, a status comes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from workers.agent.plain_text import short
from workers.agent.status.model import (
    MAX_CURVE_POINTS,
    MAX_ENDED,
    MAX_PARAMS,
    MAX_TEXT_CHARACTERS,
    Delivery,
    EndedTask,
    Ending,
    Identity,
    Pause,
    PausedBy,
    Phase,
    RunningTask,
    Scalar,
    SetUp,
    Status,
    Trouble,
)
from workers.protocol import MAX_COUNTER, ProgressPoint, Verdict, is_number

_ORDER: Final = {by: place for place, by in enumerate(PausedBy)}
_MAX_PARAM_CHARACTERS: Final = 80
_FAILED: Final = frozenset({Ending.FAILED})
_RETURNED: Final = frozenset({Ending.GIVEN_BACK, Ending.CANCELLED, Ending.LOST})


def identified(status: Status, identity: Identity) -> Status:
    """Say which agent it is, with which settings."""
    return replace(status, identity=identity)


def setting_up(status: Status, step: str) -> Status:
    """Name the step of the set-up; "" ends it."""
    return replace(status, setting_up=_text(step))


def torch_setup(status: Status, progress: SetUp | None) -> Status:
    """Note how far the set-up of torch is."""
    if progress is not None:
        progress = replace(progress, sentence=_text(progress.sentence))
    return replace(status, torch_setup=progress)


def measuring(status: Status, step: str) -> Status:
    """Name the step of the measurement of its speed; "" ends it."""
    return replace(status, measuring=_text(step))


def measured(status: Status, words: str) -> Status:
    """Say how the measurement of its speed ended."""
    return replace(status, measuring="", measured=_text(words))


def idle(status: Status, reason: str, until: float | None = None) -> Status:
    """Say why there is nothing to do, and when the agent asks again."""
    return replace(status, idle_reason=_text(reason), idle_until=until)


def started(status: Status, task: RunningTask) -> Status:
    """Add a claimed task."""
    others = tuple(other for other in status.tasks if other.lease_id != task.lease_id)
    bounded = replace(task, campaign=_text(task.campaign), params=_few(task.params))
    return replace(status, tasks=(*others, bounded))


def entered(status: Status, lease_id: str, phase: Phase, now: float) -> Status:
    """Note how far a task has come. Its budget counts from the beginning of its training."""

    def next_phase(task: RunningTask) -> RunningTask:
        since = now if phase is Phase.TRAINING else task.trained_since
        return replace(task, phase=phase, trained_since=since)

    return _with_task(status, lease_id, next_phase)


def progressed(status: Status, lease_id: str, point: ProgressPoint) -> Status:
    """Note a progress point: its step, its loss, and its value where it has one."""

    def with_point(task: RunningTask) -> RunningTask:
        number: Any = point.get(task.metric.name)
        value = task.value if number is None else float(number)
        curve = task.curve
        if number is not None:
            curve = _thinned((*curve, (float(point["elapsed_seconds"]), float(number))))
        loss = point.get("train_loss")
        return replace(
            task,
            step=point["step"],
            train_loss=task.train_loss if loss is None else float(loss),
            value=value,
            curve=curve,
        )

    return _with_task(status, lease_id, with_point)


def ended(status: Status, task: EndedTask) -> Status:
    """Move a task from the running ones to the ended ones, and count it."""
    task = replace(task, campaign=_text(task.campaign), message=_text(task.message))
    totals = status.totals
    failures = dict(totals.failures)
    if task.ending in _FAILED:
        failures[task.failure_class] = failures.get(task.failure_class, 0) + 1
    totals = replace(
        totals,
        ended=totals.ended + 1,
        failed=totals.failed + (task.ending in _FAILED),
        given_back=totals.given_back + (task.ending in _RETURNED),
        seconds=totals.seconds + (task.seconds or 0.0),
        failures=failures,
    )
    running = tuple(other for other in status.tasks if other.lease_id != task.lease_id)
    newest = (*status.ended, task)[-MAX_ENDED:]
    return replace(status, tasks=running, ended=newest, totals=totals)


def answered(status: Status, former: EndedTask | None, changed: EndedTask) -> Status:
    """Note how the delivery of a result went on. ``former`` is the entry before, if it is known.

    A result of a former start is added to the ended tasks, but not to the totals of this start,
    unless the server accepted it now.
    """
    changed = replace(changed, said=_text(changed.said))
    is_new = former is None or former.delivery is not Delivery.ANSWERED
    accepted = changed.delivery is Delivery.ANSWERED and changed.verdict == Verdict.ACCEPTED
    totals = status.totals
    if is_new and accepted:
        totals = replace(totals, accepted=totals.accepted + 1)
    known = any(task.lease_id == changed.lease_id for task in status.ended)
    if known:
        tasks = tuple(
            changed if task.lease_id == changed.lease_id else task for task in status.ended
        )
    else:
        tasks = (*status.ended, changed)[-MAX_ENDED:]
    return replace(status, ended=tasks, totals=totals)


def waiting(status: Status, count: int) -> Status:
    """Note how many results wait for delivery."""
    return replace(status, to_send=count)


def paused(status: Status, pause: Pause) -> Status:
    """Begin a pause in the place of an earlier one by the same."""
    others = [other for other in status.pauses if other.by is not pause.by]
    pause = replace(pause, reason=_text(pause.reason))
    pauses = sorted([*others, pause], key=lambda each: _ORDER[each.by])
    return replace(status, pauses=tuple(pauses))


def resumed(status: Status, by: PausedBy) -> Status:
    """End the pause by ``by``."""
    return replace(status, pauses=tuple(pause for pause in status.pauses if pause.by is not by))


def troubled(status: Status, trouble: Trouble) -> Status:
    """Note trouble in the place of an earlier one from the same source, which keeps its age."""
    trouble = replace(trouble, text=_text(trouble.text), advice=_text(trouble.advice))
    others = []
    for other in status.troubles:
        if other.source != trouble.source:
            others.append(other)
        elif other.text == trouble.text:
            trouble = replace(trouble, since=other.since)
    return replace(status, troubles=(*others, trouble))


def mended(status: Status, source: str) -> Status:
    """End the trouble of ``source``."""
    rest = tuple(trouble for trouble in status.troubles if trouble.source != source)
    return status if rest == status.troubles else replace(status, troubles=rest)


def draining(status: Status, how: str) -> Status:
    """Say that no task is claimed any more, and what happens with those that run."""
    return replace(status, draining=_text(how))


def stopped(status: Status, exit_code: int, words: str) -> Status:
    """Say that the agent has ended."""
    return replace(status, exit_code=exit_code, stopped=_text(words), setting_up="", measuring="")


def _with_task(
    status: Status, lease_id: str, change: Callable[[RunningTask], RunningTask]
) -> Status:
    tasks = tuple(change(task) if task.lease_id == lease_id else task for task in status.tasks)
    return replace(status, tasks=tasks)


def _thinned(curve: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
    """Return the curve with at most `MAX_CURVE_POINTS`: of too many, every second one goes."""
    if len(curve) <= MAX_CURVE_POINTS:
        return curve
    return (*curve[:-1:2], curve[-1])


def _few(params: Mapping[str, Any]) -> dict[str, Scalar]:
    """Return the params that can be shown: few, short, and no lists or objects."""
    kept: dict[str, Scalar] = {}
    for name, value in params.items():
        if len(kept) == MAX_PARAMS:
            break
        if isinstance(value, str):
            value = short(value, _MAX_PARAM_CHARACTERS)
        elif value is not None and not isinstance(value, bool) and not is_number(value):
            continue  # a list, an object, or what JSON cannot hold
        elif isinstance(value, int) and abs(value) > MAX_COUNTER:
            continue  # Python refuses to write whole numbers of thousands of digits
        kept[short(name, _MAX_PARAM_CHARACTERS)] = value
    return kept


def _text(words: str) -> str:
    return short(words, MAX_TEXT_CHARACTERS)
