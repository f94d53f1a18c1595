"""The parameters of a search space: each draws a value, judges one, and writes itself as JSON.

Each also writes a value that it contains in one way only, so that equal points look the same.
"""

from __future__ import annotations

import math
import random
import re
from dataclasses import dataclass
from typing import Any, Final

# Larger whole numbers are not exact as floats, so a script in another language could read another
# value.
MAX_MAGNITUDE: Final = 2**53

Value = int | float | str | bool


@dataclass(frozen=True)
class FloatParameter:
    """A real number in [low, high], uniform or log-uniform."""

    low: float
    high: float
    log: bool = False
    decimals: int | None = None

    def draw(self, rng: random.Random) -> float:
        if self.log:
            value = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        else:
            value = rng.uniform(self.low, self.high)
        # exp(log(x)) is not always x, so a draw at an end of the range may fall just outside it.
        value = min(self.high, max(self.low, value))
        if self.decimals is not None:
            value = round(value, self.decimals)
        return value

    def contains(self, value: object) -> bool:
        return is_number(value) and self.low <= value <= self.high  # type: ignore[operator]

    def normalised(self, value: Value) -> Value:
        # The sum turns -0.0 into 0.0.
        return float(value) + 0.0

    def to_json(self) -> dict[str, Any]:
        body: dict[str, Any] = {"type": "float", "low": self.low, "high": self.high}
        if self.log:
            body["log"] = True
        if self.decimals is not None:
            body["decimals"] = self.decimals
        return body


@dataclass(frozen=True)
class IntParameter:
    """A whole number low, low + step, … up to high; uniform, or log-uniform with step 1."""

    low: int
    high: int
    step: int = 1
    log: bool = False

    def draw(self, rng: random.Random) -> int:
        if self.log:
            # Widened by half a unit on both sides; otherwise rounding would halve the ends' share.
            value = math.exp(rng.uniform(math.log(self.low - 0.5), math.log(self.high + 0.5)))
            return min(self.high, max(self.low, round(value)))
        return self.low + self.step * rng.randrange((self.high - self.low) // self.step + 1)

    def contains(self, value: object) -> bool:
        return (
            isinstance(value, int)
            and not isinstance(value, bool)
            and self.low <= value <= self.high
            and (value - self.low) % self.step == 0
        )

    def normalised(self, value: Value) -> Value:
        return value

    def to_json(self) -> dict[str, Any]:
        body: dict[str, Any] = {"type": "int", "low": self.low, "high": self.high}
        if self.step != 1:
            body["step"] = self.step
        if self.log:
            body["log"] = True
        return body


@dataclass(frozen=True)
class ChoiceParameter:
    """One of the listed values, all equally likely."""

    values: tuple[Value, ...]

    def draw(self, rng: random.Random) -> Value:
        return rng.choice(self.values)

    def contains(self, value: object) -> bool:
        # Compare the types too: 1, 1.0 and True are equal in Python, but not for every script.
        return any(type(value) is type(choice) and value == choice for choice in self.values)

    def normalised(self, value: Value) -> Value:
        return value

    def to_json(self) -> dict[str, Any]:
        return {"type": "choice", "values": list(self.values)}


Parameter = FloatParameter | IntParameter | ChoiceParameter


def is_number(value: object) -> bool:
    """Whether the value is a whole number or a finite float; true and false are none."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


def is_storable(value: object) -> bool:
    """Whether every database can store a choice and every script reads back the same value."""
    if isinstance(value, str):
        # PostgreSQL's JSON accepts neither NUL nor half of a surrogate pair.
        return not re.search("[\x00\ud800-\udfff]", value)
    return isinstance(value, bool) or (is_number(value) and abs(value) <= MAX_MAGNITUDE)  # type: ignore[arg-type]
