"""The rows of a list of runs, as plain values: building models would cost more than the query."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from experiments.metrics import VAL_BPB


class Standing(StrEnum):
    """Whether an ended task has a rank, or why it has none."""

    # Measured, with a value: the only standing with a rank.
    COMPLETED = "completed"
    # The loss became NaN or infinite.
    DIVERGED = "diverged"
    # No training step fitted in the budget, or no evaluation of those that did.
    BUDGET_TOO_SMALL = "budget_too_small"
    # Measured, but better than models reach on the data set; an operator can admit it.
    IMPLAUSIBLE = "implausible"
    # Out of tries.
    FAILED = "failed"
    # Invented by a worker without torch; shown only when selected by name.
    SIMULATED = "simulated"


REASONS: Final = {
    Standing.COMPLETED: "",
    Standing.DIVERGED: "diverged: the loss became NaN or infinite",
    Standing.BUDGET_TOO_SMALL: "budget too small: no training step fitted, or not its evaluation",
    Standing.IMPLAUSIBLE: (
        f"implausible, not counted: {VAL_BPB.name} is below half of what lzma reaches on this data "
        "set"
    ),
    Standing.FAILED: "failed",
    Standing.SIMULATED: "simulated: invented by a worker without torch, not measured",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One row: a task and its outcome. `rank` is None for a task without one; `reason` says why."""

    rank: int | None
    standing: Standing
    reason: str
    number: int
    params: dict[str, Any]
    seed: int
    value: float | None = None
    is_subset: bool = False
    steps: int | None = None
    tokens: int | None = None
    device: str = ""
    seconds: float | None = None
