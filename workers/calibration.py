"""The wire vocabulary of calibrations: how a server asks for one, and what the agent sends.

Pure standard library, like `workers.protocol`. The reply to a claim asks (`calibrate`), and only
agents whose claims say that they can (`calibrates`): older ones never hear of it. What is measured
is in `experiments.calibration`.
"""

from __future__ import annotations

from typing import Any, Final, NotRequired, TypedDict

# Below `workers.protocol.API_PREFIX`.
CALIBRATION_PATH: Final = "workers/me/calibration"
MAX_CALIBRATION_BYTES: Final = 64 * 1024
MAX_CALIBRATION_SHAPES: Final = 32


class CalibrationOrder(TypedDict):
    """What the agent measures as soon as nothing else of it runs."""

    experiment: str
    script_sha256: str  # of the catalog's script; an agent that has another measures nothing
    repeated: bool  # only the few shapes of a machine that was measured before


class MeasuredShape(TypedDict):
    """What the fixed steps of one shape took."""

    params: dict[str, Any]
    steps: int
    step_seconds: float
    val_bpb: float | None


class CalibrationReport(TypedDict):
    """Body of ``POST workers/me/calibration``; the same body again is stored once."""

    experiment: str
    script_sha256: str
    device: str
    dtype: str
    threads: NotRequired[int | None]
    torch_version: NotRequired[str]
    isolation: str
    foreign_load: NotRequired[float | None]  # cores that others used meanwhile, on average
    shapes: list[MeasuredShape]


class CalibrationReply(TypedDict):
    """What the server made of it, in one sentence for the log."""

    message: str
