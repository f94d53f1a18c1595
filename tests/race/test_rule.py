"""campaigns.race.rule: who races, with how many runs, when a look is due, when a race is over."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from campaigns.race.look import Outcome
from campaigns.race.rows import Floor, Run
from campaigns.race.rule import (
    Race,
    automatic_race,
    cancel,
    challenger_race,
    contenders,
    decide_next,
    is_over,
    looks_at,
    most_rounds,
    picked_race,
    reserve_of,
    run_race,
    wanted_runs,
)
from tests.race.sights import SURE

SEEDS = tuple(range(1, 13))


def constant(gaps: dict[int, float]) -> Callable[[int, int], Run]:
    """Runs of arms that differ by the same on every seed; seeds shift all of them."""
    return lambda arm, seed: Run(arm, seed, 2.0 + seed / 64 + gaps[arm])


def screened(*values: float | None) -> dict[int, float | None]:
    """Screening values of the arms, from arm 1 on."""
    return dict(enumerate(values, start=1))


# --- Who races ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tasks", "reserve"),
    [(10, 0), (29, 0), (30, 9), (33, 9), (34, 10), (100, 30), (159, 47), (160, 48), (10_000, 48)],
)
def test_the_reserve_is_three_tenths_of_the_tasks_and_48_at_most(tasks: int, reserve: int) -> None:
    assert reserve_of(tasks) == reserve


def test_the_best_three_race_and_those_near_the_best() -> None:
    # 3 · √2 · .02 = .08485
    far = screened(2.0, 2.5, 2.6, 2.7, 2.8)
    near = screened(2.0, 2.01, 2.02, 2.03, 2.084, 2.086, 2.0849)

    assert contenders(far, Floor(0.02, 12)) == (1, 2, 3)
    assert contenders(near, Floor(0.02, 12)) == (1, 2, 3, 4, 5)
    # Without a floor the best eight.
    assert contenders(screened(*(float(n) for n in range(20, 0, -1))), Floor()) == tuple(
        range(20, 12, -1)
    )
    assert contenders(screened(*[2.0] * 20), Floor(0.02, 12)) == tuple(range(1, 9))


def test_a_floor_of_nothing_does_not_keep_near_arms_out() -> None:
    # 3 · √2 · .002 = .00849
    values = screened(2.0, 2.001, 2.002, 2.008, 2.009)

    assert contenders(values, Floor(0.0, 100)) == (1, 2, 3, 4)


def test_arms_without_a_screening_value_do_not_race() -> None:
    assert contenders(screened(None, 2.0, math.inf, 1.0), Floor()) == (4, 2)


@pytest.mark.parametrize(
    ("tasks", "count"), [(29, None), (30, 3), (40, 4), (80, 8), (100, 8), (1000, 8)]
)
def test_a_third_of_the_reserve_is_the_most_that_race(tasks: int, count: int | None) -> None:
    race = automatic_race(tasks, screened(*[2.0] * 20), Floor())

    assert (len(race.arms) if race else None) == count
    if race:
        assert race.seeds == SEEDS
        assert race.runs_allowed == reserve_of(tasks)


def test_one_arm_alone_does_not_race() -> None:
    assert automatic_race(100, screened(2.0, None, math.inf), Floor()) is None


def test_the_screening_seed_cannot_race() -> None:
    with pytest.raises(ValueError, match="screening seed proves nothing"):
        Race((1, 2), tuple(range(12)))


@pytest.mark.parametrize(
    ("arms", "seeds", "runs", "words"),
    [
        ((1,), SEEDS, None, "two different arms"),
        ((1, 2, 1), SEEDS, None, "two different arms"),
        ((1, 2), (1, 2), None, "three different seeds"),
        ((1, 2), (1, 2, 2, 3), None, "three different seeds"),
        ((1, 2, 3), SEEDS, 8, "8 runs cannot fill the first look"),
    ],
)
def test_a_race_that_could_not_run_is_refused(
    arms: tuple[int, ...], seeds: tuple[int, ...], runs: int | None, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        Race(arms, seeds, runs_allowed=runs)


def test_the_screening_value_is_no_evidence() -> None:
    # Arm 2 was lucky in screening; on the race's seeds the arms are equal.
    race = automatic_race(100, screened(2.0, 1.0), SURE)
    assert race is not None
    runs = [Run(1, 0, 2.0), Run(2, 0, 1.0)]
    runs += [Run(arm, seed, 2.0) for arm in (1, 2) for seed in (1, 2, 3)]

    decision = decide_next(race, [], runs)

    assert decision is not None
    assert decision.sight.seeds == (1, 2, 3)
    assert decision.rival is not None
    assert (decision.rival.n, decision.rival.estimate) == (3, 0.0)


def test_picked_arms_race_on_seeds_that_none_has_run() -> None:
    race = picked_race((4, 7), highest_seed=12, seeds=6)

    assert race.seeds == (13, 14, 15, 16, 17, 18)
    assert race.looks == (3, 6)


def test_added_arms_race_with_the_champion_when_they_are_contenders() -> None:
    floor = Floor(0.02, 12)
    values = screened(2.0, 2.01, 2.02, 2.03, 2.5)

    new = challenger_race(1, [4, 5], 100, values, floor, highest_seed=12)

    assert new is not None
    assert new.arms == (1, 4)
    assert new.seeds == tuple(range(13, 25))
    assert (new.floor, new.runs_allowed) == (floor, 30)
    assert challenger_race(1, [5], 100, values, floor, highest_seed=12) is None
    # The reserve of 30 tasks fills a first look of three arms: the champion and two more.
    best_added = screened(2.0, 2.01, 1.9, 1.8, 1.7)
    small = challenger_race(1, [3, 4, 5], 30, best_added, SURE, highest_seed=12)
    assert small is not None
    assert small.arms == (1, 5, 4)


def test_without_a_champion_the_added_arms_race_alone() -> None:
    values = screened(2.0, 2.01, 2.02)

    race = challenger_race(None, [2, 3], 100, values, SURE, highest_seed=12)

    assert race is not None
    assert race.arms == (2, 3)
    assert challenger_race(None, [3], 100, values, SURE, highest_seed=12) is None


def test_an_automatic_race_leaves_out_the_seeds_that_arms_have_run() -> None:
    race = automatic_race(100, screened(2.0, 1.0), SURE, highest_seed=3)

    assert race is not None
    assert race.seeds == tuple(range(4, 16))


# --- Looks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seeds", "looks"),
    [
        (12, (3, 6, 12)),
        (21, (6, 11, 21)),
        (82, (21, 41, 82)),
        (10, (3, 5, 10)),
        (7, (4, 7)),
        (4, (4,)),
        (3, (3,)),
    ],
)
def test_a_race_looks_after_a_quarter_half_and_all_of_its_seeds(
    seeds: int, looks: tuple[int, ...]
) -> None:
    assert looks_at(seeds) == looks


def test_a_look_is_decided_when_its_last_run_has_ended() -> None:
    race = Race((1, 2), SEEDS, SURE)
    runs = [constant({1: 0.0, 2: 0.01})(arm, seed) for arm, seed in wanted_runs(race, [])]

    assert [(run.arm, run.seed_index) for run in runs] == [
        (arm, seed) for arm in (1, 2) for seed in (1, 2, 3)
    ]
    assert decide_next(race, [], runs[:-1]) is None
    assert decide_next(race, [], runs, is_paused=True) is None
    assert decide_next(race, [], runs) is not None
    # A run that ended without a value is not waited for.
    assert decide_next(race, [], [*runs[:-1], Run(2, 3, None)]) is not None


def test_the_order_of_the_rows_does_not_matter() -> None:
    race = Race((1, 2), SEEDS, SURE)
    runs = [constant({1: 0.0, 2: 0.01})(arm, seed) for arm, seed in wanted_runs(race, [])]

    assert decide_next(race, [], runs) == decide_next(race, [], reversed(runs))


def test_arms_that_left_the_race_run_no_more() -> None:
    gaps = {1: 0.0, 2: 0.003, 3: 0.006, 4: 0.009, 5: 0.012, 6: 0.5}
    race = Race(tuple(gaps), SEEDS, SURE, min_effect=0.0)

    decisions, runs = run_race(race, constant(gaps))

    assert [decision.sight.arms for decision in decisions] == [
        (1, 2, 3, 4, 5, 6),
        (1, 2, 3, 4),
        (1, 2),
    ]
    assert decisions[-1].outcome is Outcome.TIE
    assert decisions[-1].group == (1, 2, 5, 3, 4)
    assert decisions[-1].behind == (6,)
    assert len(runs) == 6 * 3 + 4 * 3 + 2 * 6
    assert is_over(decisions)
    assert wanted_runs(race, decisions) == ()
    assert decide_next(race, decisions, runs) is None


def test_an_early_champion_runs_the_rest_of_its_seeds() -> None:
    race = Race((1, 2, 3), SEEDS, SURE, 48)

    decisions, runs = run_race(race, constant({1: 0.5, 2: 0.0, 3: 0.5}))

    assert [decision.outcome for decision in decisions] == [Outcome.CHAMPION]
    assert wanted_runs(race, decisions) == tuple((2, seed) for seed in SEEDS)
    assert len(runs) == 9 + 9


@pytest.mark.parametrize(
    ("runs_allowed", "looks", "outcome"),
    [(9, 1, Outcome.TIE), (17, 1, Outcome.TIE), (18, 2, Outcome.TIE), (30, 3, Outcome.TIE)],
)
def test_a_race_ends_as_a_tie_where_its_runs_end(
    runs_allowed: int, looks: int, outcome: Outcome
) -> None:
    race = Race((1, 2, 3), SEEDS, SURE, runs_allowed, min_effect=0.0)

    decisions, runs = run_race(race, constant({1: 0.0, 2: 0.003, 3: 0.006}))

    assert len(decisions) == looks
    assert decisions[-1].outcome is outcome
    assert len(runs) <= runs_allowed


def test_the_largest_reserve_fills_a_race_of_eight() -> None:
    race = automatic_race(160, screened(*[2.0] * 8), SURE, min_effect=0.0)
    assert race is not None

    decisions, runs = run_race(race, constant(dict.fromkeys(range(1, 9), 0.0)))

    assert (len(decisions), len(runs)) == (3, 48)


def scattered(arm: int, seed: int) -> Run:
    """Runs of two arms that agree on the first three seeds and scatter on the later ones."""
    return Run(arm, seed, 2.0 + arm / 1024 + (0.02 * (seed * arm % 5 - 2) if seed > 3 else 0.0))


@pytest.mark.parametrize(("floor", "stays"), [(SURE, True), (Floor(), False)])
def test_the_noise_of_the_first_look_stays_when_a_floor_is_there(floor: Floor, stays: bool) -> None:
    race = Race((1, 2), SEEDS, floor, min_effect=0.0)

    decisions, _ = run_race(race, scattered)

    assert len(decisions) > 1
    assert (decisions[1].spread == decisions[0].spread) is stays


def test_a_cancelled_campaign_ends_its_race_once() -> None:
    race = Race((1, 2), SEEDS, SURE)

    decision = cancel(race, [], [Run(1, 1, 2.0), Run(9, 1, 2.0)])

    assert decision is not None
    assert decision.outcome is Outcome.CANCELLED
    assert (decision.look, decision.leader, decision.group) == (1, None, ())
    assert decision.sight.runs == (Run(1, 1, 2.0),)
    assert is_over([decision])
    assert cancel(race, [decision], []) is None
    assert wanted_runs(race, [decision]) == ()


@pytest.mark.parametrize(
    ("arms", "seeds", "runs"), [(5, 12, 39), (2, 12, 24), (2, 3, 6), (3, 3, 9), (8, 12, 48)]
)
def test_a_race_takes_at_most_so_many_runs(arms: int, seeds: int, runs: int) -> None:
    assert most_rounds(arms, seeds, 1) == runs
    alike = picked_race(tuple(range(arms)), highest_seed=0, seeds=seeds, min_effect=0.0)
    _, made = run_race(alike, lambda arm, seed: Run(arm, seed, 1.0 + (arm * 7 + seed * 5) % 3))
    assert len(made) <= runs
