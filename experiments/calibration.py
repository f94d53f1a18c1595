"""How a worker measures its speed: fixed steps of fixed shapes of an experiment. Pure.

The agent runs them with its own copy of the script, on the generated corpus and on one seed; the
server fits a cost model to the step times (`campaigns.work`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

CALIBRATION_DATASET: Final = "english_like"
CALIBRATION_SEED: Final = 0
# A run is ended then (seconds). The steps that it made by then are enough to know their time.
CALIBRATION_GUARD_SECONDS: Final = 45.0


@dataclass(frozen=True)
class CalibrationShape:
    """A config's params and the steps to train: about four seconds on the recorded machine."""

    params: Mapping[str, Any]
    steps: int


@dataclass(frozen=True)
class CalibrationPlan:
    """What a worker runs to be calibrated for an experiment.

    `repeated` are the places of the shapes that a worker runs when it was calibrated before.
    `coefficients` were measured on the machine that `recorded_on` names: seconds per unit of each
    term of the script's cost. `known_values` maps a number type ("float32") to the value of the
    shape at place `known_shape`, on `CALIBRATION_SEED`.
    """

    shapes: tuple[CalibrationShape, ...]
    repeated: tuple[int, ...]
    coefficients: Mapping[str, float]
    recorded_on: str
    known_shape: int
    known_values: Mapping[str, float]
