"""A race as a strip for each arm: its differences to one arm, seed by seed, and what each look saw.

Looks that were decided are drawn from what they saw, so that a strip never contradicts a decision.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from campaigns.race.look import CLIP, Decision, Rival, seen_from
from campaigns.race.rows import Run
from campaigns.race.rule import Race, is_over, wanted_runs


class Kind(StrEnum):
    """What is known of an arm beside the reference on a seed."""

    # Both have a value.
    VALUE = "value"
    # Both have a value, but so far from the median that the scale counts it only up to a limit.
    CLIPPED = "clipped"
    # The arm diverged or failed for reasons of its params: infinitely far behind on this seed.
    INFEASIBLE = "infeasible"
    # The same happened to the reference alone, or to both.
    REFERENCE_INFEASIBLE = "reference infeasible"
    BOTH_INFEASIBLE = "both infeasible"
    # A run of the pair ended without saying anything about its params.
    MISSING = "missing"
    # A run of the pair has not ended.
    WAITING = "waiting"


class Left(StrEnum):
    """Why an arm left the race."""

    BEHIND = "behind"
    DROPPED = "dropped"
    INFEASIBLE = "infeasible"


@dataclass(frozen=True)
class Difference:
    """An arm less the reference on one seed, in sort-key units: positive when the arm is behind.

    `look` is the first look that sees the seed. `difference` is None unless both have a finite
    value; `own` and `reference` are the sort keys, None where there is none.
    """

    seed_index: int
    look: int
    kind: Kind
    difference: float | None = None
    own: float | None = None
    reference: float | None = None


@dataclass(frozen=True)
class Strip:
    """One arm of a race. `looks` has an entry for each decided look that compared it."""

    arm: int
    differences: tuple[Difference, ...]
    looks: tuple[tuple[int, Rival], ...]
    left_at: int | None = None
    left_as: Left | None = None
    # Of which arm it was proven behind.
    left_behind: int | None = None

    @property
    def last(self) -> Rival | None:
        """What the last look that compared it with the reference saw."""
        return self.looks[-1][1] if self.looks else None


@dataclass(frozen=True)
class Strips:
    """All arms of a race beside one of them, the reference, which comes first.

    `seeds` are the seeds of the race, `ends` after how many of them it looks, `leaders` who led at
    each decided look. `is_decided` says that a look chose the reference; before, it is the arm that
    was named first.
    """

    reference: int
    is_decided: bool
    seeds: tuple[int, ...]
    ends: tuple[int, ...]
    leaders: tuple[int | None, ...]
    strips: tuple[Strip, ...]

    def of_arm(self, arm: int) -> Strip:
        """Return the strip of an arm. Raises KeyError."""
        return next(strip for strip in self.strips if strip.arm == arm)


@dataclass(frozen=True)
class Awaited:
    """The runs that a race needs next: for its next look or, after its end, for its champion.

    `look` is None after the end. `ended` of the `wanted` runs are in; `open` are the others.
    """

    look: int | None
    wanted: int
    ended: int
    open: frozenset[tuple[int, int]]


def strips_of(race: Race, decisions: Sequence[Decision], runs: Iterable[Run]) -> Strips:
    """Return the strips of a race; `runs` are all ended runs of its arms on its seeds."""
    leaders = tuple(decision.leader for decision in decisions)
    chosen = [leader for leader in leaders if leader is not None]
    reference = chosen[-1] if chosen else race.arms[0]
    values = _values(race, decisions, runs)
    reach = _reach(race, decisions)
    left = _left(decisions)
    # A look without a leader compared nothing: no arm was feasible, or the campaign was cancelled.
    seen = [
        (decision, seen_from(decision, reference))
        for decision in decisions
        if decision.leader is not None
    ]
    wanted = frozenset(wanted_runs(race, decisions))

    def value(arm: int, seed: int) -> _Value:
        """Return the value of a run; of one that never came, in a race that ended, nothing."""
        return values[arm].get(seed, _OPEN if (arm, seed) in wanted else None)

    strips = []
    for arm in (reference, *(arm for arm in race.arms if arm != reference)):
        looks = tuple(
            (decision.look, rival)
            for decision, rivals in seen
            for rival in rivals
            if rival.arm == arm
        )
        limits = _limits(looks, seen)
        differences = tuple(
            _difference(
                seed,
                _look_of(place, race.looks),
                value(arm, seed),
                value(reference, seed),
                limits,
            )
            for place, seed in enumerate(race.seeds[: reach[arm]])
        )
        strips.append(Strip(arm, differences, looks, *left.get(arm, (None, None, None))))
    return Strips(reference, bool(chosen), race.seeds, race.looks, leaders, tuple(strips))


def awaited(race: Race, decisions: Sequence[Decision], runs: Iterable[Run]) -> Awaited | None:
    """Return the runs that the race needs next; None when it needs no more."""
    wanted = frozenset(wanted_runs(race, decisions))
    missing = wanted - {(run.arm, run.seed_index) for run in runs}
    over = is_over(decisions)
    if not wanted or (over and not missing):
        return None
    look = None if over else len(decisions) + 1
    return Awaited(look, len(wanted), len(wanted) - len(missing), missing)


# A run that has not ended, beside those that ended without a value (None).
_OPEN = "open"
_Value = float | str | None


def _values(
    race: Race, decisions: Sequence[Decision], runs: Iterable[Run]
) -> dict[int, dict[int, _Value]]:
    """Return arm → seed index → value: as its last decided look saw it, later runs as they are."""
    values: dict[int, dict[int, _Value]] = {arm: {} for arm in race.arms}
    for run in runs:
        values[run.arm][run.seed_index] = run.sort_key
    for decision in decisions:
        for run in decision.sight.runs:
            values[run.arm][run.seed_index] = run.sort_key
    return values


def _reach(race: Race, decisions: Sequence[Decision]) -> Mapping[int, int]:
    """Return how many seeds of the race each arm has run or will run now."""
    reach = dict.fromkeys(race.arms, race.looks[0])
    for decision in decisions:
        for arm in decision.sight.arms:
            reach[arm] = len(decision.sight.seeds)
    for arm, seed in wanted_runs(race, decisions):
        reach[arm] = max(reach[arm], race.seeds.index(seed) + 1)
    return reach


def _left(decisions: Sequence[Decision]) -> dict[int, tuple[int, Left, int | None]]:
    """Return at which look, and why, each arm left; behind whom, if that is why."""
    left: dict[int, tuple[int, Left, int | None]] = {}
    for decision in decisions:
        for arms, why in (
            (decision.behind, Left.BEHIND),
            (decision.dropped, Left.DROPPED),
            (decision.infeasible, Left.INFEASIBLE),
        ):
            for arm in arms:
                leader = decision.leader if why is Left.BEHIND else None
                left.setdefault(arm, (decision.look, why, leader))
    return left


def _look_of(place: int, ends: Sequence[int]) -> int:
    """Return the number of the first look that sees the seed at this place."""
    return next(number for number, end in enumerate(ends, start=1) if place < end)


def _limits(
    looks: Sequence[tuple[int, Rival]], seen: Sequence[tuple[Decision, object]]
) -> tuple[float, float]:
    """Return between which differences the arm's last look counted them in full."""
    if looks:
        number, rival = looks[-1]
        sigma = seen[number - 1][0].noise.sigma
        if rival.estimate is not None and sigma is not None:
            reach = CLIP * math.sqrt(2) * sigma
            return rival.estimate - reach, rival.estimate + reach
    return -math.inf, math.inf


def _difference(
    seed: int, look: int, own: _Value, reference: _Value, limits: tuple[float, float]
) -> Difference:
    if own == _OPEN or reference == _OPEN:
        return Difference(seed, look, Kind.WAITING, None, _finite(own), _finite(reference))
    if not isinstance(own, float | int) or not isinstance(reference, float | int):
        return Difference(seed, look, Kind.MISSING, None, _finite(own), _finite(reference))
    if math.isinf(own) or math.isinf(reference):
        kind = Kind.REFERENCE_INFEASIBLE
        if math.isinf(own):
            kind = Kind.BOTH_INFEASIBLE if math.isinf(reference) else Kind.INFEASIBLE
        return Difference(seed, look, kind, None, _finite(own), _finite(reference))
    difference = own - reference
    is_inside = limits[0] <= difference <= limits[1]
    kind = Kind.VALUE if is_inside else Kind.CLIPPED
    return Difference(seed, look, kind, difference, own, reference)


def _finite(value: _Value) -> float | None:
    return value if isinstance(value, float | int) and math.isfinite(value) else None
