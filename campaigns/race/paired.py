"""Arms of several classes beside one of them: what differs where both ran alike. Pure.

Values of different classes stand in no common order. What may still be shown is the difference to a
baseline arm within a class on one seed. It is a measured number and no claim: a race decides.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from statistics import median
from typing import Final, NamedTuple

SEEDS_NOT_SHARED: Final = (
    "No differences to a baseline arm are shown: the arms of this campaign share no seeds."
)


class PairedRun(NamedTuple):
    """The counted, undisturbed run of an arm on a seed, in the class of its result."""

    arm: int
    of_class: int
    seed: int
    value: float


@dataclass(frozen=True)
class PairedDifference:
    """The median of an arm's value minus the baseline's over `pairs` runs of both alike."""

    difference: float
    pairs: int


def paired_differences(runs: Iterable[PairedRun], baseline: int) -> dict[int, PairedDifference]:
    """Return each arm's difference to the baseline; an arm without a pair is not in it.

    Runs are a pair when they are of one class and on one seed.
    """
    runs = list(runs)
    base = {(run.of_class, run.seed): run.value for run in runs if run.arm == baseline}
    distances: dict[int, list[float]] = {}
    for run in runs:
        value = base.get((run.of_class, run.seed))
        if run.arm != baseline and value is not None:
            distances.setdefault(run.arm, []).append(run.value - value)
    return {arm: PairedDifference(median(row), len(row)) for arm, row in distances.items()}


def paired_words(baseline: int | None, arms: Collection[int], pairs: Collection[int]) -> str:
    """Return what the differences of a page are, in a sentence.

    `arms` are those shown, `pairs` those of them that have a difference.
    """
    if baseline is None:
        return "No differences are shown: no arm has an undisturbed run."
    others = set(arms) - {baseline}
    if others and not pairs:
        return (
            f"No difference to arm {baseline} is shown: none of these arms ran on a seed of arm "
            f"{baseline} in the same class."
        )
    return (
        f"Differences are medians paired with arm {baseline} on the same worker, or one of its "
        "class, and the same seed. They prove nothing; a race does."
    )
