"""What goes into a decision: ended runs, what is known of the noise, and what a look sees."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

# Differences between sort keys cannot be told from noise below this s.d. (bits per byte). Without
# it, two arms that differ in the last digit on three seeds would be a champion and a loser.
MIN_SIGMA: Final = 0.002
# The smallest difference (bits per byte) that a race looks for.
MIN_EFFECT: Final = 0.01
INFEASIBLE: Final = "infeasible"


@dataclass(frozen=True)
class Run:
    """A task that has ended: an arm with the seed of this place in the campaign's seed list.

    `seed_index` 0 is the screening seed. `sort_key` is smaller for better runs. It is infinite when
    the run diverged or failed for reasons of its params, and None when it ended without saying
    anything about them (lost, cancelled, the worker's trouble, too slow).
    """

    arm: int
    seed_index: int
    sort_key: float | None

    def __post_init__(self) -> None:
        if self.sort_key is not None and not self.sort_key > -math.inf:
            raise ValueError(f"a sort key is a number or +inf, not {self.sort_key}")


@dataclass(frozen=True)
class Floor:
    """A class's noise floor: the s.d. between seeds from replicate pairs, None without any."""

    sd: float | None = None
    pairs: int = 0

    @property
    def weight(self) -> float:
        """How many degrees of freedom the floor is worth."""
        return min(40.0, 0.4 * self.pairs) if self.sd is not None else 0.0


NO_FLOOR: Final = Floor()


@dataclass(frozen=True)
class Spread:
    """The s.d. of the residuals of a look, and how many degrees of freedom it is worth."""

    sd: float
    weight: float


@dataclass(frozen=True)
class Sight:
    """Everything that a look sees. A decision is a function of this alone.

    `look` counts from 1. `seeds` are the seed indices run so far, `next_seeds` is the number that
    each arm would run for the next look (0 at the last), `runs_left` the number of runs that the
    race may still add (None: as many as it needs). `arms` are those still in the race; `behind`,
    `dropped` (for number) and `infeasible` left it earlier. `first` is the spread at the first look
    of the race. `runs` are the ended runs of `arms` on `seeds`.
    """

    look: int
    seeds: tuple[int, ...]
    next_seeds: int
    runs_left: int | None
    arms: tuple[int, ...]
    runs: tuple[Run, ...]
    floor: Floor = NO_FLOOR
    first: Spread | None = None
    behind: tuple[int, ...] = ()
    dropped: tuple[int, ...] = ()
    infeasible: tuple[int, ...] = ()
    min_effect: float = MIN_EFFECT
    min_sigma: float = MIN_SIGMA

    @property
    def began(self) -> int:
        """The number of arms that began the race."""
        return len({*self.arms, *self.behind, *self.dropped, *self.infeasible})

    def to_json(self) -> dict[str, Any]:
        """Return the sight as JSON: also an infinite value stays readable and storable."""
        fields = dataclasses.asdict(self)
        fields["runs"] = [[run.arm, run.seed_index, _written(run.sort_key)] for run in self.runs]
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in fields.items()
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Sight:
        """Return the sight that `to_json` wrote."""
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in fields.items()
        }
        values["runs"] = tuple(Run(arm, seed, _read(key)) for arm, seed, key in fields["runs"])
        values["floor"] = Floor(**fields["floor"])
        values["first"] = Spread(**fields["first"]) if fields["first"] else None
        return cls(**values)


def _written(sort_key: float | None) -> float | str | None:
    return INFEASIBLE if sort_key == math.inf else sort_key


def _read(sort_key: float | str | None) -> float | None:
    return math.inf if sort_key == INFEASIBLE else sort_key  # type: ignore[return-value]


def values_by_arm(
    runs: Iterable[Run], *, arms: Iterable[int] | None = None, seeds: Iterable[int] | None = None
) -> dict[int, dict[int, float]]:
    """Return arm → seed index → sort key of the runs that have one, of these arms and seeds.

    An arm that is asked for and has no such run has an empty row. Raises ValueError when an arm has
    two runs on one seed.
    """
    rows: dict[int, dict[int, float]] = {arm: {} for arm in arms or ()}
    wanted_seeds = None if seeds is None else frozenset(seeds)
    for run in runs:
        if run.sort_key is None or (
            wanted_seeds is not None and run.seed_index not in wanted_seeds
        ):
            continue
        if arms is not None and run.arm not in rows:
            continue
        row = rows.setdefault(run.arm, {})
        if run.seed_index in row:
            raise ValueError(f"arm {run.arm} has two runs on seed {run.seed_index}")
        row[run.seed_index] = run.sort_key
    return rows
