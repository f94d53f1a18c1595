"""campaigns.standings.forecast by itself: what a question's numbers foretell."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest

from campaigns.sharing.order import Batch
from campaigns.sharing.turns import Claimant
from campaigns.standings.forecast import BEHIND, Forecast, Question, Run, forecasts
from campaigns.standings.machines import Machine
from campaigns.standings.pace import Pace, Share
from campaigns.standings.turns import Busy, turns
from tests.factories import NOW

MACHINE = Machine(
    pk=1,
    slots=1,
    last_seen_at=NOW,
    is_online=True,
    paused_until=None,
    simulates=False,
    tier="T0",
    accepts_uploaded_scripts=False,
)
QUESTION = Question(
    waiting=10,
    running=(),
    pace=Pace({1: Share(100.0, 10)}, span_seconds=50.0, last_end=NOW),
    able=[MACHINE],
    online=1,
    budget_seconds=60.0,
)


def told(**changes: Any) -> Forecast:
    return forecasts({7: replace(QUESTION, **changes)}, {}, now=NOW)[7]


def test_tasks_take_what_the_last_ones_took() -> None:
    assert told().eta_seconds == pytest.approx(100)
    assert told(running=[Run(4.0, 1)]).eta_seconds == pytest.approx(106)
    assert told(able=[replace(MACHINE, slots=20)]).eta_seconds == pytest.approx(10)


def test_a_few_that_crashed_at_once_do_not_promise_that_all_do() -> None:
    crashed = Pace({1: Share(3.0, 3)})
    assert told(pace=crashed, waiting=100).eta_seconds == pytest.approx(100)
    known = told(pace=crashed, waiting=100, running=[Run(30.0, 1), Run(30.0, 1)])
    assert known.eta_seconds is not None
    assert known.eta_seconds > 500


def test_a_run_that_takes_longer_than_the_mean_is_not_over_at_once() -> None:
    known = told(waiting=0, running=[Run(25.0, 1)], pace=Pace({1: Share(100.0, 10)}))
    assert known.eta_seconds is not None
    assert 0.5 < known.eta_seconds < 6


def test_nothing_known_of_a_budget_means_no_time() -> None:
    known = told(pace=Pace(), budget_seconds=None)
    assert (known.eta_seconds, known.is_guess) == (None, False)
    assert known.why_not == "time left is known after the first task"


def test_a_machine_that_measures_first_is_counted_when_it_has() -> None:
    first: dict[str, Any] = {"pace": Pace(), "measuring": frozenset({1})}
    assert told(**first).why_not == "its worker measures its speed first, one to five minutes"
    assert not told(**first).is_stopped
    both = told(**first, able=[MACHINE, replace(MACHINE, pk=2)])
    assert (both.slots, both.eta_seconds) == (1, pytest.approx(600))
    # One that runs tasks all the same cannot measure.
    assert told(**first, running=[Run(3.0, 1)]).slots == 1
    assert told(measuring=frozenset({1})).eta_seconds == pytest.approx(100)


def test_what_cannot_be_foretold_of_others_is_no_time_behind_them() -> None:
    unknown = replace(QUESTION, pace=Pace(), budget_seconds=None)
    questions = {1: unknown, 2: QUESTION}
    one, other = forecasts(questions, {}, now=NOW).values()
    assert (one.why_not, other.why_not) == ("time left is known after the first task", BEHIND)
    assert not other.is_stopped
    # The other has had more than this one will have.
    claimants = {1: Claimant(1, None, None, account=1e6, weight=1.0, seconds=60.0)}
    first = forecasts(questions, claimants, now=NOW)[2]
    assert first.eta_seconds == pytest.approx(100)
    # What nobody can run holds up nobody.
    for held in ({"state": "waits"}, {"able": []}):
        questions = {1: replace(unknown, **held), 2: QUESTION}
        assert forecasts(questions, {}, now=NOW)[2].eta_seconds == pytest.approx(100)


def test_slots_take_the_next_task_that_their_machine_may_run() -> None:
    # Machine 2 may not run campaign 1; campaign 3 is for machine 1 alone.
    seconds = {1: {1: 10.0}, 2: {1: 10.0, 2: 10.0}, 3: {1: 20.0}}
    queue = [Batch(1, 4), Batch(2, 6), Batch(3, 1), Batch(2, 2)]
    known = turns(queue, {1: 1, 2: 1}, seconds, [Busy(1, 5.0), Busy(9, 500.0)])
    assert {campaign: turn.ends for campaign, turn in known.items()} == {
        1: pytest.approx(45),  # from second 5 on
        2: pytest.approx(72.5),  # 4.5 of six by machine 2 until then, the rest by both
        3: pytest.approx(72.5),
    }
    assert [known[campaign].ahead for campaign in (1, 2, 3)] == [0, 5, 10]
    assert known[1].share == 1.0
    assert known[3].share == pytest.approx(20 / (40 + 60 + 20))


def test_a_machine_that_its_owner_pauses_takes_no_task() -> None:
    night = NOW + dt.timedelta(hours=10)
    paused = replace(MACHINE, owner_pauses=True, owner_pauses_until=night)
    known = told(able=[paused])
    assert (known.why_not, known.is_stopped, known.machines) == (
        "its worker is paused by its owner until 22:00 UTC",
        True,
        0,
    )
    assert told(able=[paused, replace(MACHINE, pk=2)]).eta_seconds == pytest.approx(100)


def test_nothing_open_needs_no_words() -> None:
    ended = told(waiting=0, state="completed")
    assert (ended.words(NOW), ended.eta_seconds) == ("", None)
    assert ended.tasks_per_hour == pytest.approx(10 / 50 * 3600)


def test_the_clock_says_the_day_where_it_is_another_one() -> None:
    assert told().words(NOW) == "ends 12:01 UTC"
    assert told(waiting=9_000).words(NOW) == "ends Tue 13:00 UTC"
    assert told(waiting=90_000).words(NOW) == "ends 2026-01-15 22:00 UTC"
    east = dt.timezone(dt.timedelta(hours=9))
    assert told().words(NOW, zone=east) == "ends 21:01"
