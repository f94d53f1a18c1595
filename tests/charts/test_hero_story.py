"""campaigns.charts.hero_story: what a new best changed, pauses, and workers that come and go."""

from __future__ import annotations

import pytest

from campaigns.charts.hero_story import (
    Event,
    Session,
    brief,
    changed,
    comings_and_goings,
    pauses,
    without_worker,
)

NAMES = ["lr", "d_model", "schedule", "warmup", "depth"]
BEFORE = {"lr": 0.01, "d_model": 64, "schedule": "cosine", "warmup": False, "depth": 2}


def test_what_changed_is_named_with_levels_before_drawn_fractions() -> None:
    after = BEFORE | {"lr": 0.0042837, "d_model": 256, "warmup": True}
    assert changed(BEFORE, after, NAMES) == ["d_model 256", "warmup true", "lr 0.00428"]
    assert changed(BEFORE, BEFORE, NAMES) == []


def test_of_many_changes_three_are_named() -> None:
    after = {"lr": 0.1, "d_model": 1, "schedule": "linear", "warmup": True, "depth": 9}
    assert changed(BEFORE, after, NAMES) == ["d_model 1", "schedule linear", "warmup true"]
    assert changed({}, {"lr": 0.5}, ["lr"]) == ["lr 0.5"]


@pytest.mark.parametrize(
    ("param", "text"),
    [(0.000123456, "0.000123"), (256, "256"), ("cosine", "cosine"), (True, "true")],
    ids=str,
)
def test_params_are_written_briefly(param: object, text: str) -> None:
    assert brief(param) == text


def test_a_pause_lasts_until_the_campaign_moves_on() -> None:
    changes = [(0.0, "active"), (10.0, "paused"), (70.0, "active"), (90.0, "paused")]
    assert pauses(changes) == [Event(10.0, "paused", 60.0), Event(90.0, "paused")]
    assert pauses([(5.0, "paused"), (9.0, "completed")]) == [Event(5.0, "paused", 4.0)]
    assert pauses([]) == []


def test_workers_come_and_go_and_restarts_are_not_told() -> None:
    sessions = [
        Session("desk", -100.0, 500.0),
        # Back after ten seconds: a restart.
        Session("desk", 510.0, 2000.0),
        Session("attic", 300.0, 600.0),
        Session("attic", 900.0, None),
    ]
    assert comings_and_goings(sessions) == [
        Event(300.0, "attic joined"),
        Event(600.0, "attic gone", 300.0),
        Event(2000.0, "desk gone", None),
    ]


def test_a_worker_that_left_before_the_launch_says_nothing() -> None:
    assert comings_and_goings([Session("desk", -900.0, -300.0)]) == []


def test_spans_without_any_worker_are_those_that_no_session_covers() -> None:
    sessions = [
        Session("desk", 0.0, 500.0),
        Session("attic", 200.0, 800.0),
        Session("desk", 1000.0, 1200.0),
        # Half a minute is no span.
        Session("attic", 1230.0, None),
        Session("desk", 9000.0, 9100.0),
    ]
    assert without_worker(sessions) == [(800.0, 1000.0)]
    assert without_worker([]) == []
