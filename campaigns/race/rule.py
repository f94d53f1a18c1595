"""The rule of a race: who races, on which seeds, when a look is due, and when the race is over."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from campaigns.race.look import (
    FEWEST_COMMON,
    GO_ON_AFTER_FIRST,
    GO_ON_LATER,
    Decision,
    Outcome,
    decide,
)
from campaigns.race.rows import MIN_EFFECT, MIN_SIGMA, NO_FLOOR, Floor, Run, Sight

SCREENING_SEED: Final = 0
SEEDS: Final = 12
# The reserve: three tenths of a campaign's tasks, this many at most, none in a small campaign.
RESERVE_TENTHS: Final = 3
MAX_RESERVE: Final = 48
FEWEST_TASKS: Final = 30
# The best three always race; up to eight do when their screening values are this near the best.
ALWAYS: Final = 3
MOST: Final = 8
NEAR: Final = 3.0

# Arm → screening value: None or infinite for an arm that has none.
Screening = Mapping[int, float | None]


@dataclass(frozen=True)
class Race:
    """A race before its first run. `seeds` are the seed indices that it may use, in order.

    `runs_allowed` is how many runs it may make (None: as many as it needs). `floor` is the class's
    noise floor as it stood before the race. Raises ValueError for fewer than two arms, an arm or a
    seed twice, fewer than three seeds, the screening seed, or runs that cannot fill a first look.
    """

    arms: tuple[int, ...]
    seeds: tuple[int, ...]
    floor: Floor = NO_FLOOR
    runs_allowed: int | None = None
    min_effect: float = MIN_EFFECT
    min_sigma: float = MIN_SIGMA

    def __post_init__(self) -> None:
        if len(set(self.arms)) < max(2, len(self.arms)):
            raise ValueError("a race needs two different arms or more, each of them once")
        if len(set(self.seeds)) < max(FEWEST_COMMON, len(self.seeds)):
            raise ValueError("a race needs three different seeds or more, each of them once")
        if min(self.seeds) <= SCREENING_SEED:
            # The screening value chose the arms, so it is too good for each of them.
            raise ValueError("the screening seed proves nothing and cannot race")
        if self.runs_allowed is not None and self.runs_allowed < len(self.arms) * self.looks[0]:
            raise ValueError(f"{self.runs_allowed} runs cannot fill the first look")

    @property
    def looks(self) -> tuple[int, ...]:
        """After how many seeds the race looks."""
        return looks_at(len(self.seeds))


def looks_at(seeds: int) -> tuple[int, ...]:
    """Return after how many of the seeds a race looks: a quarter, half, all; 3, 6, 12 of 12.

    Looks before the third seed are left out, because they could separate nothing.
    """
    looks = {math.ceil(seeds / part) for part in (4, 2, 1)}
    return tuple(look for look in sorted(looks) if look >= FEWEST_COMMON)


def most_rounds(arms: int, seeds: int, slots: int) -> int:
    """Return how many runs a race of so many arms makes after each other when no look ends it.

    So many `slots` run at once, and the runs of a look begin when the look before was decided.
    """
    return sum(math.ceil(runs / slots) for runs in _most_runs_of_looks(arms, seeds))


def _most_runs_of_looks(arms: int, seeds: int) -> list[int]:
    runs, before, racing = [], 0, arms
    for place, look in enumerate(looks_at(seeds)):
        if place:
            racing = min(racing, GO_ON_AFTER_FIRST if place == 1 else GO_ON_LATER)
        runs.append(racing * (look - before))
        before = look
    return runs


def reserve_of(tasks: int) -> int:
    """Return how many of a campaign's tasks are kept for its race, 0 without an automatic race."""
    return min(MAX_RESERVE, tasks * RESERVE_TENTHS // 10) if tasks >= FEWEST_TASKS else 0


def most_contenders(reserve: int, *, seeds: int = SEEDS) -> int:
    """Return how many arms may race with this reserve: it fills their first look."""
    return reserve // looks_at(seeds)[0]


def contenders(
    screening: Screening, floor: Floor, *, most: int = MOST, min_sigma: float = MIN_SIGMA
) -> tuple[int, ...]:
    """Return the arms that race, by screening value, the best first; `most` at most.

    The best three, and of the next those whose value is within 3·√2·σ of the best. Without a floor,
    all of them.
    """
    values = {
        arm: value for arm, value in screening.items() if value is not None and math.isfinite(value)
    }
    ranked = sorted(values, key=lambda arm: (values[arm], arm))[: min(most, MOST)]
    if floor.sd is None or not ranked:
        return tuple(ranked)
    reach = values[ranked[0]] + NEAR * math.sqrt(2) * max(floor.sd, min_sigma)
    return tuple(arm for place, arm in enumerate(ranked) if place < ALWAYS or values[arm] <= reach)


def automatic_race(
    tasks: int,
    screening: Screening,
    floor: Floor,
    *,
    highest_seed: int = 0,
    seeds: int = SEEDS,
    min_effect: float = MIN_EFFECT,
    min_sigma: float = MIN_SIGMA,
) -> Race | None:
    """Return the race of a campaign of so many tasks after its screening.

    `highest_seed` is the highest seed index that any of its arms has run: 0 after screening alone.
    None when the reserve cannot fill a first look of two arms, or two arms have no value.
    """
    reserve = reserve_of(tasks)
    arms = contenders(
        screening, floor, most=most_contenders(reserve, seeds=seeds), min_sigma=min_sigma
    )
    if len(arms) < 2:
        return None
    return picked_race(
        arms,
        highest_seed=highest_seed,
        seeds=seeds,
        floor=floor,
        runs_allowed=reserve,
        min_effect=min_effect,
        min_sigma=min_sigma,
    )


def challengers(
    champion: int | None,
    added: Iterable[int],
    screening: Screening,
    floor: Floor,
    *,
    most: int = MOST,
    min_sigma: float = MIN_SIGMA,
) -> tuple[int, ...]:
    """Return the champion and the added arms that race it, as `challenger_race` says; () for none.

    `most` is how many may race.
    """
    new = set(added)
    best = contenders(screening, floor, most=most, min_sigma=min_sigma)
    leading = () if champion is None else (champion,)
    arms = [arm for arm in best if arm in new and arm != champion]
    racing = (*leading, *arms)[:most]
    return racing if arms and len(racing) >= 2 else ()


def challenger_race(
    champion: int | None,
    added: Iterable[int],
    tasks: int,
    screening: Screening,
    floor: Floor,
    *,
    highest_seed: int,
    seeds: int = SEEDS,
    min_effect: float = MIN_EFFECT,
    min_sigma: float = MIN_SIGMA,
) -> Race | None:
    """Return the race of the champion with arms that were added after its race, on fresh seeds.

    An added arm races when its screening value makes it a contender among all arms. The other
    arguments are those of `automatic_race`; `champion` may also lead a tie group, and is None when
    no arm came out of the race. None when fewer than two arms would race.
    """
    reserve = reserve_of(tasks)
    most = most_contenders(reserve, seeds=seeds)
    racing = challengers(champion, added, screening, floor, most=most, min_sigma=min_sigma)
    if not racing:
        return None
    return picked_race(
        racing,
        highest_seed=highest_seed,
        seeds=seeds,
        floor=floor,
        runs_allowed=reserve,
        min_effect=min_effect,
        min_sigma=min_sigma,
    )


def picked_race(
    arms: Sequence[int],
    *,
    highest_seed: int,
    seeds: int = SEEDS,
    floor: Floor = NO_FLOOR,
    runs_allowed: int | None = None,
    min_effect: float = MIN_EFFECT,
    min_sigma: float = MIN_SIGMA,
) -> Race:
    """Return a race of these arms on seeds that none of them has run.

    `highest_seed` is the highest seed index that any of them has run: they may have been picked for
    these values. Raises ValueError as `Race` does.
    """
    fresh = tuple(range(highest_seed + 1, highest_seed + seeds + 1))
    return Race(tuple(arms), fresh, floor, runs_allowed, min_effect, min_sigma)


# --- From look to look ----------------------------------------------------------------------------


def is_over(decisions: Sequence[Decision]) -> bool:
    """Whether the race has ended. No look is ever added to an ended race."""
    return bool(decisions) and decisions[-1].outcome is not Outcome.GO_ON


def wanted_runs(race: Race, decisions: Sequence[Decision]) -> tuple[tuple[int, int], ...]:
    """Return (arm, seed index) of every run that the present look needs, done or not.

    After a champion that was declared early: the rest of its seeds. Until they are run, its value
    is too good. Empty when the race is over otherwise.
    """
    if not is_over(decisions):
        arms = decisions[-1].arms if decisions else race.arms
        return tuple((arm, seed) for arm in arms for seed in _seeds_of(race, len(decisions)))
    last = decisions[-1]
    if last.outcome is not Outcome.CHAMPION or last.leader is None:
        return ()
    return tuple((last.leader, seed) for seed in race.seeds)


def decide_next(
    race: Race, decisions: Sequence[Decision], runs: Iterable[Run], *, is_paused: bool = False
) -> Decision | None:
    """Decide the race's next look; `runs` are all ended runs of its arms.

    None while a run of the look has not ended, while the campaign is paused, and after the end.
    A run that ended without a value is not waited for.
    """
    if is_paused or is_over(decisions):
        return None
    wanted = set(wanted_runs(race, decisions))
    ended = [run for run in runs if (run.arm, run.seed_index) in wanted]
    if wanted - {(run.arm, run.seed_index) for run in ended}:
        return None
    return decide(_sight(race, decisions, ended))


def cancel(race: Race, decisions: Sequence[Decision], runs: Iterable[Run]) -> Decision | None:
    """Return the decision that ends a race whose campaign was cancelled; None after its end."""
    if is_over(decisions):
        return None
    wanted = set(wanted_runs(race, decisions))
    ended = [run for run in runs if (run.arm, run.seed_index) in wanted]
    sight = _sight(race, decisions, ended)
    return Decision(
        sight,
        Outcome.CANCELLED,
        "the campaign was cancelled",
        behind=sight.behind,
        dropped=sight.dropped,
        infeasible=sight.infeasible,
    )


def run_race(race: Race, run: Callable[[int, int], Run]) -> tuple[list[Decision], list[Run]]:
    """Run a race from its first look to its end; `run` makes the run of an arm on a seed index.

    Returns the decisions, and all runs, also those that an early champion makes afterwards.
    """
    decisions: list[Decision] = []
    runs: dict[tuple[int, int], Run] = {}
    while True:
        for arm, seed in wanted_runs(race, decisions):
            if (arm, seed) not in runs:
                runs[arm, seed] = run(arm, seed)
        decision = decide_next(race, decisions, runs.values())
        if decision is None:
            return decisions, list(runs.values())
        decisions.append(decision)


def _seeds_of(race: Race, look: int) -> tuple[int, ...]:
    """Return the seeds of the look with this number, from 0."""
    return race.seeds[: race.looks[look]]


def _sight(race: Race, decisions: Sequence[Decision], runs: Sequence[Run]) -> Sight:
    """Return what the next look sees: the ended runs of the arms still in the race."""
    look = len(decisions)
    last = decisions[-1] if decisions else None
    seeds = _seeds_of(race, look)
    is_last = look + 1 == len(race.looks)
    return Sight(
        look=look + 1,
        seeds=seeds,
        next_seeds=0 if is_last else race.looks[look + 1] - len(seeds),
        runs_left=_runs_left(race, decisions),
        arms=last.arms if last else race.arms,
        # The order of the rows must not show in what is stored.
        runs=tuple(sorted(runs, key=lambda run: (run.arm, run.seed_index))),
        floor=race.floor,
        first=decisions[0].spread if decisions else None,
        behind=last.behind if last else (),
        dropped=last.dropped if last else (),
        infeasible=last.infeasible if last else (),
        min_effect=race.min_effect,
        min_sigma=race.min_sigma,
    )


def _runs_left(race: Race, decisions: Sequence[Decision]) -> int | None:
    """Return what is left of the race's runs once the present look is filled."""
    if race.runs_allowed is None:
        return None
    left, before = race.runs_allowed, 0
    for look, seeds in enumerate(race.looks[: len(decisions) + 1]):
        arms = decisions[look - 1].arms if look else race.arms
        left -= len(arms) * (seeds - before)
        before = seeds
    return left
