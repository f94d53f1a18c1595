"""What ranks results: a metric's name, unit, direction and bounds, and its value from raw counters.

Pure standard library. Server and agents judge a result line by the same spec, and pages, exports
and messages take every word about a value from it. A campaign pins the name and the version of its
metric when it is launched. So a metric that comes to mean something else gets a new version, and no
spec that a campaign may have pinned is ever removed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

# The bounds of every metric lie within ± this. A constraint of the database refuses values beyond
# it, and so infinity and NaN, whatever the metric.
MAX_MAGNITUDE: Final = 1e12
NATS_PER_BIT: Final = math.log(2.0)


class UnknownMetric(LookupError):
    """No metric of this name and version is known."""

    def __init__(self, name: str, version: int) -> None:
        known = ", ".join(f"{spec.name} {spec.version}" for spec in _METRICS.values())
        super().__init__(f"There is no metric {name!r} in version {version}. Known: {known}.")


class NoValue(ValueError):
    """The counters of a result line give no value of this metric."""


class Direction(StrEnum):
    """Which values are better; the words are Optuna's."""

    MINIMIZE = "minimize"
    MAXIMIZE = "maximize"


@dataclass(frozen=True)
class MetricSpec:
    """A metric. `name` is also the key of the value in the script's result line.

    `counters` are the keys of the line from which `formula` computes the value, in the order of its
    arguments. A value lies strictly between `low` and `high`. The line's own value may differ from
    the computed one by `tolerance`, for rounding. Charts without a value show the range `usual`.
    """

    name: str
    version: int
    title: str
    unit: str
    direction: Direction
    decimals: int
    counters: tuple[str, ...]
    formula: Callable[..., float]
    low: float
    high: float
    tolerance: float
    usual: tuple[float, float]

    def __post_init__(self) -> None:
        if not -MAX_MAGNITUDE <= self.low < self.high <= MAX_MAGNITUDE:
            raise ValueError(f"The bounds of {self.name} must be rising and within ± 1e12.")
        if not self.counters:
            raise ValueError(f"{self.name} must name the counters that it is computed from.")

    @property
    def is_maximised(self) -> bool:
        """Whether larger values are better."""
        return self.direction is Direction.MAXIMIZE

    @property
    def better(self) -> str:
        """What a better value is than another: "lower" or "higher"."""
        return "higher" if self.is_maximised else "lower"

    @property
    def good(self) -> str:
        """What a good value is: "low" or "high"."""
        return "high" if self.is_maximised else "low"

    @property
    def best(self) -> str:
        """What the best value is: "lowest" or "highest"."""
        return "highest" if self.is_maximised else "lowest"

    @property
    def side(self) -> str:
        """On which side of a value better ones lie: "below" or "above"."""
        return "above" if self.is_maximised else "below"

    @property
    def resolution(self) -> float:
        """The smallest difference that the decimals show, in the metric's unit."""
        return float(10.0**-self.decimals)

    def value(self, counters: Mapping[str, Any]) -> float:
        """Return the value that follows from the counters of a result line.

        Raises NoValue when a counter is missing or no number, or when they give no possible value.
        """
        try:
            computed = self.formula(*(counters[name] for name in self.counters))
        except (ArithmeticError, KeyError, TypeError, ValueError):
            computed = math.nan
        if not self.low < computed < self.high:
            raise NoValue(f"{' and '.join(self.counters)} give no possible {self.name}")
        return computed

    def sort_key(self, value: float) -> float:
        """Return the number by which values sort: the smaller, the better, for any metric."""
        # 0.0 - value and not -value, which would store a negative zero.
        return 0.0 - value if self.is_maximised else value

    def value_of(self, sort_key: float) -> float:
        """Return the value that has this sort key: the inverse of `sort_key`."""
        return self.sort_key(sort_key)

    def text(self, value: float) -> str:
        """Return the value with the metric's decimals, without its unit: 3.2187."""
        return f"{value:.{self.decimals}f}"

    def rough(self, value: float) -> str:
        """Return the value with a decimal less than `text`, for titles: 3.219."""
        return f"{value:.{max(0, self.decimals - 1)}f}"

    def difference(self, value: float, other: float) -> str:
        """Return value - other with its sign and the metric's decimals: +0.0312."""
        return f"{value - other:+.{self.decimals}f}"

    def with_unit(self, value: float) -> str:
        """Return the value with its unit: 3.2187 bits/byte."""
        return f"{self.text(value)} {self.unit}"


def bits_per_byte(eval_nll_nats: float, eval_bytes: int) -> float:
    """Return validation bits per byte from the summed loss in nats and the predicted bytes."""
    return eval_nll_nats / (eval_bytes * NATS_PER_BIT)


VAL_BPB: Final = MetricSpec(
    name="val_bpb",
    version=1,
    title="validation bits per byte",
    unit="bits/byte",
    direction=Direction.MINIMIZE,
    decimals=4,
    counters=("eval_nll_nats", "eval_bytes"),
    formula=bits_per_byte,
    low=0.0,
    # Guessing among 256 byte values costs 8 bits per byte. A loss that is this far above it counts
    # as diverged, even when it is finite.
    high=1e6,
    # Enough for rounding, not for errors.
    tolerance=1e-4,
    usual=(1.0, 4.0),
)

_METRICS: Final = {(spec.name, spec.version): spec for spec in (VAL_BPB,)}


def get(name: str, version: int) -> MetricSpec:
    """Return the metric of this name and version. Raises UnknownMetric."""
    try:
        return _METRICS[name, version]
    except KeyError:
        raise UnknownMetric(name, version) from None


def common(specs: Iterable[MetricSpec]) -> MetricSpec | None:
    """Return the spec that all of them are; None for different ones, or for none at all."""
    different = set(specs)
    return different.pop() if len(different) == 1 else None
