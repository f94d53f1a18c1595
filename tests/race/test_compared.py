"""campaigns.race.compared: who is ahead on shared seeds, outside of a race."""

from __future__ import annotations

from random import Random

import pytest

from benchmarks.honesty_worlds import Draws
from campaigns.race.compared import Compared, compare, compared_verdict
from campaigns.race.look import Outcome
from campaigns.race.rows import Run

INF = float("inf")


def runs(*rows: list[float | None]) -> list[Run]:
    """Return the runs of arms 0, 1, …: one value for each seed from 1 on, None for no run."""
    return [
        Run(arm, seed, value)
        for arm, row in enumerate(rows)
        for seed, value in enumerate(row, start=1)
        if value is not None
    ]


def told(compared: Compared) -> str:
    return compared_verdict(compared, names="ABCDE".__getitem__, shown=lambda d: f"{d:.2f}")


def sentence(*rows: list[float | None]) -> str:
    return told(compare(range(len(rows)), runs(*rows)))


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([[1.0, 1.1, 1.2, 1.1], [3.0, 3.1, 3.2, 3.1]], "A is ahead of B by 2.00 ± "),
        ([[5.0] * 4, [1.0] * 4, [3.0] * 4], "B is ahead of A and C by 2.00 from the nearest, C,"),
        ([[1.0, 1.4, 1.1, 1.2], [1.1, 1.2, 1.0, 1.3]], "No difference is shown between A and B: "),
        ([[1.0, 2.0], [3.0, 4.0]], "Cannot be told: only 2 shared seeds of A and B"),
        ([[1.0, 1.0, 1.0, None], [None, 2.0, 2.0, 2.0]], "Cannot be told: only 2 shared seeds of"),
        ([[1.0, 1.0, 1.0], []], "Cannot be told: no shared seeds of A and B"),
        ([[INF, INF, 1.0], [INF, INF, 3.0]], "None of them runs on more than half of their"),
        ([[1.0, 1.0, 1.0], [INF, INF, 3.0]], "A runs where B failed on half of the 3 seeds."),
    ],
)
def test_what_shared_seeds_say(rows: list[list[float | None]], expected: str) -> None:
    assert sentence(*rows).startswith(expected)


def test_a_seed_that_one_arm_lacks_counts_for_none() -> None:
    both = sentence([1.0, 1.1, 1.2, -90.0], [1.1, 1.2, 1.1, None])
    assert both == sentence([1.0, 1.1, 1.2], [1.1, 1.2, 1.1])


@pytest.mark.parametrize("bad_rate", [0.0, 0.1])
@pytest.mark.parametrize("arms", [2, 5])
def test_equal_arms_rarely_differ(arms: int, bad_rate: float) -> None:
    ahead = 0
    for number in range(200):
        draws = Draws(Random(number), [0.0] * arms, bad_rate=bad_rate)
        drawn = [draws.run(arm, seed) for arm in range(arms) for seed in range(1, 5)]
        decision = compare(range(arms), drawn).decision
        ahead += decision is not None and decision.outcome is Outcome.CHAMPION
    assert ahead <= 4  # 2 %; the true rate is below 1 %
