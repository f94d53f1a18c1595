"""Simulated campaigns whose truth is known, raced by the product's own rule."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from campaigns.race.look import Decision, Outcome
from campaigns.race.noise import floor_of
from campaigns.race.plan import seeds_needed
from campaigns.race.rows import Floor, Run
from campaigns.race.rule import Race, contenders, picked_race, run_race
from campaigns.race.value import race_values

ARMS: Final = 100
SEEDS: Final = 12
# The largest reserve; every campaign of 160 tasks or more has it.
RESERVE: Final = 48
SIGMA, CORRELATION = 0.026, 0.3
FLOOR_PAIRS: Final = 12
BAD_RATE: Final = 0.1
# A champion that hides a contender better by more than this is wrong by an amount that matters.
MATTERS: Final = 0.01
PLAN_SIGMA: Final = 0.02
# Pairs enough for 40 degrees of freedom, the most that a floor may count.
PLAN_PAIRS: Final = 100


def all_equal(_random: Random) -> list[float]:
    """No arm is better than another (A/A)."""
    return [0.0] * ARMS


def realistic(random: Random) -> list[float]:
    """True values like those of random search: few are good, many are not."""
    return [1.2 * math.sqrt(random.random()) for _ in range(ARMS)]


def single_better(_random: Random) -> list[float]:
    """Arm 0 is better by 0.05, the others are equal."""
    return [-0.05] + [0.0] * (ARMS - 1)


def five_close(_random: Random) -> list[float]:
    """Five arms lie within 0.004, all others 0.05 behind."""
    return [0.001 * place for place in range(5)] + [0.05] * (ARMS - 5)


@dataclass(frozen=True)
class World:
    """A kind of campaign: true values, noise, and what the race may use."""

    name: str
    truth: Callable[[Random], list[float]]
    most: int = 8
    floor_pairs: int = FLOOR_PAIRS
    bad_rate: float = 0.0
    sigma: float = SIGMA
    reserve: int = RESERVE

    @property
    def key(self) -> str:
        """What tells the world from the others, the same in every process."""
        return f"{self.name}, {self.most} contenders, {self.floor_pairs} pairs"


@dataclass(frozen=True)
class Campaign:
    """What came of one campaign: of its race, and of the rule "the best single run wins".

    `is_false` says that a contender is truly no worse than the champion, `is_false_of_all` that
    some arm is; both for declared champions only. `excess` is the champion's true gap to the best
    contender, `shown_minus_true` that of the value shown with all seeds, `is_covered` whether its
    interval holds the truth. `runs` counts race runs up to the decision, `all_runs` also those that
    complete an early champion.
    """

    is_declared: bool
    is_false: bool
    is_false_of_all: bool
    excess: float
    shown_minus_true: float | None
    is_covered: bool | None
    runs: int
    all_runs: int
    naive_is_false: bool
    naive_is_false_of_all: bool
    naive_shown_minus_true: float


class Draws:
    """The results of a campaign's runs: truth + the seed's shift + the run's own noise."""

    def __init__(
        self,
        random: Random,
        truth: Sequence[float],
        *,
        sigma: float = SIGMA,
        bad_rate: float = 0.0,
    ) -> None:
        self._random = random
        self._truth = truth
        self._bad_rate = bad_rate
        self._seed_sd = sigma * math.sqrt(CORRELATION)
        self._run_sd = sigma * math.sqrt(1.0 - CORRELATION)
        self._shifts: dict[int, float] = {}

    def run(self, arm: int, seed_index: int) -> Run:
        """Return a new run of the arm on the seed."""
        if seed_index not in self._shifts:
            self._shifts[seed_index] = self._random.gauss(0.0, self._seed_sd)
        value = self._truth[arm] + self._shifts[seed_index] + self._random.gauss(0.0, self._run_sd)
        if self._bad_rate and self._random.random() < self._bad_rate:
            value += self._random.uniform(0.25, 0.75)
        return Run(arm, seed_index, value)


def draw_floor(random: Random, pairs: int, *, sigma: float, bad_rate: float = 0.0) -> Floor:
    """Return the floor that so many arms with two seeds each give, measured as the product does."""
    if not pairs:
        return Floor()
    draws = Draws(random, [0.0] * pairs, sigma=sigma, bad_rate=bad_rate)
    return floor_of([[draws.run(arm, seed) for arm in range(pairs) for seed in (1, 2)]])


