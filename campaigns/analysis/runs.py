"""The rows that every analysis stands on: measured, ranked results with their params."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar, cast

from django.db.models import BigIntegerField, ExpressionWrapper, F, QuerySet

from campaigns.models import Campaign, Result

# An analysis of this many tells what one of all would; reading ten times as many takes seconds.
MAX_RUNS: Final = 10_000
# Multiplying a task's number by this spreads neighbours over the whole range of 32 bits (Knuth's
# hash), so that a share of the range is a fair sample even where numbers follow a grid.
_SPREAD: Final = 2_654_435_761
_RANGE: Final = 2**32

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Run:
    """One measured result. `val_bpb` in bits per byte, lower is better."""

    task_id: int
    number: int
    seed: int
    params: dict[str, Any]
    params_sha256: str
    val_bpb: float
    steps: int
    tokens: int
    model_params: int
    device: str


@dataclass(frozen=True)
class Runs:
    """The runs to analyse, by task number; a fair sample where `total` is more than are here."""

    runs: list[Run]
    total: int

    @property
    def is_sample(self) -> bool:
        return len(self.runs) < self.total

    @property
    def values(self) -> list[float]:
        return [run.val_bpb for run in self.runs]


def read_runs(campaign: Campaign, *, device: str = "", limit: int = MAX_RUNS) -> Runs:
    """Read the ranked results of a campaign, all or those of one device; about `limit` at most."""
    ranked: QuerySet[Result] = Result.objects.filter(campaign=campaign, is_ranked=True)
    if device:
        ranked = ranked.filter(device_used=device)
    total = ranked.count()
    if total > limit:
        ranked = _sampled(ranked, limit / total)
    rows = ranked.order_by("task__number").values_list(
        "task_id",
        "task__number",
        "task__seed",
        "task__params",
        "task__params_sha256",
        "val_bpb",
        "steps_completed",
        "tokens_trained",
        "model_params",
        "device_used",
    )
    return Runs([Run(*row) for row in cast(list[tuple[Any, ...]], list(rows))], total)


def _sampled(ranked: QuerySet[Result], share: float) -> QuerySet[Result]:
    spread = ExpressionWrapper(F("task__number") * _SPREAD % _RANGE, output_field=BigIntegerField())
    return ranked.annotate(spread=spread).filter(spread__lt=int(share * _RANGE))


def evenly(rows: Sequence[T], limit: int) -> list[T]:
    """Return at most `limit` of the rows, evenly spaced, the first and the last among them."""
    if len(rows) <= limit:
        return list(rows)
    step = (len(rows) - 1) / (limit - 1)
    return [rows[round(index * step)] for index in range(limit)]
