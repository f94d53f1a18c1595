"""Results as rows for spreadsheets (CSV) and programs (JSON lines), streamed from the database."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

from campaigns.exports.statements import long_statement
from campaigns.models import Arm, Campaign, Note, Result, Task
from xeenet_site.web import csv_text

CHUNK_ROWS: Final = 1_000
# The fields of a result after its value, with the names and in the order of every file and answer.
MEASURED: Final = (
    "is_ranked",
    "diverged",
    "simulated",
    "train_loss",
    "eval_nll_nats",
    "eval_bytes",
    "eval_tokens",
    "eval_is_subset",
    "steps_completed",
    "tokens_trained",
    "model_params",
    "wall_time_seconds",
    "step_seconds",
    "expected_step_seconds",
    "foreign_load",
    "disturbed",
    "slow_setup",
    "device_used",
    "stop_reason",
)
PARAM_PREFIX: Final = "param."
# Keys of the script's result line that describe how it measured and that have no column of their
# own.
_METRIC_NAMES: Final = (
    "dataset_sha256",
    "train_seconds",
    "eval_seconds",
    "setup_seconds",
    "threads",
    "dtype",
    "torch_version",
    "peak_memory_mb",
)


def note_text(subject: Arm | Task) -> str:
    """Return the text of the note on an arm or a task, "" without one."""
    note: Note | None = getattr(subject, "note", None)
    return note.text if note else ""


def _measured(name: str) -> Callable[[Campaign, Result], Any]:
    return lambda _, result: getattr(result, name)


_BEFORE_VALUE: Final[dict[str, Callable[[Campaign, Result], Any]]] = {
    "campaign_id": lambda campaign, _: campaign.pk,
    "campaign": lambda campaign, _: campaign.name,
    "experiment": lambda campaign, _: campaign.experiment,
    "script_sha256": lambda campaign, _: campaign.package_id,
    # Not "3/17": a spreadsheet takes that for a date.
    "task": lambda _, result: result.task.number,
    "arm": lambda _, result: result.task.arm.number,
    "seed": lambda _, result: result.task.seed,
    "seed_index": lambda _, result: result.task.seed_index,
    "max_steps": lambda _, result: result.task.max_steps,
    "time_budget_seconds": lambda campaign, result: (
        result.attempt.time_budget_seconds or campaign.time_budget_seconds
    ),
}
_AFTER_VALUE: Final[dict[str, Callable[[Campaign, Result], Any]]] = {
    **{name: _measured(name) for name in MEASURED},
    "class": lambda _, result: result.result_class_id,
    "worker": lambda _, result: result.attempt.worker.name,
    "created_at": lambda _, result: result.created_at.isoformat(),
    "note": lambda _, result: note_text(result.task),
    "arm_note": lambda _, result: note_text(result.task.arm),
}


class Writer(Protocol):
    """The type of `csv_lines` and `json_lines`."""

    def __call__(self, campaign: Campaign, *, simulated: bool = False) -> Iterator[str]:
        """Yield the lines of the file."""


def _results(campaign: Campaign, *, simulated: bool) -> Iterator[Result]:
    """Yield results by task number, with at most a chunk in memory.

    Simulated results are left out unless `simulated`, and implausible ones until they are admitted.
    """
    results = campaign.results.select_related("task__arm__note", "task__note", "attempt__worker")
    results = results.defer("task__arm__params").order_by("task__number")
    results = results.filter(implausible=False)
    if not simulated:
        results = results.filter(simulated=False)
    rows = results.iterator(chunk_size=CHUNK_ROWS)
    with long_statement():  # the database computes the whole answer before it returns a row
        first = next(rows, None)
    if first is not None:
        yield first
    yield from rows


def _fields(campaign: Campaign) -> dict[str, Callable[[Campaign, Result], Any]]:
    """Return how each field is read. The value has the name of the campaign's metric."""
    return {**_BEFORE_VALUE, campaign.metric_spec.name: _measured("value"), **_AFTER_VALUE}


def _record(campaign: Campaign, result: Result) -> dict[str, Any]:
    """Return the fields of a result, and the conditions that the script reported."""
    fields = {name: read(campaign, result) for name, read in _fields(campaign).items()}
    return fields | {name: result.metrics.get(name) for name in _METRIC_NAMES}


def json_lines(campaign: Campaign, *, simulated: bool = False) -> Iterator[str]:
    """Yield one line per result: a JSON object with the params as a nested object."""
    for result in _results(campaign, simulated=simulated):
        yield json.dumps(_record(campaign, result) | {"params": result.task.params}) + "\n"


def csv_lines(campaign: Campaign, *, simulated: bool = False) -> Iterator[str]:
    """Yield a head and one line per result. Each param of the search space has a column."""
    params = [parameter["name"] for parameter in campaign.search_space["parameters"]]
    head = [*_fields(campaign), *_METRIC_NAMES, *(PARAM_PREFIX + name for name in params)]
    rows = (
        [*_record(campaign, result).values(), *(result.task.params.get(name) for name in params)]
        for result in _results(campaign, simulated=simulated)
    )
    return csv_text.csv_lines(head, rows)
