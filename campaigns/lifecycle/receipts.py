"""What the answer to a submission says that the run counts for, in a sentence for its owner. Pure.

The words are fixed with the answer, so the same submission again gets the same ones. A single run
has no rank and proves nothing: no sentence here says how good it is.
"""

from __future__ import annotations

from typing import Final

from campaigns.lifecycle.classes import torch_device
from campaigns.lifecycle.retry import CHARGES, Charge
from campaigns.models import FailureClass, Result, Task, TaskPurpose
from workers.result_line import STOP_BUDGET_TOO_SMALL, STOP_NOT_EVALUATED

MAX_CHARACTERS: Final = 300
LATE: Final = "kept, does not count: another attempt or a person decided the task"
MOVES_NOTHING: Final = "kept, does not count: its lease had ended"
REFUSED: Final = "does not count: its numbers do not fit the task"
_WITHOUT_VALUE: Final = {
    STOP_BUDGET_TOO_SMALL: "no step fitted the budget",
    STOP_NOT_EVALUATED: "no time was left to evaluate",
}


def of_result(result: Result, *, is_repeated: bool, stands_in: bool) -> str:
    """Return what a stored result counts for.

    ``is_repeated`` says that its run is to be made once more, ``stands_in`` that it is a replay
    which took the place of the run before it.
    """
    task = result.task
    if result.simulated:
        return "kept, does not count: it is simulated"
    if result.implausible:
        name = task.campaign.metric_spec.name
        return f"kept, does not count until an operator admits it: its {name} is hard to believe"
    if result.diverged:
        return "kept without a value: the loss diverged"
    if result.value is None:
        why = _WITHOUT_VALUE.get(result.stop_reason, result.stop_reason)
        return f"kept without a value: {why}"
    counts = f"counts for {_place(task)}, among runs on {torch_device(result.device_used)}"
    if task.purpose == TaskPurpose.REPLAY:
        if stands_in:
            return f"{counts}, in the place of the run that it repeats"
        return "kept, does not count: the run that it repeats had no more in its way"
    if not is_repeated:
        return counts
    condition = "" if result.disturbed else ", if another machine is online"
    because = result.disturbance or result.setup_trouble
    return f"{counts}; it runs once more{condition}, {because}"[:MAX_CHARACTERS]


def of_failure(task: Task, failure_class: FailureClass, *, tries_left: bool) -> str:
    """Return what a failure of the task's present lease means for the task."""
    if not tries_left:
        return "does not count: the task has failed and is not tried again"
    charge = CHARGES[failure_class]
    if charge is Charge.FREE:
        return "does not count and is not held against the task: another machine may have it"
    if charge is Charge.SLOW:
        return "does not count and is held against nobody: a faster machine may have it"
    if charge is Charge.LOSS:
        return "does not count: the task runs again"
    number, of = task.failed_attempts + 1, task.max_failed_attempts
    return f"does not count: the task runs again, this was failure {number} of {of}"


def _place(task: Task) -> str:
    """Return arm, seed and campaign, as pages name them."""
    seed = f"s{task.seed_index}" if task.seed_index is not None else str(task.seed)
    return f"arm {task.arm.number}, seed {seed} of campaign {task.campaign_id}"
