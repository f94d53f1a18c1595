"""campaigns.race.strips: what of a race is drawn, and that it never contradicts its decisions."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from campaigns.race.look import Decision, seen_from
from campaigns.race.rows import Floor, Run
from campaigns.race.rule import Race, cancel, decide_next, run_race
from campaigns.race.strip_words import (
    compared_with,
    look_title,
    next_look,
    standing_of_strip,
    what_starts_a_race,
)
from campaigns.race.strips import Awaited, Kind, Left, awaited, strips_of

INF = math.inf
SURE = Floor(0.02, 100)
SEEDS = tuple(range(1, 13))


def race(arms: int = 3, *, floor: Floor = SURE, seeds: tuple[int, ...] = SEEDS) -> Race:
    return Race(tuple(range(arms)), seeds, floor)


def runs_of(value: Callable[[int, int], float | None], arms: int, seeds: range) -> list[Run]:
    return [Run(arm, seed, value(arm, seed)) for arm in range(arms) for seed in seeds]


def gap(arm: int, seed: int) -> float:
    """Arm 1 is nearly as good as arm 0, the others are far behind."""
    return 2.0 + (0.0, 0.001, 0.5, 0.6, 0.7)[arm] + 0.01 * (seed % 3)


def test_the_leader_comes_first_and_the_others_are_less_its_value_on_each_seed() -> None:
    decisions, runs = run_race(race(), lambda arm, seed: Run(arm, seed, gap(arm, seed)))
    strips = strips_of(race(), decisions, runs)
    assert (strips.reference, strips.is_decided, strips.ends) == (0, True, (3, 6, 12))
    leader, near, far = strips.strips
    assert [strip.arm for strip in strips.strips] == [0, 1, 2]
    assert {d.difference for d in leader.differences} == {0.0}
    assert [d.look for d in near.differences] == [1] * 3 + [2] * 3 + [3] * 6
    assert [d.difference for d in near.differences] == pytest.approx([0.001] * 12)
    assert (far.left_as, far.left_at, far.left_behind) == (Left.BEHIND, 1, 0)
    assert [d.seed_index for d in far.differences] == [1, 2, 3]
    assert (near.left_as, near.left_at) == (None, None)


def test_before_the_first_look_differences_are_to_the_arm_that_was_named_first() -> None:
    begun = [Run(0, 1, 2.0), Run(1, 1, 2.5), Run(2, 1, None), Run(0, 2, 2.0)]
    strips = strips_of(race(), [], begun)
    assert (strips.reference, strips.is_decided) == (0, False)
    kinds = [[d.kind for d in strip.differences] for strip in strips.strips]
    assert kinds[1] == [Kind.VALUE, Kind.WAITING, Kind.WAITING]
    assert kinds[2] == [Kind.MISSING, Kind.WAITING, Kind.WAITING]
    assert "no look has decided yet who leads" in compared_with(strips)


@pytest.mark.parametrize(
    ("own", "leaders", "kind"),
    [
        (2.5, 2.0, Kind.VALUE),
        (INF, 2.0, Kind.INFEASIBLE),
        (2.5, INF, Kind.REFERENCE_INFEASIBLE),
        (INF, INF, Kind.BOTH_INFEASIBLE),
        (None, 2.0, Kind.MISSING),
        (2.5, None, Kind.MISSING),
        (None, INF, Kind.MISSING),
    ],
)
def test_what_a_pair_of_runs_says(own: float | None, leaders: float | None, kind: Kind) -> None:
    ended = [Run(0, 1, leaders), Run(1, 1, own)]
    first = strips_of(race(2), [], ended).of_arm(1).differences[0]
    assert first.kind is kind
    assert (first.difference == 0.5) is (kind is Kind.VALUE)


def test_a_difference_that_the_scale_counts_only_up_to_a_limit_is_marked() -> None:
    # One seed of arm 1 is 0.9 off, far beyond 3 · √2 · σ from the median.
    def value(arm: int, seed: int) -> float:
        return gap(arm, seed) + (0.9 if (arm, seed) == (1, 2) else 0.0)

    decision = decide_next(race(2), [], runs_of(value, 2, range(1, 4)))
    assert decision is not None
    strips = strips_of(race(2), [decision], runs_of(value, 2, range(1, 4)))
    (rival,) = [strip for strip in strips.strips if strip.arm != strips.reference]
    assert [d.kind for d in rival.differences[:3]] == [Kind.VALUE, Kind.CLIPPED, Kind.VALUE]
    assert abs(rival.differences[1].difference or 0.0) > 0.8


def test_a_decided_look_is_drawn_from_what_it_saw_whatever_the_rows_say_now() -> None:
    seen = runs_of(gap, 3, range(1, 4))
    decision = decide_next(race(), [], seen)
    assert decision is not None
    changed = runs_of(lambda arm, seed: 9.0 + arm, 3, range(1, 4))
    assert strips_of(race(), [decision], changed) == strips_of(race(), [decision], seen)


def test_of_an_arm_that_left_no_later_run_is_drawn() -> None:
    # A later race may run on seeds that this one had, too.
    decision = decide_next(race(), [], runs_of(gap, 3, range(1, 4)))
    assert decision is not None
    later = strips_of(race(), [decision], runs_of(gap, 3, range(1, 13)))
    assert len(later.of_arm(2).differences) == 3
    assert len(later.of_arm(1).differences) == 6


def test_a_champion_declared_early_waits_for_its_last_seeds_and_then_for_nothing() -> None:
    two = race(2)
    far = runs_of(lambda arm, seed: 2.0 + arm, 2, range(1, 4))
    decision = decide_next(two, [], far)
    assert decision is not None
    waits = awaited(two, [decision], far)
    assert waits is not None
    assert (waits.look, waits.wanted, waits.ended, len(waits.open)) == (None, 12, 3, 9)
    leader = strips_of(two, [decision], far).strips[0]
    assert [d.kind for d in leader.differences[3:]] == [Kind.WAITING] * 9
    rest = [Run(0, seed, 2.0) for seed in range(4, 13)]
    assert awaited(two, [decision], [*far, *rest]) is None


def test_a_running_race_waits_for_the_open_runs_of_its_next_look() -> None:
    waits = awaited(race(), [], [Run(0, 1, 2.0), Run(1, 1, None)])
    assert waits is not None
    assert (waits.look, waits.wanted, waits.ended) == (1, 9, 2)
    assert (0, 1) not in waits.open
    assert (2, 3) in waits.open


def test_what_a_cancelled_race_never_ran_is_missing_and_its_end_compares_nothing() -> None:
    ended = [Run(arm, 1, gap(arm, 1)) for arm in range(3)]
    decision = cancel(race(), [], ended)
    assert decision is not None
    strips = strips_of(race(), [decision], ended)
    assert [d.kind for d in strips.of_arm(1).differences] == [
        Kind.VALUE,
        Kind.MISSING,
        Kind.MISSING,
    ]
    assert all(strip.looks == () for strip in strips.strips)
    assert awaited(race(), [decision], ended) is None


values = st.one_of(
    st.floats(1.0, 5.0, allow_nan=False).map(lambda value: round(value, 4)),
    st.sampled_from([INF, None]),
)


# Each draw runs a part of a race, which takes its time on a busy machine.
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.data(), st.integers(2, 5))
def test_any_race_is_drawn_as_its_looks_decided(data: st.DataObject, arms: int) -> None:
    rule = race(arms, floor=data.draw(st.sampled_from([SURE, Floor()])))
    decisions, runs = run_race(rule, lambda arm, seed: Run(arm, seed, data.draw(values)))
    strips = strips_of(rule, decisions, runs)
    assert sorted(strip.arm for strip in strips.strips) == list(rule.arms)
    led = [decision for decision in decisions if decision.leader is not None]
    for decision in led:
        assert decision.leader is not None
        assert seen_from(decision, decision.leader) == decision.rivals
    for strip in strips.strips:
        if led:
            last = led[-1]
            rivals = {rival.arm: rival for rival in last.rivals}
            drawn = dict(strip.looks).get(last.look)
            assert drawn == rivals.get(strip.arm)
            assert (strip.left_as is Left.BEHIND) == (strip.arm in decisions[-1].behind)
            assert (strip.left_as is Left.DROPPED) == (strip.arm in decisions[-1].dropped)
            assert (strip.left_as is Left.INFEASIBLE) == (strip.arm in decisions[-1].infeasible)
        for number, rival in strip.looks:
            finite = [
                d.difference
                for d in strip.differences
                if d.look <= number and d.kind not in {Kind.MISSING, Kind.WAITING}
            ]
            assert len(finite) == rival.n
        for d in strip.differences:
            assert (d.difference is not None) == (d.kind in {Kind.VALUE, Kind.CLIPPED})


# --- Words ----------------------------------------------------------------------------------------


def decided(arms: int = 5) -> tuple[list[Decision], list[Run]]:
    return run_race(race(arms), lambda arm, seed: Run(arm, seed, gap(arm, seed)))


def test_the_words_say_when_and_why_an_arm_left() -> None:
    decisions, runs = decided()
    strips = strips_of(race(5), decisions, runs)
    words = {strip.arm: standing_of_strip(strip, strips, "tie") for strip in strips.strips}
    assert words[0] == "first in the tie"
    assert words[1] == "not told apart"
    assert words[2] == "proven behind arm 0 at look 1"


def test_an_arm_that_was_dropped_for_number_was_not_beaten() -> None:
    decisions, runs = run_race(race(5), lambda arm, seed: Run(arm, seed, 2 + arm / 1e4 + seed))
    strips = strips_of(race(5), decisions[:1], runs)
    (left,) = [strip for strip in strips.strips if strip.left_as is Left.DROPPED]
    assert standing_of_strip(left, strips, "") == "dropped for number at look 1, not beaten"


def test_an_earlier_look_that_another_arm_led_is_named() -> None:
    def value(arm: int, seed: int) -> float:
        return 2.0 + (0.002 if (arm == 0) == (seed > 3) else 0.0) + seed / 100

    decisions, runs = run_race(race(2), lambda arm, seed: Run(arm, seed, value(arm, seed)))
    assert [decision.leader for decision in decisions][:1] != [decisions[-1].leader]
    sentence = compared_with(strips_of(race(2), decisions, runs))
    led = f"look 1 by the differences to arm {decisions[0].leader}"
    assert f"Another arm led before, so decided {led}" in sentence


def test_the_next_look_says_what_it_waits_for_and_when() -> None:
    waits = Awaited(2, 12, 5, frozenset((0, seed) for seed in range(7)))
    head = "Look 2 comes when its last run has ended: 5 of 12 runs are in, 2 run now, 5 wait."
    assert next_look(waits, running=2, is_paused=False, hindrance="", eta="4 m") == (
        f"{head} At the present rate that is in about 4 m."
    )
    assert "is paused" in next_look(waits, running=2, is_paused=True, hindrance="", eta="4 m")
    silent = next_look(
        waits, running=0, is_paused=False, hindrance="no worker is online", eta="4 m"
    )
    assert silent.endswith("Nothing can run: no worker is online.")
    rest = next_look(
        Awaited(None, 12, 3, waits.open), running=7, is_paused=False, hindrance="", eta=None
    )
    assert rest.startswith("The race is decided; the champion runs on all its seeds: 3 of 12")


def test_a_median_beyond_its_bound_is_proven_and_no_other() -> None:
    assert look_title(1, 3, "+0.0300", "0.0200", is_behind=True).endswith("proven behind")
    assert look_title(1, 3, "+0.0100", "0.0200", is_behind=False).endswith("not told apart")
    assert "noise is unknown" in look_title(1, 3, "+0.0100", None, is_behind=False)
    assert "too few" in look_title(1, 3, None, None, is_behind=False)


@pytest.mark.parametrize(
    ("situation", "words"),
    [
        ({"is_over": True}, "has ended without one"),
        ({"is_automatic": False}, "None begins by itself"),
        ({"kept": 9}, "9 runs are kept for it"),
        ({"tasks": 12}, "this one has 12"),
        ({"measured": 1}, "two arms have a value"),
        ({}, "with the best by first seeds"),
    ],
)
def test_what_starts_the_first_race(situation: dict[str, int], words: str) -> None:
    usual = {
        "is_automatic": True,
        "is_over": False,
        "kept": 0,
        "open_tasks": 3,
        "tasks": 40,
        "measured": 30,
    }
    assert words in what_starts_a_race(**(usual | situation))  # type: ignore[arg-type]
