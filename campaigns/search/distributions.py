"""The distributions of W&B sweeps: how each is read, or what to write instead. Pure.

W&B rounds a draw x of its ``q_…`` distributions to round(x / q) * q. So the first and the last step
come half as often as the others, and a limit between two steps moves to the nearest one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from campaigns.search.lined import LinedDict, UnreadableSpace, line_of
from campaigns.search.parameters import MAX_MAGNITUDE, is_storable
from campaigns.search.space_json import MAX_CHOICES

Read = dict[str, Any]


@dataclass(frozen=True)
class Fields:
    """The fields of one parameter of a sweep, read with errors that name it and its line."""

    name: str
    body: LinedDict
    line: int
    notes: list[str]

    def refuse(self, sentence: str, key: str = "") -> UnreadableSpace:
        """Return the error of a field; without a key, of the parameter."""
        return UnreadableSpace(
            f"{quoted(self.name)} {sentence}", line_of(self.body, key) or self.line
        )

    def note(self, sentence: str) -> None:
        """Tell what differs from the sweep."""
        self.notes.append(f"{self.name}: {sentence}")

    def number(self, key: str, default: float | None = None) -> float:
        """Return a field as a number. Raises UnreadableSpace."""
        value = self.body.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.refuse(f"needs {key} as a number, such as 0.01 or 1e-2.", key)
        if not abs(value) < math.inf:
            raise self.refuse(f"needs {key} as a number that is not endless.", key)
        if abs(value) > MAX_MAGNITUDE:
            raise self.refuse(f"needs {key} within ±2^53, where numbers are exact.", key)
        return value

    def whole(self, key: str) -> int:
        """Return a field as a whole number. Raises UnreadableSpace."""
        value = self.number(key)
        if value != int(value):
            raise self.refuse(f"needs {key} as a whole number.", key)
        return int(value)

    def limits(self) -> tuple[float, float]:
        """Return min and max, in order. Raises UnreadableSpace."""
        low, high = self.number("min"), self.number("max")
        if low > high:
            raise self.refuse(f"needs min, max with min ≤ max, not {low:g} and {high:g}.", "min")
        return low, high

    def positive_limits(self) -> tuple[float, float]:
        """Return min and max of a logarithmic scale. Raises UnreadableSpace."""
        low, high = self.limits()
        if low <= 0:
            raise self.refuse("needs min above 0, because its scale is logarithmic.", "min")
        return low, high

    def exponents(self, instead: str) -> tuple[float, float]:
        """Return e to the power of min and of max. Raises UnreadableSpace."""
        low, high = self.limits()
        try:
            powers = math.exp(low), math.exp(high)
        except OverflowError:
            powers = 0.0, math.inf
        if powers[0] <= 0 or powers[1] > MAX_MAGNITUDE:
            raise self.refuse(
                f"has limits beyond all numbers: min and max ({low:g} and {high:g}) are exponents "
                f"of e here. If you meant these limits themselves, write {instead}.",
                "distribution",
            )
        return powers

    def value(self, value: object, key: str) -> Any:
        """Return a value that can be drawn. Raises UnreadableSpace."""
        if value is None or isinstance(value, list | dict):
            kind = "an empty value (null)" if value is None else "a nested value"
            raise self.refuse(
                f"has {kind}; nested and empty values cannot be drawn. Write a word for it, such "
                'as "none" or "64-64", and let the script read that word.',
                key,
            )
        if not is_storable(value):
            raise self.refuse(
                "may hold numbers within ±2^53, true, false and texts of whole characters.", key
            )
        return value


def _constant(fields: Fields) -> Read:
    return {"type": "choice", "values": [fields.value(fields.body.get("value"), "value")]}


def _categorical(fields: Fields) -> Read:
    values = fields.body.get("values")
    if not isinstance(values, list) or not 1 <= len(values) <= MAX_CHOICES:
        raise fields.refuse(f"needs values as a list of 1 to {MAX_CHOICES} values.", "values")
    drawn = [fields.value(value, "values") for value in values]
    seen: set[tuple[type, Any]] = set()
    for value in drawn:
        if (type(value), value) in seen:
            raise fields.refuse(
                f"has the value {json.dumps(value)[:60]} twice; all values are equally likely here."
                " Leave one of them out.",
                "values",
            )
        seen.add((type(value), value))
    return {"type": "choice", "values": drawn}


def _with_probabilities(fields: Fields) -> Read:
    probabilities = fields.body.get("probabilities")
    read = _categorical(fields)
    if (
        not isinstance(probabilities, list)
        or len(probabilities) != len(read["values"])
        or any(probability != probabilities[0] for probability in probabilities)
    ):
        raise fields.refuse(
            "has probabilities, but a choice draws all of its values equally often here. Leave "
            "probabilities out, or run a campaign for each group of values.",
            "probabilities",
        )
    return read


def _int_uniform(fields: Fields) -> Read:
    fields.limits()
    return {"type": "int", "low": fields.whole("min"), "high": fields.whole("max")}


def _uniform(fields: Fields) -> Read:
    low, high = fields.limits()
    return {"type": "float", "low": float(low), "high": float(high)}


def _log_uniform_values(fields: Fields) -> Read:
    low, high = fields.positive_limits()
    return {"type": "float", "low": float(low), "high": float(high), "log": True}


def _log_uniform(fields: Fields) -> Read:
    low, high = fields.exponents("log_uniform_values")
    fields.note(
        f"log_uniform takes exponents of e, so it runs from {low:.4g} to {high:.4g}. If you meant "
        "these limits themselves, use log_uniform_values."
    )
    return {"type": "float", "low": low, "high": high, "log": True}


def _inv_log_uniform(fields: Fields) -> Read:
    """Read log(1/x), uniform between min and max: x is log-uniform, its limits change places."""
    low, high = fields.exponents("inv_log_uniform_values")
    low, high = 1 / high, 1 / low
    if high > MAX_MAGNITUDE:
        raise fields.refuse("reaches beyond ±2^53, where numbers are exact.", "min")
    fields.note(
        f"inv_log_uniform takes exponents of 1/e, so it runs from {low:.4g} to {high:.4g}. If you "
        "meant these limits themselves, use log_uniform_values."
    )
    return {"type": "float", "low": low, "high": high, "log": True}


def _q_uniform(fields: Fields) -> Read:
    """Read steps of q as an int range, a float range with decimals, or a choice."""
    low, high = fields.limits()
    q = fields.number("q", 1)
    if q <= 0 or max(abs(low), abs(high)) / q > MAX_MAGNITUDE:
        raise fields.refuse("needs q above 0, and large enough to count its steps.", "q")
    first, last = round(low / q), round(high / q)
    if not (math.isclose(first * q, low, abs_tol=1e-12) and math.isclose(last * q, high)):
        fields.note(
            f"W&B rounds to steps of q, so it runs from {first * q:g} to {last * q:g}, and not "
            f"from {low:g} to {high:g}; the ends may come more or less often than with W&B."
        )
    if q == int(q):
        _note_ends(fields, first, last)
        return {"type": "int", "low": first * int(q), "high": last * int(q), "step": int(q)}
    decimals = next((n for n in range(1, 16) if math.isclose(q, 10.0**-n, rel_tol=1e-9)), None)
    if decimals is not None:
        ends = {"low": round(first * q, decimals), "high": round(last * q, decimals)}
        return {"type": "float", **ends, "decimals": decimals}
    if last - first >= MAX_CHOICES:
        raise fields.refuse(
            f"has {last - first + 1:,} steps of q = {q:g}, more than the {MAX_CHOICES} steps that "
            f"a choice may have. Write q as 1 or a power of ten, or as {(high - low) / 100:.2g}.",
            "q",
        )
    values = [float(f"{step * q:.12g}") for step in range(first, last + 1)]
    fields.note(f"the {len(values)} steps of q = {q:g} became a choice.")
    _note_ends(fields, first, last)
    return {"type": "choice", "values": values}


def _q_log_uniform_values(fields: Fields) -> Read:
    low, high = fields.positive_limits()
    q = fields.number("q", 1)
    if q != 1:
        raise fields.refuse(
            f"has steps of q = {q:g} on a logarithmic scale; only q = 1 is known here. Write the "
            f"values that are meant, such as values: {_doubling(low, high, q)}.",
            "q",
        )
    first, last = fields.whole("min"), fields.whole("max")
    _note_ends(fields, first, last)
    return {"type": "int", "low": first, "high": last, "log": True}


def _doubling(low: float, high: float, q: float) -> list[Any]:
    """Return a few values of the range, each about twice the one before."""
    values: list[Any] = []
    value = low
    while value <= high and len(values) < 12 and q > 0:
        step = float(f"{max(1, round(value / q)) * q:.12g}")
        values.append(int(step) if step == int(step) else step)
        value *= 2
    return values


def _note_ends(fields: Fields, first: int, last: int) -> None:
    if first < last:
        fields.note("all steps are equally likely; W&B draws the first and the last half as often.")


_LIMITS: Final = ("min", "max")
_STEPS: Final = ("min", "max", "q")
# The name of a distribution -> how it is read, and the fields that it may have.
DISTRIBUTIONS: Final[dict[str, tuple[Callable[[Fields], Read], tuple[str, ...]]]] = {
    "constant": (_constant, ("value",)),
    "categorical": (_categorical, ("values",)),
    "categorical_w_probabilities": (_with_probabilities, ("values", "probabilities")),
    "int_uniform": (_int_uniform, _LIMITS),
    "uniform": (_uniform, _LIMITS),
    "q_uniform": (_q_uniform, _STEPS),
    "log_uniform": (_log_uniform, _LIMITS),
    "log_uniform_values": (_log_uniform_values, _LIMITS),
    # log(1/x) is uniform between the logarithms of 1/max and 1/min, so log(x) is uniform, too.
    "inv_log_uniform_values": (_log_uniform_values, _LIMITS),
    "inv_log_uniform": (_inv_log_uniform, _LIMITS),
    "q_log_uniform_values": (_q_log_uniform_values, _STEPS),
}
_WRITE_LIMITS: Final = "Write min and max for a uniform draw"
_NORMAL: Final = f"{_WRITE_LIMITS}, such as mu - 2 * sigma and mu + 2 * sigma, or a list of values."
_LOG_NORMAL: Final = (
    "Write distribution: log_uniform_values with min and max, such as e^(mu - 2 * sigma) and "
    "e^(mu + 2 * sigma), or a list of values."
)
_BETA: Final = f"{_WRITE_LIMITS}, such as min: 0.0 and max: 1.0, or a list of values."
# Distributions of W&B that no parameter here can draw -> what to write instead.
REFUSED: Final = {
    "normal": _NORMAL,
    "q_normal": _NORMAL,
    "log_normal": _LOG_NORMAL,
    "q_log_normal": _LOG_NORMAL,
    "beta": _BETA,
    "q_beta": _BETA,
    "q_log_uniform": "Write q_log_uniform_values with whole limits (not exponents) and q = 1, or a "
    "list of values.",
}


def implied(body: LinedDict) -> str:
    """Return the distribution that W&B assumes when a parameter names none."""
    if "value" in body:
        return "constant"
    if "values" in body:
        return "categorical_w_probabilities" if "probabilities" in body else "categorical"
    limits = (body.get("min"), body.get("max"))
    return "int_uniform" if all(type(limit) is int for limit in limits) else "uniform"


def quoted(value: object) -> str:
    """Quote a value of the text for a message: cut short, and of nested data only the type."""
    if value is None or isinstance(value, bool | int | float):
        return json.dumps(value)
    if isinstance(value, str):
        return repr(value[:60])
    return "a list" if isinstance(value, list) else "a mapping"
