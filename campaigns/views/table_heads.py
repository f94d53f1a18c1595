"""Heads of sortable tables: which columns there are, and what a click on one asks for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from campaigns.standings.leaderboard import PARAM_PREFIX

# More columns of params are hidden on a phone.
PARAMS_ON_A_PHONE: Final = 2


@dataclass(frozen=True)
class Head:
    """A column before anybody sorted by it; `key` is its name in the address line."""

    key: str
    label: str
    unit: str = ""
    is_number: bool = False
    # Hidden on a phone.
    wide_only: bool = False
    sortable: bool = True


@dataclass(frozen=True)
class Column:
    """A column head as the page draws it; `sort` is what a click on it asks for, "" for nothing."""

    key: str
    label: str
    unit: str
    sort: str
    # "ascending", "descending", or "" when the table is sorted by another column.
    direction: str
    is_number: bool
    wide_only: bool


def columns(heads: Iterable[Head], sort: str) -> list[Column]:
    """Return the heads for a table sorted by `sort`: a key, "-" before it for descending.

    With "" the table has one order, and no head asks for another.
    """
    return [_column(head, sort) for head in heads]


def _column(head: Head, sort: str) -> Column:
    direction = {head.key: "ascending", f"-{head.key}": "descending"}.get(sort, "")
    asks_for = f"-{head.key}" if direction == "ascending" else head.key
    return Column(
        head.key,
        head.label,
        head.unit,
        asks_for if head.sortable and sort else "",
        direction,
        head.is_number,
        head.wide_only,
    )


def known_sort(heads: Iterable[Head], asked: str, default: str) -> str:
    """Return what the address line asks for when a column sorts by it, else the default."""
    keys = {head.key for head in heads if head.sortable}
    return asked if asked.removeprefix("-") in keys else default


CAMPAIGN_HEADS: Final = (
    Head("name", "Campaign"),
    Head("state", "State", wide_only=True),
    Head("best", "Best val_bpb", "bits/byte", is_number=True),
    Head("tasks", "Tasks ended"),
    Head("running", "Running", is_number=True, wide_only=True, sortable=False),
    Head("failed", "Failed", is_number=True, wide_only=True, sortable=False),
    Head("experiment", "Experiment", wide_only=True),
    Head("budget", "Budget", is_number=True, wide_only=True),
    Head("owner", "Owner", wide_only=True),
    Head("created", "Created", wide_only=True),
)


def leaderboard_heads(varying: Sequence[str], whole: Collection[str]) -> list[Head]:
    """Return the leaderboard's columns; their keys are the sorts of `leaderboard.rank`.

    Of the params in `varying`, those in `whole` are aligned as numbers.
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
        Head("rank", "Rank", is_number=True),
        Head("val_bpb", "val_bpb", "bits/byte", is_number=True),
        *params,
        Head("seed", "Seed", is_number=True, wide_only=True),
        Head("steps", "Steps", is_number=True, wide_only=True),
        Head("tokens", "Tokens", is_number=True, wide_only=True),
        Head("device", "Device", wide_only=True),
        Head("time", "Time", is_number=True, wide_only=True),
    ]
