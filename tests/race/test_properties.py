"""What never changes a decision: the names of arms and seeds, a constant, the shift of a seed.

Sort keys are multiples of 1/1024, so that sums and differences are exact and equal stays equal.
"""

from __future__ import annotations

import math
from random import Random
from statistics import median

from hypothesis import assume, given
from hypothesis import strategies as st

from campaigns.race.look import Decision, Outcome, decide
from campaigns.race.rows import Floor, Sight
from tests.race.sights import sight

Table = dict[int, list[float]]
FLOORS = st.sampled_from([Floor(), Floor(0.02, 5), Floor(0.02, 12), Floor(0.02, 100)])
WHOLE = st.integers(0, 400)


@st.composite
def tables(draw: st.DrawFn) -> Table:
    """Two to eight arms with three or six seeds each."""
    arms, seeds = draw(st.integers(2, 8)), draw(st.sampled_from([3, 6]))
    row = st.lists(WHOLE, min_size=seeds, max_size=seeds)
    rows = draw(st.lists(row, min_size=arms, max_size=arms))
    return {arm: [value / 1024 for value in row] for arm, row in enumerate(rows, start=1)}


def has_a_clear_order(decision: Decision, table: Table) -> bool:
    """Whether neither the leader nor the order of the rivals was decided by a tie-break."""
    sums = [
        math.fsum(
            median(theirs - own for theirs, own in zip(table[other], row, strict=True))
            for other in table
            if other != arm
        )
        for arm, row in table.items()
    ]
    estimates = [rival.estimate for rival in decision.rivals]
    return sums.count(max(sums)) == 1 and len(set(estimates)) == len(estimates)


def essence(decision: Decision) -> tuple[object, ...]:
    """All that was decided, apart from what was seen."""
    return (
        decision.outcome,
        decision.noise,
        decision.leader,
        decision.rivals,
        decision.arms,
        decision.group,
        decision.behind,
        decision.dropped,
        decision.seeds_to_separate,
    )


@given(tables(), FLOORS, st.randoms())
def test_the_names_of_the_arms_do_not_matter(table: Table, floor: Floor, random: Random) -> None:
    decision = decide(sight(table, floor=floor))
    assume(has_a_clear_order(decision, table))
    names = list(range(11, 11 + len(table)))
    random.shuffle(names)
    name_of = dict(zip(table, names, strict=True))

    renamed = decide(sight({name_of[arm]: row for arm, row in table.items()}, floor=floor))

    assert renamed.outcome is decision.outcome
    assert renamed.noise == decision.noise
    assert renamed.leader == name_of[decision.leader or 0]
    for field in ("arms", "group", "behind", "dropped"):
        assert getattr(renamed, field) == tuple(name_of[arm] for arm in getattr(decision, field))


@given(tables(), FLOORS, st.randoms())
def test_the_order_of_the_seeds_does_not_matter(table: Table, floor: Floor, random: Random) -> None:
    columns = list(zip(*table.values(), strict=True))
    random.shuffle(columns)
    shuffled = dict(zip(table, map(list, zip(*columns, strict=True)), strict=True))

    assert essence(decide(sight(shuffled, floor=floor))) == essence(
        decide(sight(table, floor=floor))
    )


@given(tables(), FLOORS, WHOLE)
def test_a_constant_added_to_all_values_does_not_matter(
    table: Table, floor: Floor, shift: int
) -> None:
    moved = {arm: [value + shift / 1024 for value in row] for arm, row in table.items()}

    assert essence(decide(sight(moved, floor=floor))) == essence(decide(sight(table, floor=floor)))


@given(tables(), FLOORS, st.lists(WHOLE, min_size=6, max_size=6))
def test_what_a_seed_does_to_all_arms_does_not_matter(
    table: Table, floor: Floor, shifts: list[int]
) -> None:
    decision = decide(sight(table, floor=floor))
    assume(has_a_clear_order(decision, table))
    moved = {
        arm: [value + shift / 1024 for value, shift in zip(row, shifts, strict=False)]
        for arm, row in table.items()
    }

    assert essence(decide(sight(moved, floor=floor))) == essence(decision)


@given(st.lists(WHOLE, min_size=3, max_size=6), st.integers(2, 8), FLOORS)
def test_equal_arms_never_have_a_champion(row: list[int], arms: int, floor: Floor) -> None:
    decision = decide(
        sight({arm: [value / 1024 for value in row] for arm in range(arms)}, floor=floor)
    )

    assert decision.outcome is not Outcome.CHAMPION
    assert set(decision.group) == set(range(arms))


@given(tables(), FLOORS)
def test_the_same_rows_give_the_same_decision_also_from_its_json(
    table: Table, floor: Floor
) -> None:
    seen = sight(table, floor=floor)

    assert decide(seen) == decide(Sight.from_json(seen.to_json()))


@given(tables(), FLOORS)
def test_nobody_is_lost_and_only_the_proven_are_beaten(table: Table, floor: Floor) -> None:
    decision = decide(sight(table, floor=floor))

    assert {*decision.group, *decision.behind} == set(table)
    assert not set(decision.group) & set(decision.behind)
    for rival in decision.rivals:
        assert (rival.arm in decision.behind) == rival.is_behind
