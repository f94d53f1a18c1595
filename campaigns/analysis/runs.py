"""The rows that every analysis uses: measured, ranked results with their params."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Run:
    """One measured result. The smaller `sort_key`, the better; `value` is in the metric's unit."""

    number: int
    seed: int
    params: dict[str, Any]
    arm_id: int
    value: float
    sort_key: float
    steps: int
    tokens: int
    model_params: int
    device: str


@dataclass(frozen=True)
class Runs:
    """The runs to analyse, by task number: all, or a fair sample if `total` is larger."""

    runs: list[Run]
    total: int

    @property
    def is_sample(self) -> bool:
        return len(self.runs) < self.total

    @property
    def values(self) -> list[float]:
        return [run.value for run in self.runs]


def first_of_arms(runs: Iterable[Run]) -> list[Run]:
    """Return the first run of each arm, by task number.

    Runs of one arm say the same about its params, and a race repeats only those that did well.
    """
    first: dict[int, Run] = {}
    for run in sorted(runs, key=lambda run: run.number):
        first.setdefault(run.arm_id, run)
    return list(first.values())


def evenly(rows: Sequence[T], limit: int) -> list[T]:
    """Return at most `limit` rows, evenly spaced, including the first and the last."""
    if len(rows) <= limit:
        return list(rows)
    step = (len(rows) - 1) / (limit - 1)
    return [rows[round(index * step)] for index in range(limit)]
