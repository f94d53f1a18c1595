"""Two to five tasks or campaigns side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rest_framework.exceptions import NotFound

from campaigns.analysis import comparison
from campaigns.analysis.comparison import CampaignColumn, TaskColumn
from campaigns.charts.compare import campaign_series, task_series
from campaigns.models import Campaign, Task
from campaigns.serializers.compare import ComparisonSerializer


def compared(asked: dict[str, Any]) -> dict[str, Any]:
    """Return a comparison as JSON data, for what `CompareQuerySerializer` let through.

    Raises NotFound.
    """
    if "tasks" in asked:
        found = _tasks(asked["tasks"], asked["x"])
    else:
        found = _campaigns(asked["campaigns"], asked["x"])
    data: dict[str, Any] = ComparisonSerializer(found).data
    return data


def _tasks(pks: Sequence[int], axis: str) -> dict[str, Any]:
    columns, _ = comparison.task_columns(pks)
    _must_exist("task", pks, [column.task.pk for column in columns])
    names = [row.name for row in comparison.task_params(columns)]
    best = _best(columns)
    told = [
        _column(one, one.task, best)
        | {"task_id": one.task.pk, "measured": int(one.best is not None)}
        for one in columns
    ]
    return _told(columns, told) | {
        "params": _params(names, [column.task for column in columns]),
        "spaces": [],
        "x": axis,
        "curves": task_series(columns, axis),
    }


def _campaigns(pks: Sequence[int], axis: str) -> dict[str, Any]:
    columns = comparison.campaign_columns(pks)
    _must_exist("campaign", pks, [column.campaign.pk for column in columns])
    names = [row.name for row in comparison.best_params(columns)]
    best = _best(columns)
    told = [
        _column(one, one.campaign, best)
        | {"task_id": one.digest.best_task, "measured": one.digest.measured}
        for one in columns
    ]
    return _told(columns, told) | {
        "params": _params(names, [column.best_task for column in columns]),
        "spaces": comparison.spaces(columns),
        "x": axis,
        "curves": campaign_series(columns, axis),
    }


def _column(
    column: TaskColumn | CampaignColumn, shown: Task | Campaign, best: float | None
) -> dict[str, Any]:
    return {
        "letter": column.letter,
        "id": shown.pk,
        "name": str(shown),
        "state": shown.state,
        "val_bpb": column.best,
        "behind": None if column.best is None or best is None else column.best - best,
        "spread": column.spread,
    }


def _told(columns: Sequence[Any], told: list[dict[str, Any]]) -> dict[str, Any]:
    conditions = comparison.conditions(columns)
    return {
        "columns": told,
        "verdict": comparison.verdict(columns),
        "warnings": comparison.warnings(conditions),
        "conditions": conditions,
    }


def _best(columns: Sequence[Any]) -> float | None:
    return min((column.best for column in columns if column.best is not None), default=None)


def _params(names: Sequence[str], tasks: Sequence[Task | None]) -> list[dict[str, Any]]:
    """Return each param with its value in every task, as it is stored."""
    rows = []
    for name in names:
        values = [task.params.get(name) if task else None for task in tasks]
        differs = any(value != values[0] for value in values)
        rows.append({"name": name, "differs": differs, "values": values})
    return rows


def _must_exist(kind: str, asked: Sequence[int], found: Sequence[int]) -> None:
    missing = [str(pk) for pk in asked if pk not in found]
    if missing:
        raise NotFound(f"There is no {kind} {' and no '.join(missing)}.")
