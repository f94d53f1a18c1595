"""Fits the coefficients of a cost model to the measured steps of a machine. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import pstdev

Amounts = Mapping[str, float]


class UnfittedCost(ValueError):
    """The measured steps give no coefficients; the message says why."""


def fitted(amounts: Sequence[Amounts], step_seconds: Sequence[float]) -> dict[str, float]:
    """Return non-negative seconds per unit of each term, fitted to steps of several shapes.

    `amounts` has what a step of each shape costs in terms, `step_seconds` (above 0) what it took.
    Every shape weighs the same, because relative errors are made small. Raises UnfittedCost.
    """
    if not amounts or any(not (math.isfinite(time) and time > 0) for time in step_seconds):
        raise UnfittedCost("a step time is missing, not finite or not above 0")
    # Importing SciPy takes a tenth of a second, which a page without a fit should not pay.
    from scipy.optimize import nnls

    names = sorted(amounts[0])
    largest = {name: max(shape[name] for shape in amounts) for name in names}
    names = [name for name in names if largest[name] > 0]
    if not names:  # SciPy would end the process on a matrix without columns
        raise UnfittedCost("no term explains the step times")
    # Terms differ by powers of ten: each is scaled to at most 1, and back.
    rows = [
        [shape[name] / largest[name] / time for name in names]
        for shape, time in zip(amounts, step_seconds, strict=True)
    ]
    if not all(math.isfinite(share) for row in rows for share in row):
        raise UnfittedCost("a step time is too short for its cost")
    try:
        solution, _ = nnls(rows, [1.0] * len(rows))
    except (RuntimeError, ValueError) as error:
        raise UnfittedCost(f"no coefficients were found: {error}") from error
    found = {
        name: float(value) / largest[name] for name, value in zip(names, solution, strict=True)
    }
    if not any(found.values()):
        raise UnfittedCost("no term explains the step times")
    return {name: found.get(name, 0.0) for name in sorted(amounts[0])}


def log_error(
    coefficients: Mapping[str, float], amounts: Sequence[Amounts], step_seconds: Sequence[float]
) -> float:
    """Return the s.d. of log(predicted / measured) over the shapes."""
    logs = []
    for shape, time in zip(amounts, step_seconds, strict=True):
        predicted = sum(coefficients[name] * amount for name, amount in shape.items())
        if predicted <= 0:
            raise UnfittedCost("a step would cost nothing")
        logs.append(math.log(predicted / time))
    return pstdev(logs)
