"""The columns of sortable tables, and the sort that a click on a column head selects."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from campaigns.standings.leaderboard import PARAM_PREFIX
from experiments.metrics import MetricSpec

# Further columns of params are hidden on a phone.
PARAMS_ON_A_PHONE: Final = 2


@dataclass(frozen=True)
class Head:
    """The definition of a column. `key` is its name in the address."""

    key: str
    label: str
    unit: str = ""
    is_number: bool = False
    # Hidden on a phone.
    wide_only: bool = False
    sortable: bool = True


@dataclass(frozen=True)
class Column:
    """A column head to render. `sort` is the sort that a click selects, "" if it is not a link."""

    key: str
    label: str
    unit: str
    sort: str
    # "ascending", "descending", or "" if the table is sorted by another column.
    direction: str
    is_number: bool
    wide_only: bool


def columns(heads: Iterable[Head], sort: str) -> list[Column]:
    """Return the heads of a table sorted by `sort`: a key, with a leading "-" for descending.

    With "" the table cannot be sorted, and no head is a link.
    """
    return [_column(head, sort) for head in heads]


def _column(head: Head, sort: str) -> Column:
    direction = {head.key: "ascending", f"-{head.key}": "descending"}.get(sort, "")
    next_sort = f"-{head.key}" if direction == "ascending" else head.key
    return Column(
        head.key,
        head.label,
        head.unit,
        next_sort if head.sortable and sort else "",
        direction,
        head.is_number,
        head.wide_only,
    )


def known_sort(heads: Iterable[Head], sort: str, default: str) -> str:
    """Return `sort` if it is the sort of a column, otherwise the default."""
    keys = {head.key for head in heads if head.sortable}
    return sort if sort.removeprefix("-") in keys else default


def campaign_heads(spec: MetricSpec | None) -> list[Head]:
    """Return the columns of a list of campaigns whose metric is `spec`.

    None stands for different metrics: their values share a column, and each cell has its unit.
    """
    return [
        Head("name", "Campaign"),
        Head("state", "State", wide_only=True),
        Head(
            "best",
            f"{spec.name}, first arm" if spec else "First arm",
            spec.unit if spec else "",
            is_number=True,
        ),
        Head("tasks", "Tasks ended"),
        Head("running", "Running", is_number=True, wide_only=True, sortable=False),
        Head("no_value", "No value", is_number=True, wide_only=True, sortable=False),
        Head("experiment", "Experiment", wide_only=True),
        Head("budget", "Budget", is_number=True, wide_only=True),
        Head("owner", "Owner", wide_only=True),
        Head("created", "Created", wide_only=True),
    ]


def value_head(spec: MetricSpec) -> Head:
    """Return the column of the values in a table of one campaign."""
    return Head("value", spec.name, spec.unit, is_number=True)


def run_heads(spec: MetricSpec, varying: Sequence[str], whole: Collection[str]) -> list[Head]:
    """Return the columns of the list of runs. Their keys are the sorts of `standings.leaderboard`.

    `varying` are the params that have a column, `whole` those of them that are aligned as numbers.
    """
    params = [
        Head(
            PARAM_PREFIX + name,
            name,
            is_number=name in whole,
            wide_only=number >= PARAMS_ON_A_PHONE,
        )
        for number, name in enumerate(varying)
    ]
    return [
        Head("task", "Task", is_number=True, sortable=False),
        value_head(spec),
        *params,
        Head("seed", "Seed", is_number=True, wide_only=True),
        Head("steps", "Steps", is_number=True, wide_only=True),
        Head("tokens", "Tokens", is_number=True, wide_only=True),
        Head("device", "Device", wide_only=True),
        Head("time", "Time", is_number=True, wide_only=True),
    ]
