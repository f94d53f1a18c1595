"""How events change the state of an agent, and which lines of the log follow from that."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest

from tests.agent.status.samples import NOW, READY, WHO, ended, running
from workers.agent.status import changes, words
from workers.agent.status.log_lines import lines
from workers.agent.status.model import (
    MAX_CURVE_POINTS,
    MAX_ENDED,
    Delivery,
    Ending,
    Fault,
    Pause,
    PausedBy,
    Phase,
    State,
    Status,
    Trouble,
)
from workers.protocol import ProgressPoint

OWNERS = Pause(PausedBy.OWNER, "", NOW, NOW + 3600)
AWAY = Trouble("claim", Fault.NETWORK, "no answer from the server", NOW)


def texts(before: Status, after: Status, level: int = logging.INFO) -> list[str]:
    return [line.text for line in lines(before, after, NOW) if line.level >= level]


def point(seq: int, value: float | None) -> ProgressPoint:
    elapsed = float(seq)
    return {"seq": seq, "elapsed_seconds": elapsed, "step": seq, "val_bpb": value}


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (Status(WHO), State.SETTING_UP),
        (READY, State.IDLE),
        (changes.measuring(READY, "measures its speed"), State.MEASURING),
        (changes.troubled(READY, AWAY), State.TROUBLE),
        (changes.paused(changes.troubled(READY, AWAY), OWNERS), State.PAUSED),
        # A running task is finished in a pause, and while the server is away.
        (changes.paused(changes.started(READY, running()), OWNERS), State.WORKING),
        (changes.troubled(changes.started(READY, running()), AWAY), State.WORKING),
        (changes.draining(changes.started(READY, running()), "it ends"), State.DRAINING),
        (changes.stopped(changes.draining(READY, "it ends"), 4, ""), State.STOPPED),
    ],
)
def test_the_state_is_the_first_that_holds(status: Status, state: State) -> None:
    assert status.state is state
    assert words.headline(status, NOW)


def test_a_task_goes_from_its_claim_to_the_servers_answer() -> None:
    fresh = running(phase=Phase.PREPARING, trained_since=None, value=None)
    claimed = changes.started(READY, fresh)
    trains = changes.entered(claimed, fresh.lease_id, Phase.TRAINING, NOW)
    reported = changes.progressed(trains, fresh.lease_id, point(5, 3.5))
    over = changes.ended(reported, ended())
    said = "counts for arm 4, seed s2 of campaign 3"
    answer = ended(delivery=Delivery.ANSWERED, verdict="accepted", said=said)
    answered = changes.answered(over, ended(), answer)

    assert reported.tasks[0].trained_since == NOW
    assert (reported.tasks[0].step, reported.tasks[0].curve) == (5, ((5.0, 3.5),))
    assert (over.tasks, over.totals.ended, over.totals.accepted) == ((), 1, 0)
    assert (answered.totals.accepted, answered.ended) == (1, (answer,))
    # Two lines a task: one when it runs, and one when the server has answered.
    assert texts(READY, claimed) == texts(trains, reported) == texts(reported, over) == []
    assert texts(claimed, trains) == [
        'task 3/17 runs: "LR schedule", 1 m, n_layers 4, lr 0.003, seed 7'
    ]
    assert texts(over, answered) == [f"task 3/17 ended: val_bpb 2.4252 in 1 m; {said}"]
    # The same answer again counts once.
    assert changes.answered(answered, answer, answer).totals.accepted == 1


def test_a_result_that_waits_is_told_once_and_its_delivery_later() -> None:
    over = changes.ended(changes.started(READY, running()), ended())
    waits = changes.answered(over, ended(), ended(delivery=Delivery.WAITING))
    there = ended(delivery=Delivery.ANSWERED, verdict="accepted", said="thanks")
    answered = changes.answered(waits, ended(delivery=Delivery.WAITING), there)
    assert texts(over, waits) == [
        "task 3/17 ended: val_bpb 2.4252 in 1 m; its result waits to be sent"
    ]
    assert texts(waits, answered) == ["task 3/17 its result is there: thanks"]


def test_a_failure_says_whose_fault_it_is_and_is_counted_by_its_class() -> None:
    task = ended(
        ending=Ending.FAILED,
        value=None,
        failure_class="oom",
        fault=words.fault_of("oom"),
        message="killed for using too much memory",
    )
    over = changes.ended(READY, task)
    told = changes.answered(over, task, replace(task, delivery=Delivery.ANSWERED, verdict="retry"))
    (line,) = texts(over, told, logging.WARNING)
    assert line == (
        "task 3/17 ended: failed in 1 m, killed for using too much memory "
        "(the script's fault, not yours); retry"
    )
    assert words.totals_text(told.totals, 0) == (
        "1 task: 0 accepted · 1 failed (the script ran out of memory, not you)"
    )


@pytest.mark.parametrize(
    ("failure_class", "fault"),
    [
        ("script_error", Fault.SCRIPT),
        ("env_error", Fault.MACHINE),
        ("refused", Fault.OWNER),
        ("too_slow", Fault.NOBODY),
        ("timeout", Fault.NOBODY),
        ("lost", Fault.NETWORK),
        ("a class of a newer version", Fault.NOBODY),
    ],
)
def test_each_class_of_failure_has_somebody_at_fault(failure_class: str, fault: Fault) -> None:
    assert words.fault_of(failure_class) is fault
    assert words.failure_words(failure_class)


def test_pauses_of_several_go_on_until_the_last_ends() -> None:
    both = changes.paused(
        changes.paused(READY, OWNERS), Pause(PausedBy.SERVER, "it set this worker to disabled", NOW)
    )
    assert [pause.by for pause in both.pauses] == [PausedBy.SERVER, PausedBy.OWNER]
    left = changes.resumed(both, PausedBy.SERVER)
    assert (left.state, left.pauses) == (State.PAUSED, (OWNERS,))
    assert (
        f"paused by you until {words.clock(NOW + 3600, NOW)}" in words.headline(left, NOW).lower()
    )
    assert texts(left, changes.resumed(left, PausedBy.OWNER)) == ["claiming goes on"]


def test_a_trouble_is_logged_when_it_begins_changes_and_ends() -> None:
    begun = changes.troubled(READY, AWAY)
    again = changes.troubled(begun, replace(AWAY, since=NOW + 5))
    other = changes.troubled(again, replace(AWAY, text="HTTP 502", fault=Fault.SERVER))
    over = changes.mended(other, "claim")
    assert again.troubles[0].since == NOW  # the same trouble keeps its age
    assert texts(READY, begun) == ["no answer from the server (the network's trouble)."]
    assert texts(begun, again) == []
    assert texts(again, other) == ["HTTP 502 (the server's trouble)."]
    assert (over.troubles, texts(other, over)) == ((), ["the server answers again"])


def test_what_is_kept_of_a_long_run_is_bounded() -> None:
    status = changes.started(READY, running())
    for seq in range(500):
        status = changes.progressed(status, "a" * 32, point(seq, 3.0))
    assert len(status.tasks[0].curve) <= MAX_CURVE_POINTS
    for number in range(3 * MAX_ENDED):
        status = changes.ended(status, ended(f"lease-{number}", message="x" * 10_000))
    assert len(status.ended) == MAX_ENDED
    assert status.totals.ended == 3 * MAX_ENDED
    assert max(len(task.message) for task in status.ended) <= 500


def test_params_that_cannot_be_shown_are_left_out() -> None:
    hostile: dict[str, Any] = {
        "list": [1],
        "inf": float("inf"),
        "huge": 10**5000,
        "text": "x" * 999,
    }
    (task,) = changes.started(READY, running(params=hostile)).tasks
    assert list(task.params) == ["text"]
    assert len(words.params_text(task)) < 200


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (41, "41 s"),
        (72, "1 m 12 s"),
        (120, "2 m"),
        (3600, "1 h"),
        (11520, "3 h 12 m"),
    ],
)
def test_a_duration_has_its_two_largest_units(seconds: float, text: str) -> None:
    assert words.span(seconds) == text


def test_a_long_reason_is_short_on_the_faces_and_once_in_the_log() -> None:
    why = "This worker is paused for {} s more: " + "data set tinyshakespeare is not here; " * 9
    first = changes.idle(READY, why.format(61), None)
    assert len(words.headline(first, NOW)) < 180
    assert words.headline(first, NOW).startswith("This worker is paused for 61 s more: data set")
    assert len(texts(READY, first)) == 1
    paused = changes.paused(READY, Pause(PausedBy.AGENT, why, NOW, NOW + 60))
    assert len(words.headline(paused, NOW)) < 210
    second = changes.idle(first, why.format(59), None)
    assert texts(first, second) == []  # only its seconds went by
    assert len(texts(second, changes.idle(second, "nothing to do", None))) == 1
