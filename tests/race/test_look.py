"""campaigns.race.look: champion, tie group, who goes on, and what missing or failed runs do."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from campaigns.race.look import Decision, Outcome, decide
from campaigns.race.rows import Floor, Run, Sight
from tests.race.sights import SURE, Table, shifted, sight

INF = math.inf
LEADER = [2.0, 2.125, 2.25]
LEADER_6 = [2.0, 2.125, 2.25, 2.0625, 2.1875, 2.3125]


def by_gaps(*gaps: float, leader: list[float] = LEADER, **fields: Any) -> Decision:
    """A look at arm 1 and, from arm 2 on, arms that are behind it by these gaps on every seed."""
    table: dict[int, list[float]] = {1: leader}
    table |= {arm: shifted(leader, gap) for arm, gap in enumerate(gaps, start=2)}
    return decide(sight(table, **fields))


# --- Champion -------------------------------------------------------------------------------------


def test_a_median_exactly_at_the_bound_is_not_ahead() -> None:
    zeros = [0.0, 0.0, 0.0]
    rival = by_gaps(1.0, leader=zeros).rival
    assert rival is not None
    assert rival.bound is not None
    at_the_bound = by_gaps(rival.bound, leader=zeros)
    above = by_gaps(math.nextafter(rival.bound, 1.0), leader=zeros)

    assert at_the_bound.rival is not None
    assert at_the_bound.rival.estimate == at_the_bound.rival.bound == rival.bound
    assert at_the_bound.outcome is Outcome.GO_ON
    assert above.outcome is Outcome.CHAMPION


@pytest.mark.parametrize("gaps", [(0.02, 0.5), (0.5, 0.02), (0.5, 0.02, 0.5)])
def test_a_leader_is_champion_only_when_every_rival_is_behind(gaps: tuple[float, ...]) -> None:
    near = 2 + gaps.index(0.02)

    decision = by_gaps(*gaps)

    assert decision.outcome is Outcome.GO_ON
    assert decision.rival is not None
    assert decision.rival.arm == near
    assert decision.group == decision.arms == (1, near)
    assert set(decision.behind) == set(range(2, 2 + len(gaps))) - {near}
    assert by_gaps(*(0.5 for _ in gaps)).outcome is Outcome.CHAMPION


def test_the_bound_has_the_t_of_pocock_and_the_price_of_the_median() -> None:
    # s = 0, ν = 0.6 · 2 · 1 = 1.2, σ = √(40 · .0004 / 41.2) = .0197066, scale √2·σ = .0278693.
    # t: 41.2 degrees of freedom exceed 2.0757 with probability .0221; 1.6827 is the t of .05.
    rival = by_gaps(1.0).rival

    assert rival is not None
    assert rival.bound == pytest.approx(2.0757 * 1.25 * 0.0278693 / math.sqrt(3), rel=1e-4)


def test_a_smaller_sigma_than_0_002_counts_as_0_002() -> None:
    # Bit-equal seeds: no residual at all, and a floor of nothing. √2 · .002 = .0028284.
    rival = by_gaps(0.001, floor=Floor(0.0, 100)).rival

    assert rival is not None
    assert rival.scale == pytest.approx(0.0028284, rel=1e-4)
    assert by_gaps(0.001, floor=Floor(0.0, 100), min_effect=0.0).outcome is Outcome.GO_ON
    assert by_gaps(0.001, floor=Floor(0.0, 100), min_sigma=1e-4).outcome is Outcome.CHAMPION


def test_a_wider_scatter_of_the_differences_widens_the_bound() -> None:
    calm = decide(sight({1: [0.0, 0.0, 0.0], 2: [0.05, 0.05, 0.05]}))
    wild = decide(sight({1: [0.0, 0.0, 0.0], 2: [0.05, 0.0, 0.1]}))

    assert calm.outcome is Outcome.CHAMPION
    assert wild.outcome is Outcome.GO_ON
    assert wild.rival is not None
    # The s.d. of .05, 0 and .1, which is above √2 · .02.
    assert wild.rival.scale == pytest.approx(0.05)


# --- The leader -----------------------------------------------------------------------------------


def test_the_leader_has_the_largest_sum_of_medians_and_a_rival_may_be_ahead_of_it() -> None:
    # Less arm 1: arm 2 -.004 -.004 .03, arm 3 .03 -.05 .031. Arm 3 less arm 2: .034 -.046 .001.
    # Sums: -.004 + .03, .004 + .001, -.03 - .001.
    decision = decide(sight({1: [2.0, 2.0, 2.0], 2: [1.996, 1.996, 2.03], 3: [2.03, 1.95, 2.031]}))

    assert decision.leader == 1
    assert decision.rival is not None
    assert (decision.rival.arm, decision.rival.estimate) == (2, pytest.approx(-0.004))


@pytest.mark.parametrize(
    ("table", "leader"),
    [
        # The differences are .125 0 -.125. Medians .25 and .125.
        ({1: [0.0, 0.375, 0.25], 2: [0.125, 0.375, 0.125]}, 2),
        # The same with medians that are equal, too.
        ({4: [0.0, 0.25, 0.5], 3: [0.125, 0.25, 0.375]}, 3),
    ],
)
def test_equal_sums_go_to_the_lower_median_then_to_the_lower_number(
    table: Table, leader: int
) -> None:
    assert decide(sight(table)).leader == leader


# --- Who goes on, who is tied ---------------------------------------------------------------------

EIGHT = tuple(0.001 * place for place in range(1, 8))


@pytest.mark.parametrize(("look", "goes_on"), [(1, 4), (2, 2), (3, 2)])
def test_the_nearest_go_on_four_after_the_first_look_and_two_later(look: int, goes_on: int) -> None:
    decision = by_gaps(*reversed(EIGHT), look=look)

    assert decision.outcome is Outcome.GO_ON
    assert decision.arms == (1, 8, 7, 6)[:goes_on]
    # Those dropped for number were never beaten.
    assert decision.dropped == (8, 7, 6, 5, 4, 3, 2)[goes_on - 1 :]
    assert decision.group == (1, 8, 7, 6, 5, 4, 3, 2)
    assert decision.behind == ()


def test_arms_dropped_for_number_stay_in_the_group_of_a_champion() -> None:
    decision = by_gaps(0.5, look=2, dropped=(8, 9), behind=(7,), infeasible=(6,))

    assert decision.outcome is Outcome.CHAMPION
    assert decision.behind == (7, 2)
    assert decision.dropped == (8, 9)
    assert decision.infeasible == (6,)
    assert decision.group == (1, 8, 9)


def test_the_last_look_without_a_champion_ends_as_a_tie() -> None:
    decision = by_gaps(0.012, 0.5, look=3, next_seeds=0, dropped=(8,))

    assert decision.outcome is Outcome.TIE
    assert decision.why == "the last look separates no champion"
    assert (decision.arms, decision.group, decision.behind) == ((), (1, 2, 8), (3,))
    # ν = 0.6 · 2 · 2, σ² = 40 · .0004 / 42.4, t = 2.0739 at 42.4 degrees of freedom:
    # 2 · σ² · 1.72 · (t + .84)² / gap² = 2 · .00037736 · 1.72 · 8.491 / .000144 = 76.5
    assert decision.seeds_to_separate == 77


def test_equal_arms_have_no_number_of_seeds_that_separates_them() -> None:
    assert by_gaps(0.0, look=3, next_seeds=0).seeds_to_separate is None


def test_a_race_ends_early_when_what_may_lie_between_is_too_small_to_matter() -> None:
    # σ .002: the bound is .0042.
    assert by_gaps(0.004, floor=Floor(0.002, 100)).outcome is Outcome.TIE
    assert by_gaps(0.004, floor=Floor(0.002, 100), min_effect=0.008).outcome is Outcome.GO_ON
    assert by_gaps(0.004, 0.5, floor=Floor(0.002, 100)).behind == (3,)


def test_noise_alone_ends_no_race() -> None:
    decision = by_gaps(0.0, 0.001)

    assert decision.rival is not None
    assert decision.rival.estimate == 0.0
    assert decision.outcome is Outcome.GO_ON


@pytest.mark.parametrize(
    ("gaps", "runs_left", "outcome"),
    [
        ((0.01, 0.02), 8, Outcome.TIE),
        ((0.01, 0.02), 9, Outcome.GO_ON),
        # Only four go on, and arms that are behind cost nothing.
        (EIGHT, 11, Outcome.TIE),
        (EIGHT, 12, Outcome.GO_ON),
        ((0.01, 0.5), 6, Outcome.GO_ON),
        ((0.01,), None, Outcome.GO_ON),
    ],
)
def test_a_look_that_the_reserve_cannot_fill_does_not_start(
    gaps: tuple[float, ...], runs_left: int | None, outcome: Outcome
) -> None:
    decision = by_gaps(*gaps, runs_left=runs_left)

    assert decision.outcome is outcome
    if outcome is Outcome.TIE:
        assert decision.why == "the reserve cannot fill another look"
        assert len(decision.group) == len(gaps) + 1
        assert decision.dropped == ()


# --- Failed and missing runs ----------------------------------------------------------------------


def test_an_arm_that_fails_on_half_of_its_seeds_is_infeasible_and_drops() -> None:
    table = {1: [2.0, 2.0, 2.0], 2: [2.0, INF, INF], 3: [1.0, INF, 2.0]}

    decision = decide(sight(table))

    assert decision.infeasible == (2,)
    assert 2 not in (*decision.group, *decision.behind)
    assert {decision.leader, decision.rivals[0].arm} == {1, 3}
    four = {1: [2.0] * 4, 2: [2.0, 2.0, INF, INF]}
    assert decide(sight(four)).infeasible == (2,)
    assert decide(sight(four)).outcome is Outcome.CHAMPION


def test_a_race_whose_arms_all_fail_has_no_champion() -> None:
    decision = decide(sight({1: [INF] * 3, 2: [INF, INF, 2.0]}, dropped=(7,)))

    assert decision.outcome is Outcome.NONE_FEASIBLE
    assert decision.leader is None
    assert (decision.infeasible, decision.dropped) == ((1, 2), (7,))


def test_a_failed_seed_counts_in_the_scale_as_a_very_bad_value_does() -> None:
    failed = decide(sight({1: [2.0] * 6, 2: [*[2.5] * 5, INF]}))
    bad = decide(sight({1: [2.0] * 6, 2: [*[2.5] * 5, 1000.0]}))

    assert failed.rival is not None
    assert bad.rival is not None
    assert failed.rival.estimate == bad.rival.estimate == 0.5
    assert failed.rival.scale == pytest.approx(bad.rival.scale, rel=0.05)
    assert failed.outcome is Outcome.CHAMPION


def test_arms_that_fail_on_the_same_seed_are_equal_there() -> None:
    decision = decide(sight({1: [2.0, INF, 2.0], 2: [2.5, INF, 2.5]}))

    assert decision.leader == 1
    assert decision.rival is not None
    assert (decision.rival.n, decision.rival.estimate) == (3, 0.5)


@pytest.mark.parametrize(
    ("row", "common", "is_separated"),
    [
        ([9.0, 9.0, None], 2, False),
        ([9.0, 9.0, 9.0], 3, True),
        # Three are enough of three, not of six.
        ([9.0, 9.0, 9.0, None, None, None], 3, False),
        ([9.0, 9.0, 9.0, 9.0, None, None], 4, True),
    ],
)
def test_too_few_common_seeds_separate_nothing(
    row: list[float | None], common: int, is_separated: bool
) -> None:
    decision = decide(sight({1: [2.0] * len(row), 2: row}))

    (rival,) = decision.rivals
    assert rival.n == common
    assert rival.is_behind is is_separated
    assert (rival.estimate is not None) is is_separated
    assert (decision.outcome is Outcome.CHAMPION) is is_separated


def test_the_bound_of_a_pair_counts_its_common_seeds() -> None:
    complete = decide(sight({1: [2.0] * 6, 2: [9.0] * 6})).rival
    partial = decide(sight({1: [2.0] * 6, 2: [9.0] * 4 + [None] * 2})).rival

    assert complete is not None
    assert partial is not None
    assert complete.bound is not None
    assert partial.bound is not None
    assert partial.bound / complete.bound == pytest.approx(math.sqrt(6 / 4), rel=0.02)


def test_a_lucky_seed_makes_no_leader_of_an_arm_whose_other_runs_are_missing() -> None:
    decision = decide(sight({1: [2.0] * 3, 2: [1.0, None, None], 3: [2.5] * 3}))

    assert decision.leader == 1
    assert decision.outcome is Outcome.GO_ON
    assert decision.group == (1, 2)


def test_failures_on_half_of_the_common_seeds_separate_nothing() -> None:
    decision = decide(sight({1: [2.0] * 6, 2: [9.0, 9.0, INF, INF, None, None]}))

    assert decision.infeasible == ()
    assert decision.rivals[0].estimate is None
    assert decision.outcome is Outcome.GO_ON


def test_without_any_noise_known_nobody_is_ahead() -> None:
    decision = decide(sight({1: [2.0] * 3, 2: [None] * 3}, floor=Floor()))

    assert decision.noise.sigma is None
    assert decision.outcome is Outcome.GO_ON
    assert decision.group == (1, 2)


# --- What a decision carries ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "seen",
    [
        sight({1: LEADER, 2: shifted(LEADER, 0.5)}, runs_left=24),
        sight({1: LEADER, 2: [2.5, INF, None], 3: shifted(LEADER, 0.01)}, floor=Floor()),
        sight({1: [INF] * 3, 2: [INF] * 3}, dropped=(4,), behind=(5, 6)),
    ],
)
def test_anyone_can_compute_a_decision_again_from_its_row(seen: Sight) -> None:
    decision = decide(seen)
    row = json.loads(json.dumps(decision.to_json(), allow_nan=False))

    again = decide(Sight.from_json(row["saw"]))

    assert again == decision
    assert again.to_json() == row


def test_a_row_of_a_decision_names_leader_rival_and_figures() -> None:
    decision = by_gaps(0.02, 0.5)
    rival = decision.rival
    assert rival is not None

    row = decision.to_json()

    assert row.pop("saw") == decision.sight.to_json()
    assert row == {
        "look": 1,
        "leader": 1,
        "rival": 2,
        "n": 3,
        "estimate": pytest.approx(0.02),
        "scale": rival.scale,
        "df": decision.noise.df,
        "bound": rival.bound,
        "outcome": "go on",
    }


def test_rows_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="arm 1 has two runs on seed 3"):
        decide(sight({1: LEADER}, runs=(Run(1, 3, 2.0), Run(1, 3, 2.0))))
    with pytest.raises(ValueError, match="not nan"):
        Run(1, 3, math.nan)
    with pytest.raises(ValueError, match="not -inf"):
        Run(1, 3, -math.inf)


def test_only_the_looks_own_seeds_and_arms_count() -> None:
    seen = sight({1: LEADER, 2: shifted(LEADER, 0.02)}, floor=SURE)
    others = (Run(1, 0, 9.0), Run(2, 0, 1.0), Run(2, 7, 1.0), Run(5, 1, 0.0))

    assert decide(
        sight({1: LEADER, 2: shifted(LEADER, 0.02)}, runs=(*seen.runs, *others))
    ).rivals == (decide(seen).rivals)
