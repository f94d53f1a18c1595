"""Who pays for a failure, and how often a task may try. Pure."""

from __future__ import annotations

import datetime as dt
from enum import Enum
from typing import Final

from campaigns.models import FailureClass


class Charge(Enum):
    """Which of a task's counters a failed attempt moves."""

    LOSS = "loss"  # nobody's fault: `lost_attempts`
    FAILURE = "failure"  # the task's, or the task's on this host: `failed_attempts`
    FREE = "free"  # the worker's: the task pays nothing, the worker pauses


CHARGES: Final[dict[str, Charge]] = {
    FailureClass.LOST: Charge.LOSS,
    FailureClass.SCRIPT_ERROR: Charge.FAILURE,
    FailureClass.NO_JSON: Charge.FAILURE,
    FailureClass.INVALID_RESULT: Charge.FAILURE,
    FailureClass.TIMEOUT: Charge.FAILURE,
    FailureClass.OOM: Charge.FAILURE,
    FailureClass.DISK_FULL: Charge.FAILURE,
    FailureClass.OUTPUT_FLOOD: Charge.FAILURE,
    FailureClass.ENV_ERROR: Charge.FREE,
    FailureClass.REFUSED: Charge.FREE,
}

# Campaign breaker: this many failures among the last attempts that ended.
BREAKER_WINDOW: Final = 20
BREAKER_FAILURES: Final = 10

# A failing task returns a little later each time, so that it does not spin at the queue's head.
RETRY_DELAY: Final = dt.timedelta(seconds=1)
