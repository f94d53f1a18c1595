"""Arms side by side, outside of a race: who is ahead on the seeds that all of them have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Final

from campaigns.race.look import FEWEST_COMMON, Decision, Outcome, decide
from campaigns.race.rows import NO_FLOOR, Floor, Run, Sight, values_by_arm
from campaigns.race.words import listed

NOT_ONE_CLASS: Final = (
    "Cannot be told: their results are of different classes, so they stand in no common order."
)
SAME_ARM: Final = "They are runs of one arm: what lies between them is what seeds change."


@dataclass(frozen=True)
class Compared:
    """What the common seeds say of some arms. `decision` is None with too few of them."""

    arms: tuple[int, ...]
    seeds: tuple[int, ...]
    decision: Decision | None


def compare(arms: Sequence[int], runs: Sequence[Run], floor: Floor = NO_FLOOR) -> Compared:
    """Compare arms on the seeds that every one of them has run, by the rule of a race's last look.

    `runs` are of one class and none is a screening run. `floor` is the noise between seeds as it
    stood before these runs.
    """
    values = values_by_arm(runs, arms=arms)
    common = reduce(frozenset.intersection, [frozenset(row) for row in values.values()])
    seeds = tuple(sorted(common))
    if len(seeds) < FEWEST_COMMON:
        return Compared(tuple(arms), seeds, None)
    sight = Sight(
        look=1,
        seeds=seeds,
        next_seeds=0,
        runs_left=None,
        arms=tuple(arms),
        runs=tuple(run for run in runs if run.seed_index in common),
        floor=floor,
    )
    return Compared(tuple(arms), seeds, decide(sight))


def compared_verdict(
    compared: Compared, *, names: Callable[[int], str], shown: Callable[[float], str]
) -> str:
    """Return what may be claimed; `names` writes an arm, `shown` a distance with its unit."""
    decision = compared.decision
    if decision is None:
        return _untold(compared, names)
    if decision.leader is None:
        return "None of them runs on more than half of their common seeds."
    if decision.outcome is Outcome.CHAMPION:
        return _ahead(compared, decision, names, shown)
    return _level(compared, decision, names, shown)


def _untold(compared: Compared, names: Callable[[int], str]) -> str:
    count = len(compared.seeds)
    shared = f"only {count} shared seed{'' if count == 1 else 's'}" if count else "no shared seeds"
    who = listed([names(arm) for arm in compared.arms])
    return (
        f"Cannot be told: {shared} of {who} beside the screening, which proves nothing; "
        f"{FEWEST_COMMON} are needed."
    )


def _ahead(
    compared: Compared,
    decision: Decision,
    names: Callable[[int], str],
    shown: Callable[[float], str],
) -> str:
    leader = names(decision.leader or 0)
    failing = " and ".join(names(arm) for arm in decision.infeasible)
    rival = decision.rival
    if rival is None or rival.estimate is None or rival.bound is None:
        return f"{leader} runs where {failing} failed on half of the {len(compared.seeds)} seeds."
    behind = [names(arm) for arm in compared.arms if arm in decision.behind]
    nearest = f" from the nearest, {names(rival.arm)}," if len(behind) > 1 else ""
    sentence = (
        f"{leader} is ahead of {listed(behind)} by {shown(rival.estimate)}{nearest} "
        f"± {shown(rival.bound)} on {rival.n} shared seeds."
    )
    return f"{sentence} Half of the seeds or more failed for {failing}." if failing else sentence


def _level(
    compared: Compared,
    decision: Decision,
    names: Callable[[int], str],
    shown: Callable[[float], str],
) -> str:
    seeds = len(compared.seeds)
    nearest = next(rival for rival in decision.rivals if not rival.is_behind)
    pair = listed([names(arm) for arm in sorted((decision.leader or 0, nearest.arm))])
    if nearest.estimate is None or nearest.bound is None:
        return f"No difference is shown between {pair}: the noise of {seeds} seeds is unknown."
    sentence = (
        f"No difference is shown between {pair}: {shown(nearest.estimate)} "
        f"± {shown(nearest.bound)} on {seeds} shared seeds."
    )
    if decision.seeds_to_separate:
        sentence += (
            f" About {decision.seeds_to_separate:,} seeds would separate them, if what lies "
            "between them now is true."
        )
    return sentence
