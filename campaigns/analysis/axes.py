"""A parameter as an axis: its levels, or its range cut into bins. Only the standard library."""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

# An integer parameter with at most this many values gets levels instead of a range.
MAX_LEVELS_OF_INT: Final = 12
BINS: Final = 8


@dataclass(frozen=True)
class Axis:
    """One parameter of the search space.

    With `levels`, the position of a value is its index in them. Without, it is the value itself,
    and `edges` cut the range into bins of equal width (in the logarithm if `log`).
    """

    name: str
    levels: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    is_whole: bool = False

    def position(self, value: object) -> float | None:
        """Return the position of `value` on this axis, or None for a value that is not on it."""
        if self.levels:
            # Compare types too: a script may treat 1, 1.0 and true as three different configs.
            for index, level in enumerate(self.levels):
                if type(level) is type(value) and level == value:
                    return index
            return None
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return float(value) if is_number else None  # type: ignore[arg-type]

    def unit(self, position: float) -> float:
        """Return a position on the range as 0.0 to 1.0, in the logarithm if `log`."""
        low, high = self._scaled(self.low), self._scaled(self.high)
        return (self._scaled(position) - low) / (high - low)

    def at(self, unit: float) -> float:
        """Return the position at 0.0 to 1.0 of the range: the inverse of `unit`."""
        low, high = self._scaled(self.low), self._scaled(self.high)
        scaled = low + unit * (high - low)
        return math.exp(scaled) if self.log else scaled

    @property
    def edges(self) -> list[float]:
        """The inner borders between the bins of a range, from low to high."""
        return [self.at(number / BINS) for number in range(1, BINS)]

    @property
    def cell_count(self) -> int:
        return len(self.levels) or BINS

    def cell(self, position: float) -> int:
        """Return the number of the level or bin that a position is in, from 0."""
        return int(position) if self.levels else bisect_right(self.edges, position)

    def cell_centre(self, cell: int) -> float:
        """Return the position in the middle of a level or bin."""
        return float(cell) if self.levels else self.at((cell + 0.5) / BINS)

    def cell_label(self, cell: int) -> str:
        """Return the name of a level as in the config file, or the two ends of a bin."""
        if self.levels:
            return level_label(self.levels[cell])
        ends = [self.low, *self.edges, self.high]
        return f"{ends[cell]:.3g} – {ends[cell + 1]:.3g}"

    def _scaled(self, position: float) -> float:
        return math.log(position) if self.log else position


def level_label(level: object) -> str:
    """Return a value as in the config file, texts without quotes: 64, cosine, true."""
    return level if isinstance(level, str) else json.dumps(level)


def axes_of(search_space: Mapping[str, Any]) -> list[Axis]:
    """Return an axis for each parameter that varies, in the order of the search space."""
    axes = (_axis(parameter) for parameter in search_space["parameters"])
    return [axis for axis in axes if len(axis.levels) > 1 or axis.high > axis.low]


def _axis(parameter: Mapping[str, Any]) -> Axis:
    name = parameter["name"]
    if parameter["type"] == "choice":
        return Axis(name, levels=tuple(parameter["values"]))
    low, high = parameter["low"], parameter["high"]
    if parameter["type"] == "int":
        values = range(low, high + 1, parameter.get("step", 1))
        if len(values) <= MAX_LEVELS_OF_INT:
            return Axis(name, levels=tuple(values))
    is_whole = parameter["type"] == "int"
    return Axis(name, low=low, high=high, log=bool(parameter.get("log")), is_whole=is_whole)