def simulate(world: World, random: Random) -> Campaign:
    """Run one campaign of the world."""
    truth = world.truth(random)
    draws = Draws(random, truth, sigma=world.sigma, bad_rate=world.bad_rate)
    floor = draw_floor(random, world.floor_pairs, sigma=world.sigma, bad_rate=world.bad_rate)
    screening = {arm: draws.run(arm, 0).sort_key for arm in range(ARMS)}
    arms = contenders(screening, floor, most=min(world.most, world.reserve // 3))
    race = Race(arms, tuple(range(1, SEEDS + 1)), floor, world.reserve)
    decisions, runs = run_race(race, draws.run)
    return _summary(truth, screening, race, decisions, runs)


def _summary(
    truth: Sequence[float],
    screening: dict[int, float | None],
    race: Race,
    decisions: Sequence[Decision],
    runs: Sequence[Run],
) -> Campaign:
    naive = race.arms[0]  # the best screening value
    last = decisions[-1]
    champion = last.leader if last.outcome is Outcome.CHAMPION else None
    shown, covered = None, None
    if champion is not None:
        (value,) = race_values([champion], race.seeds, runs, last.noise)
        if value.value is not None and value.half_width is not None:
            shown = value.value - truth[champion]
            covered = abs(shown) <= value.half_width
    return Campaign(
        is_declared=champion is not None,
        is_false=champion is not None and _is_matched(truth, champion, race.arms),
        is_false_of_all=champion is not None and _is_matched(truth, champion, range(ARMS)),
        excess=0.0 if champion is None else truth[champion] - min(truth[arm] for arm in race.arms),
        shown_minus_true=shown,
        is_covered=covered,
        runs=_runs_to_decision(decisions),
        all_runs=len(runs),
        naive_is_false=_is_matched(truth, naive, race.arms),
        naive_is_false_of_all=_is_matched(truth, naive, range(ARMS)),
        naive_shown_minus_true=(screening[naive] or 0.0) - truth[naive],
    )


def _is_matched(truth: Sequence[float], champion: int, arms: Sequence[int]) -> bool:
    """Whether one of the arms is truly as good as the champion, or better."""
    return any(truth[arm] <= truth[champion] for arm in arms if arm != champion)


def _runs_to_decision(decisions: Sequence[Decision]) -> int:
    before, total = 0, 0
    for decision in decisions:
        total += len(decision.sight.arms) * (len(decision.sight.seeds) - before)
        before = len(decision.sight.seeds)
    return total


@dataclass(frozen=True)
class Promise:
    """A question to the planner: can a gap be found with the seeds that it names?"""

    gap: float
    seeds: int

    @property
    def key(self) -> str:
        """What tells the question from the others, the same in every process."""
        return f"gap {self.gap}"


def promise(gap: float) -> Promise:
    """Return the planner's answer for a gap, under the noise that `keeps_promise` draws."""
    floor = Floor(PLAN_SIGMA, PLAN_PAIRS)
    seeds = seeds_needed(gap, PLAN_SIGMA, floor.weight, correlation=CORRELATION)
    assert seeds is not None
    return Promise(gap, seeds)


def keeps_promise(asked: Promise, random: Random) -> bool:
    """Whether a race of two arms with the planned seeds names the better one."""
    floor = draw_floor(random, PLAN_PAIRS, sigma=PLAN_SIGMA)
    draws = Draws(random, [0.0, asked.gap], sigma=PLAN_SIGMA)
    race = picked_race((0, 1), highest_seed=0, seeds=asked.seeds, floor=floor)
    decisions, _ = run_race(race, draws.run)
    return decisions[-1].outcome is Outcome.CHAMPION and decisions[-1].leader == 0


CONTENDERS: Final = (2, 3, 4, 5, 8)


def _equal_worlds(name: str, bad_rate: float) -> list[World]:
    return [
        World(name, all_equal, most=most, floor_pairs=pairs, bad_rate=bad_rate)
        for pairs in (FLOOR_PAIRS, 0)
        for most in CONTENDERS
    ]


WORLDS: Final[tuple[World, ...]] = (
    *_equal_worlds("all equal", 0.0),
    *_equal_worlds("all equal, 10 % bad seeds", BAD_RATE),
    *(
        World(name, truth, floor_pairs=pairs, bad_rate=bad_rate)
        for name, truth, bad_rate in (
            ("realistic", realistic, 0.0),
            ("realistic, 10 % bad seeds", realistic, BAD_RATE),
            ("one better by 0.05", single_better, 0.0),
            ("five within 0.004", five_close, 0.0),
        )
        for pairs in (FLOOR_PAIRS, 0)
    ),
)
PROMISES: Final = tuple(promise(gap) for gap in (0.05, 0.03, 0.02, 0.01))
