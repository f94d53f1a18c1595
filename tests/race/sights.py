"""What looks see, written as a table: one row of sort keys per arm, one column per seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from campaigns.race.rows import Floor, Run, Sight

Table = Mapping[int, Sequence[float | None]]
# A floor that is worth as much as one may be: its σ is nearly that of the look.
SURE = Floor(0.02, 100)


def runs_of(table: Table, seeds: Sequence[int] | None = None) -> tuple[Run, ...]:
    """The runs of a table; `seeds` names its columns, s1, s2 … by default."""
    return tuple(
        Run(arm, seed, value)
        for arm, row in table.items()
        for seed, value in zip(seeds or range(1, len(row) + 1), row, strict=True)
    )


def sight(table: Table, **fields: Any) -> Sight:
    """What the first look of a race sees of this table; the race may go on as long as it needs."""
    count = len(next(iter(table.values())))
    defaults: dict[str, Any] = {
        "look": 1,
        "seeds": tuple(range(1, count + 1)),
        "next_seeds": count,
        "runs_left": None,
        "arms": tuple(table),
        "runs": runs_of(table),
        "floor": SURE,
    }
    return Sight(**defaults | fields)


def shifted(row: Sequence[float], by: float) -> list[float]:
    """The row of an arm that is worse by this much on every seed."""
    return [value + by for value in row]
