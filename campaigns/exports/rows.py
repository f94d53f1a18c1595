"""Results as rows for spreadsheets (CSV) and programs (JSON lines), streamed from the database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any, Final, Protocol

from campaigns.exports.statements import long_statement
from campaigns.models import Arm, Campaign, Note, Task
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


# Where each field of a result comes from; those of the campaign are the same in every row.
_BEFORE_VALUE: Final = {
    # Not "3/17": a spreadsheet takes that for a date.
    "task": "task__number",
    "arm": "task__arm__number",
    "seed": "task__seed",
    "seed_index": "task__seed_index",
    "max_steps": "task__max_steps",
    "time_budget_seconds": "attempt__time_budget_seconds",
}
_AFTER_VALUE: Final = {
    **{name: name for name in MEASURED},
    "class": "result_class_id",
    "worker": "attempt__worker__name",
    "created_at": "created_at",
    "note": "task__note__text",
    "arm_note": "task__arm__note__text",
}


class Writer(Protocol):
    """The type of `csv_lines` and `json_lines`."""

    def __call__(self, campaign: Campaign, *, simulated: bool = False) -> Iterator[str]:
        """Yield the lines of the file."""


def _rows(campaign: Campaign, *, simulated: bool) -> Iterator[tuple[list[Any], dict[str, Any]]]:
    """Yield the values of `_names` and the params of each result, by task number.

    Rows and not models, which cost five times as much; at most a chunk is in memory. Simulated
    results are left out unless `simulated`, and implausible ones until they are admitted.
    """
    results = campaign.results.filter(implausible=False).order_by("task__number")
    if not simulated:
        results = results.filter(simulated=False)
    fields = {**_BEFORE_VALUE, "value": "value", **_AFTER_VALUE}
    columns = results.values_list(*fields.values(), "metrics", "task__params")
    rows = columns.iterator(chunk_size=CHUNK_ROWS)
    with long_statement():  # the database computes the whole answer before it returns a row
        first = list(islice(rows, 1))
    places = list(fields)
    time_budget, created_at = places.index("time_budget_seconds"), places.index("created_at")
    notes = places.index("note"), places.index("arm_note")
    own, seconds = list(_of_campaign(campaign).values()), campaign.time_budget_seconds
    for *values, metrics, params in chain(first, rows):
        values[time_budget] = values[time_budget] or seconds
        values[created_at] = values[created_at].isoformat()
        for note in notes:
            values[note] = values[note] or ""
        yield [*own, *values, *map(metrics.get, _METRIC_NAMES)], params


def _of_campaign(campaign: Campaign) -> dict[str, Any]:
    return {
        "campaign_id": campaign.pk,
        "campaign": campaign.name,
        "experiment": campaign.experiment,
        "script_sha256": campaign.package_id,
    }


def _names(campaign: Campaign) -> list[str]:
    """Return the names of the fields; the value has the name of the campaign's metric.

    The last are conditions that the script reported.
    """
    value = campaign.metric_spec.name
    return [*_of_campaign(campaign), *_BEFORE_VALUE, value, *_AFTER_VALUE, *_METRIC_NAMES]


def json_lines(campaign: Campaign, *, simulated: bool = False) -> Iterator[str]:
    """Yield one line per result: a JSON object with the params as a nested object."""
    names = [*_names(campaign), "params"]
    for values, params in _rows(campaign, simulated=simulated):
        yield json.dumps(dict(zip(names, (*values, params), strict=True))) + "\n"


def csv_lines(campaign: Campaign, *, simulated: bool = False) -> Iterator[str]:
    """Yield a head and one line per result. Each param of the search space has a column."""
    names = [parameter["name"] for parameter in campaign.search_space["parameters"]]
    head = [*_names(campaign), *(PARAM_PREFIX + name for name in names)]
    rows = (
        [*values, *map(params.get, names)]
        for values, params in _rows(campaign, simulated=simulated)
    )
    return csv_text.csv_lines(head, rows)
