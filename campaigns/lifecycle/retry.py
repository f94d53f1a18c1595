"""Which counter a failure is charged to, and the limits of the breakers. Pure."""

from __future__ import annotations

import datetime as dt
from enum import Enum
from typing import Final

from campaigns.models import FailureClass


class Charge(Enum):
    """Which of a task's counters a failed attempt moves."""

    LOSS = "loss"  # nobody's fault: `lost_attempts`
    FAILURE = "failure"  # the task's fault, perhaps only on this host: `failed_attempts`
    FREE = "free"  # the worker's fault: no counter moves, and the worker pauses
    SLOW = "slow"  # the machine is too slow for the work: no counter moves, and no pause


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
    FailureClass.TOO_SLOW: Charge.SLOW,
}

# With this exit code and a line about its config a script says that no other try can succeed.
EXIT_CONFIG_ERROR: Final = 2

# The failure breaker pauses a campaign when so many of its last ended attempts (the window) failed.
BREAKER_WINDOW: Final = 20
BREAKER_FAILURES: Final = 10
# It also pauses a campaign whose tasks so many workers could not run.
TROUBLED_WORKERS: Final = 3

# A failed task waits this long before its next try, so that it does not spin at the queue's head.
RETRY_DELAY: Final = dt.timedelta(seconds=1)
