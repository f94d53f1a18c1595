"""One look of a race: from everything that it sees to a decision that anyone can compute again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median, stdev
from typing import Any, Final

from campaigns.race.level import MEDIAN_PRICE, quantile
from campaigns.race.noise import NOTHING_KNOWN, Noise, Values, noise_of_look
from campaigns.race.plan import seeds_needed
from campaigns.race.rows import Sight, Spread, values_by_arm

# How many arms go on after the first look, and after each later one.
GO_ON_AFTER_FIRST: Final = 4
GO_ON_LATER: Final = 2
# A pair with fewer common seeds than this, or than two thirds of the look's, is not separated.
FEWEST_COMMON: Final = 3
# Differences count in the scale up to this many s.d. from their median.
CLIP: Final = 3.0


class Outcome(StrEnum):
    """How a look ends. All but GO_ON end the race."""

    GO_ON = "go on"
    CHAMPION = "champion"
    TIE = "tie"
    NONE_FEASIBLE = "none feasible"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Rival:
    """An arm beside the leader: how far behind it is, and how much of that may be noise.

    `n` counts the seeds that both have. `estimate` is the median of the differences, positive when
    the rival is behind; None with too few common seeds. `scale` is the s.d. of a difference and
    `bound` what the estimate must exceed; None without an estimate or while no noise is known.
    """

    arm: int
    n: int
    estimate: float | None
    scale: float | None
    bound: float | None

    @property
    def is_behind(self) -> bool:
        """Whether the rival is proven behind. A median exactly at the bound proves nothing."""
        return self.estimate is not None and self.bound is not None and self.estimate > self.bound

    @property
    def farthest(self) -> float:
        """How far apart the two may be, infinite while that is unknown."""
        if self.estimate is None or self.bound is None:
            return math.inf
        return abs(self.estimate) + self.bound

    @property
    def nearness(self) -> tuple[float, int]:
        """What orders rivals, the nearest first."""
        return (math.inf if self.estimate is None else self.estimate, self.arm)


@dataclass(frozen=True)
class Decision:
    """What a look decided. `sight` is all that it was computed from, `decide(sight)` repeats it.

    `rival` is the nearest rival with its n, estimate, scale and bound. `arms` go on to the next
    look. `group` is the leader with every arm never proven behind it: the tie group, or what a
    champion was not proven ahead of. `behind`, `dropped` (for number only, so never beaten) and
    `infeasible` hold for the race up to here. `seeds_to_separate` would separate leader and rival
    four times in five if the estimate is true.
    """

    sight: Sight
    outcome: Outcome
    why: str
    noise: Noise = NOTHING_KNOWN
    leader: int | None = None
    rivals: tuple[Rival, ...] = ()
    arms: tuple[int, ...] = ()
    group: tuple[int, ...] = ()
    behind: tuple[int, ...] = ()
    dropped: tuple[int, ...] = ()
    infeasible: tuple[int, ...] = ()
    seeds_to_separate: int | None = None

    @property
    def look(self) -> int:
        """The number of the look, from 1."""
        return self.sight.look

    @property
    def spread(self) -> Spread | None:
        """What the residuals of this look said of the noise."""
        return self.noise.spread

    @property
    def rival(self) -> Rival | None:
        """The nearest rival, None without any."""
        return self.rivals[0] if self.rivals else None

    def to_json(self) -> dict[str, Any]:
        """Return the decision as a JSON row; `saw` is enough to compute all else again."""
        rival = self.rival
        return {
            "look": self.look,
            "leader": self.leader,
            "rival": rival.arm if rival else None,
            "n": rival.n if rival else 0,
            "estimate": rival.estimate if rival else None,
            "scale": rival.scale if rival else None,
            "df": self.noise.df,
            "bound": rival.bound if rival else None,
            "outcome": self.outcome.value,
            "saw": self.sight.to_json(),
        }


def decide(sight: Sight) -> Decision:
    """Decide a look. The same sight gives the same decision, on every machine and at any time."""
    values = values_by_arm(sight.runs, arms=sight.arms, seeds=sight.seeds)
    failing = {arm for arm, row in values.items() if _is_infeasible(row, len(sight.seeds))}
    values = {arm: row for arm, row in values.items() if arm not in failing}
    infeasible = (*sight.infeasible, *sorted(failing))
    if not values:
        return Decision(
            sight,
            Outcome.NONE_FEASIBLE,
            "no arm is left that runs on more than half of the seeds",
            behind=sight.behind,
            dropped=sight.dropped,
            infeasible=infeasible,
        )
    noise = noise_of_look(
        values,
        floor=sight.floor,
        began=sight.began,
        first=sight.first,
        min_sigma=sight.min_sigma,
    )
    leader = _leader(values, len(sight.seeds))
    rivals = [
        _compare(values, arm, leader, noise, len(sight.seeds)) for arm in values if arm != leader
    ]
    rivals.sort(key=lambda rival: rival.nearness)
    return _decision(sight, noise, leader, rivals, infeasible)


def seen_from(decision: Decision, arm: int) -> tuple[Rival, ...]:
    """Return the other arms of a look compared with any of them, as `decide` does with the leader.

    The nearest first; empty for an arm that had left the race, or whose own trouble ended it there.
    """
    sight = decision.sight
    rows = values_by_arm(sight.runs, arms=sight.arms, seeds=sight.seeds)
    feasible = {other: row for other, row in rows.items() if other not in decision.infeasible}
    if arm not in feasible:
        return ()
    rivals = [
        _compare(feasible, other, arm, decision.noise, len(sight.seeds))
        for other in feasible
        if other != arm
    ]
    return tuple(sorted(rivals, key=lambda rival: rival.nearness))


def _decision(
    sight: Sight,
    noise: Noise,
    leader: int,
    rivals: Sequence[Rival],
    infeasible: tuple[int, ...],
) -> Decision:
    """Apply the rules to the leader and its rivals, the nearest first."""
    level = [rival for rival in rivals if not rival.is_behind]
    outcome, why = _outcome(sight, level)
    ahead = level[: _go_on(sight) - 1] if outcome is Outcome.GO_ON else level
    dropped = (*sight.dropped, *(rival.arm for rival in level[len(ahead) :]))
    goes_on = (leader, *(rival.arm for rival in ahead)) if outcome is Outcome.GO_ON else ()
    return Decision(
        sight,
        outcome,
        why,
        noise,
        leader,
        rivals=tuple(rivals),
        arms=goes_on,
        group=(leader, *(rival.arm for rival in ahead), *dropped),
        behind=(*sight.behind, *(rival.arm for rival in rivals if rival.is_behind)),
        dropped=dropped,
        infeasible=infeasible,
        seeds_to_separate=_seeds_to_separate(noise, level),
    )


def _outcome(sight: Sight, level: Sequence[Rival]) -> tuple[Outcome, str]:
    """Return how the look ends. `level` are the rivals not proven behind, the nearest first."""
    if not level:
        return Outcome.CHAMPION, "every remaining rival is proven behind"
    nearest = level[0]
    if nearest.farthest < sight.min_effect:
        return Outcome.TIE, "what may lie between the first two is too small to matter"
    if not sight.next_seeds:
        return Outcome.TIE, "the last look separates no champion"
    runs = min(len(level) + 1, _go_on(sight)) * sight.next_seeds
    if sight.runs_left is not None and runs > sight.runs_left:
        return Outcome.TIE, "the reserve cannot fill another look"
    return Outcome.GO_ON, "more seeds may separate them"


def _go_on(sight: Sight) -> int:
    return GO_ON_AFTER_FIRST if sight.look == 1 else GO_ON_LATER


def _is_infeasible(row: dict[int, float], seeds: int) -> bool:
    """Whether the arm's own trouble ended at least half of its runs."""
    return 2 * sum(math.isinf(value) for value in row.values()) >= seeds


