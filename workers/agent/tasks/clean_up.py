"""What becomes of the folder of an ended task."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Final

from workers.agent.attempt import Attempt
from workers.agent.disk import remove_folder, trim_folder
from workers.agent.state import StateFolder
from workers.agent.tasks.outcomes import RunOutcome, log_step
from workers.protocol import Outcome

_MAX_KEPT_FOLDERS: Final = 20
_MAX_KEPT_BYTES: Final = 2 * 1024**3

log = logging.getLogger("xeenet.runner")


def clean_up(
    attempt: Attempt, folder: Path, outcome: RunOutcome, state: StateFolder, *, keep_failed: bool
) -> None:
    """Remove the folder of an ended task, or keep that of a failed one. Raises OSError."""
    if not folder.exists():
        return
    submission = outcome.submission
    failed = submission is not None and submission["outcome"] == Outcome.FAILED
    if failed and keep_failed:
        state.kept.mkdir(exist_ok=True)
        kept = state.kept / attempt.lease_id
        shutil.move(folder, kept)
        trim_folder(state.kept, most_bytes=_MAX_KEPT_BYTES, most_entries=_MAX_KEPT_FOLDERS)
        log_step(attempt, 7, "clean up: task folder kept in %s", kept)
    elif remove_folder(folder):
        log_step(attempt, 7, "clean up: task folder removed")
    else:
        log.warning("%s: task folder not removed, the next start will", attempt.label)
