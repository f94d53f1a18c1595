"""What follows from rules and facts: slots, threads, or a pause with its reason and its end."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest

from workers.agent.grants import Priority
from workers.agent.limits.decisions import (
    PATIENCE,
    Decision,
    Defaults,
    Moment,
    Past,
    decide,
    without_rules,
)
from workers.agent.limits.facts import Facts
from workers.agent.limits.hours import Window
from workers.agent.limits.rules import Rules
from workers.agent.limits.threads import STEADY_SECONDS, threads_of_free

NOON = dt.datetime(2026, 6, 1, 12, 0, tzinfo=dt.UTC)
DEFAULTS = Defaults(cores=4, memory_bytes=8 * 2**30)
NO_RULES = Rules()
PAUSED = "paused by its owner's rules"
QUIET = Facts(foreign_cores=0.1, free_cores=3.9, left_memory_bytes=6 * 2**30)


class Days:
    """Decisions one after the other, at the times that the test says."""

    def __init__(self, rules: Rules = NO_RULES, defaults: Defaults = DEFAULTS) -> None:
        self.rules, self._defaults, self._past = rules, defaults, Past()

    def at(self, seconds: float, facts: Facts = QUIET) -> Decision:
        moment = Moment(NOON + dt.timedelta(seconds=seconds), seconds, dt.UTC)
        decision, self._past = decide(self.rules, facts, self._defaults, self._past, moment)
        return decision

    def pauses(self, seconds: float, facts: Facts) -> bool:
        return self.at(seconds, facts).pause is not None


def test_without_rules_a_task_gets_the_free_cores_and_stands_back() -> None:
    decision = Days().at(0)
    assert decision == Decision(
        slots=1,
        threads=4,
        why_threads="3.9 of 4 cores are free",
        memory_bytes=8 * 2**30,
        priority=Priority.LOW,
    )


@pytest.mark.parametrize(
    ("free", "slots", "most", "threads"),
    [
        (2.0, 1, 2, 2),
        (1.6, 1, 2, 2),  # a desktop at rest
        (1.0, 1, 2, 1),  # with one busy core the second thread brings nothing
        (0.0, 1, 2, 1),
        (16.0, 3, 16, 5),
        (16.0, 1, 2, 2),
        (None, 2, 8, 4),
    ],
)
def test_threads_of_free_cores(free: float | None, slots: int, most: int, threads: int) -> None:
    assert threads_of_free(free, slots, most) == threads


def test_threads_change_only_after_the_machine_looked_different_for_minutes() -> None:
    days, busy = Days(), replace(QUIET, free_cores=1.0)
    assert days.at(0).threads == 4
    assert days.at(10, busy).threads == 4
    assert days.at(20).threads == 4  # the time begins anew
    assert days.at(30, busy).threads == 4
    assert days.at(29 + STEADY_SECONDS, busy).threads == 4
    assert days.at(30 + STEADY_SECONDS, busy).threads == 1
    assert days.at(40 + STEADY_SECONDS).threads == 1


def test_threads_wait_for_the_first_known_load() -> None:
    days = Days()
    assert days.at(0, Facts()).threads == 4
    assert days.at(1, replace(QUIET, free_cores=1.0)).threads == 1


def test_the_owner_limits_threads_at_once_and_fewer_while_there() -> None:
    days = Days(Rules(threads=3, present_threads=1, idle_minutes=5))
    here, away = replace(QUIET, idle_seconds=299.0), replace(QUIET, idle_seconds=300.0)
    assert (days.at(0, away).threads, days.at(0, away).why_threads) == (3, "the rule threads")
    assert (days.at(1, here).threads, days.at(1, here).why_threads) == (1, "you use this machine")
    assert days.at(2, here).pause is None
    assert days.at(3, away).threads == 3


@pytest.mark.parametrize(
    ("rules", "facts", "rule", "words", "until"),
    [
        (
            Rules(paused_until=(NOON + dt.timedelta(hours=2)).timestamp()),
            QUIET,
            "pause",
            f"{PAUSED}: paused by hand, until Monday 14:00",
            NOON + dt.timedelta(hours=2),
        ),
        (
            Rules(hours=(Window.parse("22:00-07:00"),)),
            QUIET,
            "hours",
            f"{PAUSED}: it works 22:00-07:00, until Monday 22:00",
            NOON + dt.timedelta(hours=10),
        ),
        (
            Rules(present_threads=0),
            replace(QUIET, idle_seconds=60.0),
            "present",
            f"{PAUSED}: you use this machine (away after 5 min), until Monday 12:04",
            NOON + dt.timedelta(minutes=4),
        ),
        (
            Rules(present_threads=0),
            Facts(is_idle_pending=True),
            "present",
            f"{PAUSED}: it looks whether you are there",
            None,
        ),
        (
            Rules(on_battery=False),
            replace(QUIET, on_battery=True),
            "battery",
            f"{PAUSED}: on battery",
            None,
        ),
        (
            Rules(on_metered=False),
            replace(QUIET, metered=True),
            "metered",
            f"{PAUSED}: on a metered network",
            None,
        ),
        (
            Rules(max_load=1.5),
            replace(QUIET, foreign_cores=1.6),
            "load",
            f"{PAUSED}: others use 1.6 cores, more than 1.5",
            None,
        ),
        (
            Rules(free_memory_mib=8192),
            QUIET,
            "free-memory",
            f"{PAUSED}: others leave 6,144 MiB of memory, less than 8192",
            None,
        ),
        (
            Rules(max_temperature=80.0),
            replace(QUIET, temperature=91.0),
            "temperature",
            f"{PAUSED}: the processor has 91 °C, more than 80",
            None,
        ),
    ],
)
def test_a_pause_says_why_and_until_when(
    rules: Rules, facts: Facts, rule: str, words: str, until: dt.datetime | None
) -> None:
    pause = Days(rules).at(0, facts).pause
    assert pause is not None
    assert (pause.rule, pause.in_words(dt.UTC), pause.until) == (rule, words, until)


def test_rules_that_are_kept_pause_nothing() -> None:
    rules = Rules(
        paused_until=NOON.timestamp(),
        hours=(Window.parse("08:00-18:00"),),
        present_threads=0,
        on_battery=False,
        on_metered=False,
        max_load=1.0,
        free_memory_mib=1024,
        max_temperature=80.0,
    )
    kept = replace(QUIET, idle_seconds=300.0, on_battery=False, metered=False, temperature=80.0)
    decision = Days(rules).at(0, kept)
    assert (decision.pause, decision.notes) == (None, ())


def test_what_the_machine_does_not_tell_pauses_nothing_and_is_said() -> None:
    rules = Rules(
        present_threads=0, on_metered=False, max_load=1.0, free_memory_mib=1, max_temperature=80.0
    )
    decision = Days(rules).at(0, Facts(idle_source="there is no desktop session here"))
    assert decision.pause is None
    assert decision.notes == (
        "whether you are there is unknown: there is no desktop session here",
        "how busy the cores are is unknown here: that rule has no effect",
        "the free memory is unknown here: that rule has no effect",
        "the temperature is unknown here: that rule has no effect",
        "whether the network is metered is unknown here: that rule has no effect",
    )


def test_a_load_that_comes_and_goes_does_not_flap() -> None:
    days, busy = Days(Rules(max_load=1.0)), replace(QUIET, foreign_cores=2.0)
    before_pause, before_work = PATIENCE["load"]
    assert not days.pauses(0, QUIET)
    for second in range(10, 210, 10):  # busy for less than the patience, again and again
        assert not days.pauses(second, busy if second % 20 else QUIET)
    assert not days.pauses(210, busy)
    assert not days.pauses(209 + before_pause, busy)
    assert days.pauses(210 + before_pause, busy)
    assert days.pauses(300, QUIET)
    pause = days.at(310).pause
    assert pause is not None
    assert pause.reason == "the rule load held until a moment ago"
    assert pause.until == NOON + dt.timedelta(seconds=300 + before_work)
    assert days.pauses(320, busy)  # the time begins anew
    assert days.pauses(330, QUIET)
    assert not days.pauses(330 + before_work, QUIET)


def test_what_hurts_the_machine_gives_a_task_back_sooner_than_the_end_of_the_hours() -> None:
    hot = Days(Rules(max_temperature=80.0)).at(0, replace(QUIET, temperature=99.0)).pause
    late = Days(Rules(hours=(Window.parse("01:00-02:00"),))).at(0).pause
    assert hot is not None
    assert late is not None
    assert hot.finish_seconds < 10 < late.finish_seconds


def test_slots_share_threads_and_memory_unless_a_rule_says_how_much() -> None:
    decision = Days(Rules(slots=2, priority=Priority.IDLE)).at(0)
    assert (decision.slots, decision.threads, decision.memory_bytes) == (2, 2, 4 * 2**30)
    assert decision.priority is Priority.IDLE
    assert Days(Rules(slots=2, memory_mib=100)).at(0).memory_bytes == 100 * 2**20


def test_rules_that_cannot_be_read_allow_nothing() -> None:
    pause = without_rules(DEFAULTS, "limits.json cannot be used: it is no JSON").pause
    assert pause is not None
    assert "cannot be used" in pause.in_words()
