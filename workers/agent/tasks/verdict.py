"""The verdict on a run that ended: its judgement, with what only this machine can say about it.

A script is not believed that its data set vanished unless it did, and one that breaks the judgement
pays for it itself.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Collection
from pathlib import Path

from workers.agent.attempt import Attempt
from workers.agent.running.execution import Execution, Limits
from workers.agent.tasks.datasets import cached_dataset
from workers.agent.tasks.judgement import EXIT_DATASET_UNREACHABLE, failure, judge
from workers.agent.tasks.run_config import run_config
from workers.agent.tasks.scripts import is_uploaded
from workers.protocol import FailureClass, Submission

log = logging.getLogger("xeenet.runner")


def verdict(
    attempt: Attempt,
    execution: Execution,
    limits: Limits,
    *,
    devices: Collection[str] | None,
    data_folder: Path,
) -> Submission:
    """Return the submission of a run. A script that breaks the judgement pays for it itself."""
    data_in_place = True
    # An uploaded script could remove the data set itself, so it is not believed at all.
    if execution.exit_code == EXIT_DATASET_UNREACHABLE and not is_uploaded(attempt.lease):
        dataset = attempt.lease["dataset"]
        with contextlib.suppress(OSError):
            data_in_place = cached_dataset(data_folder, dataset) is not None
    try:
        return judge(
            execution,
            limits,
            config=run_config(attempt),
            devices=devices,
            data_in_place=data_in_place,
        )
    except Exception as error:
        log.exception("%s: what the script printed could not be judged", attempt.label)
        message = f"what the script printed could not be judged: {type(error).__name__}"
        return failure(FailureClass.INVALID_RESULT, message, execution)