def _leader(values: Values, seeds: int) -> int:
    """Return the arm with the largest sum of median advantages over the others.

    Equal sums: the arm with the lower median, then the lower number. An advantage over too few
    common seeds counts as none: one lucky seed must not make a leader.
    """
    advantages: dict[int, list[float]] = {arm: [] for arm in values}
    for arm in values:
        for other in values:
            if other <= arm:
                continue
            estimate = _median_difference(_differences(values, other, arm), seeds) or 0.0
            advantages[arm].append(estimate)
            advantages[other].append(-estimate)
    return min(
        values,
        # fsum does not depend on the order, in which rows may arrive differently.
        key=lambda arm: (
            -math.fsum(advantages[arm]),
            median(values[arm].values()) if values[arm] else math.inf,
            arm,
        ),
    )


def _differences(values: Values, arm: int, leader: int) -> list[float]:
    """Return the arm's values less the leader's, for each seed that both have.

    Two runs that both diverged on a seed are equal there.
    """
    own, leaders = values[arm], values[leader]
    return [
        0.0 if own[seed] == leaders[seed] else own[seed] - leaders[seed]
        for seed in sorted(own.keys() & leaders.keys())
    ]


def _median_difference(differences: Sequence[float], seeds: int) -> float | None:
    """Return the median, None when too few seeds are common or half of the differences infinite."""
    common = len(differences)
    if common < FEWEST_COMMON or 3 * common < 2 * seeds:
        return None
    middle = median(differences)
    return middle if math.isfinite(middle) else None


def _compare(values: Values, arm: int, leader: int, noise: Noise, seeds: int) -> Rival:
    """Return the rival with its distance from the leader and the bound of its noise."""
    differences = _differences(values, arm, leader)
    estimate = _median_difference(differences, seeds)
    if estimate is None or noise.sigma is None:
        return Rival(arm, len(differences), estimate, None, None)
    reach = CLIP * math.sqrt(2) * noise.sigma
    clipped = [min(max(d, estimate - reach), estimate + reach) for d in differences]
    scale = max(math.sqrt(2) * noise.sigma, stdev(clipped))
    bound = quantile(noise.df) * MEDIAN_PRICE * scale / math.sqrt(len(differences))
    return Rival(arm, len(differences), estimate, scale, bound)


def _seeds_to_separate(noise: Noise, level: Sequence[Rival]) -> int | None:
    """Return how many seeds would separate the leader from the nearest rival not proven behind."""
    if not level or noise.sigma is None or level[0].estimate is None:
        return None
    return seeds_needed(level[0].estimate, noise.sigma, noise.df)
