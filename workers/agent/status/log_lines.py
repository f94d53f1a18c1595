"""The log's lines: what changed between two states of the agent. Pure.

A task has two lines, one when its script starts and one when the server has answered its result.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from typing import NamedTuple

from workers.agent.status import words
from workers.agent.status.model import (
    Delivery,
    EndedTask,
    Ending,
    Pause,
    PausedBy,
    Phase,
    SetUpStep,
    Status,
)


class Line(NamedTuple):
    """A line of the log, with logging's level."""

    level: int
    text: str


def lines(before: Status, after: Status, now: float) -> Iterator[Line]:
    """Yield what the log says of a change."""
    yield from _of_work(before, after)
    yield from _of_tasks(before, after)
    yield from _of_pauses(before, after, now)
    yield from _of_troubles(before, after)
    if after.draining and after.draining != before.draining:
        yield Line(logging.INFO, f"no new tasks: {after.draining}")
    # What ended a start is printed by the program itself.
    if after.stopped and before.exit_code is None and not before.setting_up:
        yield Line(logging.ERROR if after.exit_code else logging.INFO, after.stopped)


def _of_work(before: Status, after: Status) -> Iterator[Line]:
    if after.setting_up and after.setting_up != before.setting_up:
        yield Line(logging.DEBUG, after.setting_up)
    setup, former = after.torch_setup, before.torch_setup
    if setup is not None and (former is None or setup.sentence != former.sentence):
        level = logging.WARNING if setup.step is SetUpStep.FAILED else logging.INFO
        yield Line(level, words.setup_line(setup))
    if after.identity.cold_because != before.identity.cold_because:
        text = words.cold_text(after.identity) or "tasks start warm again"
        yield Line(logging.INFO, text)
    if after.measuring and after.measuring != before.measuring:
        yield Line(logging.INFO, after.measuring)
    if after.measured and after.measured != before.measured:
        yield Line(logging.INFO, after.measured)
    if after.idle_reason and _without_numbers(after) != _without_numbers(before):
        yield Line(logging.INFO, f"idle: {after.idle_reason}")


def _without_numbers(status: Status) -> str:
    """Return why there is nothing to do, the same while only its seconds go by."""
    return re.sub(r"[0-9]+", "", status.idle_reason)


def _of_tasks(before: Status, after: Status) -> Iterator[Line]:
    for task in after.tasks:
        former = before.task(task.lease_id)
        if former is not None and former.phase is task.phase:
            continue
        level = logging.INFO if task.phase in {Phase.FETCHING, Phase.TRAINING} else logging.DEBUG
        text = words.started_text(task) if task.phase is Phase.TRAINING else str(task.phase)
        yield Line(level, f"{words.label(task)} {text}")
    known = {task.lease_id: task for task in before.ended}
    for end in after.ended:
        former_end = known.get(end.lease_id)
        if former_end != end and (level := _level(former_end, end)):
            text = words.ended_text(end)
            if former_end is not None and former_end.delivery is Delivery.WAITING:
                text = f"its result is there: {words.delivered(end)}"
            yield Line(level, f"{words.label(end)} {text}")


def _level(former: EndedTask | None, task: EndedTask) -> int:
    """Return at which level the log tells of an ended task; 0 for not at all."""
    if task.delivery is Delivery.SENDING:
        return 0  # the line comes with the server's answer
    if task.ending is Ending.FAILED or task.delivery is Delivery.SET_ASIDE:
        return logging.WARNING
    return logging.INFO if former is None or former.delivery is not task.delivery else 0


def _of_pauses(before: Status, after: Status, now: float) -> Iterator[Line]:
    for pause in after.pauses:
        if pause != before.pause_by(pause.by):
            yield Line(logging.WARNING, _pause_line(pause, now))
    for pause in before.pauses:
        if after.pause_by(pause.by) is None:
            yield Line(logging.INFO, "claiming goes on" if not after.pauses else "a pause ended")


def _pause_line(pause: Pause, now: float) -> str:
    if pause.by is PausedBy.AGENT and pause.until is not None:
        return f"claiming paused for {pause.until - pause.since:.0f} s: {pause.reason}"
    return words.pause_text(pause, now)


def _of_troubles(before: Status, after: Status) -> Iterator[Line]:
    former = {trouble.source: trouble for trouble in before.troubles}
    for trouble in after.troubles:
        known = former.pop(trouble.source, None)
        if known is None or known.text != trouble.text:
            yield Line(logging.WARNING, words.trouble_text(trouble))
    if after.exit_code is None:
        for trouble in former.values():
            yield Line(logging.INFO, words.mended_text(trouble))
