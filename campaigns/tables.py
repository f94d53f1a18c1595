"""The leaderboard as a table: which columns it has, in which order, sorted by which."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from campaigns.leaderboard import Row


@dataclass(frozen=True)
class Column:
    """One column head; `sort` is what a click on it asks for."""

    key: str
    label: str
    unit: str
    sort: str
    # "ascending", "descending", or "" when the table is sorted by another column.
    direction: str
    is_param: bool
    # Hidden on a phone.
    wide_only: bool


@dataclass(frozen=True)
class LeaderboardTable:
    """Heads and rows; each row is a leaderboard row with the values of the varying params."""

    columns: list[Column]
    rows: list[tuple[Row, list[Any]]]


_FIXED: Final[dict[str, tuple[str, str, Callable[[Row], Any]]]] = {
    "rank": ("Rank", "", lambda row: row.rank),
    "val_bpb": ("val_bpb", "bits/byte", lambda row: row.result.val_bpb),
    "seed": ("Seed", "", lambda row: row.task.seed),
    "steps": ("Steps", "", lambda row: row.result.steps_completed),
    "tokens": ("Tokens", "", lambda row: row.result.tokens_trained),
    "device": ("Device", "", lambda row: row.result.device_used),
    "time": ("Time", "", lambda row: row.result.wall_time_seconds),
}
# A parameter may be named like a fixed column.
_PARAM_PREFIX: Final = "param."
_PARAMS_ON_A_PHONE: Final = 2


def leaderboard_table(rows: Sequence[Row], varying: Sequence[str], sort: str) -> LeaderboardTable:
    """Lay out leaderboard rows, sorted by a column's key ("-" before it: descending).

    An unknown key sorts by rank: it comes from the address line.
    """
    keys = ["rank", "val_bpb", *(_PARAM_PREFIX + name for name in varying)]
    keys += ["seed", "steps", "tokens", "device", "time"]
    wanted = sort.removeprefix("-")
    if wanted not in keys:
        sort = wanted = "rank"
    narrow = set(keys[: 2 + _PARAMS_ON_A_PHONE])
    columns = [_column(key, sort, wide_only=key not in narrow) for key in keys]
    ordered = sorted(rows, key=lambda row: _sort_key(row, wanted), reverse=sort.startswith("-"))
    return LeaderboardTable(
        columns, [(row, [row.task.params.get(name) for name in varying]) for row in ordered]
    )


def _column(key: str, sort: str, *, wide_only: bool) -> Column:
    is_param = key.startswith(_PARAM_PREFIX)
    label, unit = (key.removeprefix(_PARAM_PREFIX), "") if is_param else _FIXED[key][:2]
    direction = {key: "ascending", f"-{key}": "descending"}.get(sort, "")
    next_sort = f"-{key}" if direction == "ascending" else key
    return Column(key, label, unit, next_sort, direction, is_param, wide_only)


def _sort_key(row: Row, key: str) -> tuple[bool, bool, Any, int]:
    """Numbers before texts before nothing; ties in rank order."""
    if key.startswith(_PARAM_PREFIX):
        value = row.task.params.get(key.removeprefix(_PARAM_PREFIX))
    else:
        value = _FIXED[key][2](row)
    return value is None, isinstance(value, str), value if value is not None else 0, row.rank
