"""Two to five tasks or campaigns side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rest_framework.exceptions import NotFound

from campaigns.analysis import compared_params, comparison, verdicts
from campaigns.analysis.comparison import CampaignColumn, TaskColumn
from campaigns.charts.compare import campaign_series, task_series
from campaigns.models import Campaign, Task, TaskName
from campaigns.serializers.compare import ComparisonSerializer


def comparison_data(query: dict[str, Any]) -> dict[str, Any]:
    """Return a comparison as JSON data. `query` was validated by `CompareQuerySerializer`.

    Raises NotFound.
    """
    if "tasks" in query:
        answer = _of_tasks(query["tasks"], query["x"])
    else:
        answer = _of_campaigns(query["campaigns"], query["x"])
    data: dict[str, Any] = ComparisonSerializer(answer).data
    return data


def _of_tasks(tasks: Sequence[TaskName], axis: str) -> dict[str, Any]:
    columns, _ = comparison.task_columns(tasks)
    _must_exist("task", tasks, [column.task.name for column in columns])
    names = [row.name for row in compared_params.task_params(columns)]
    best = comparison.best_of(columns)
    heads = [
        _head(column, column.task, best)
        | _task(column.task)
        | {"measured": int(column.best is not None)}
        for column in columns
    ]
    return _common(columns, heads) | {
        "params": _params(names, [column.task for column in columns]),
        "spaces": [],
        "x": axis,
        "curves": task_series(columns, axis),
    }


def _of_campaigns(pks: Sequence[int], axis: str) -> dict[str, Any]:
    columns = comparison.campaign_columns(pks)
    _must_exist("campaign", pks, [column.campaign.pk for column in columns])
    names = [row.name for row in compared_params.best_params(columns)]
    best = comparison.best_of(columns)
    heads = [
        _head(column, column.campaign, best)
        | _task(column.best_task)
        | {"measured": column.digest.measured}
        for column in columns
    ]
    return _common(columns, heads) | {
        "params": _params(names, [column.best_task for column in columns]),
        "spaces": compared_params.spaces(columns),
        "x": axis,
        "curves": campaign_series(columns, axis),
    }


def _head(
    column: TaskColumn | CampaignColumn,
    subject: Task | Campaign,
    best: TaskColumn | CampaignColumn | None,
) -> dict[str, Any]:
    """Return the fields of one column. `best` is the column with the best value."""
    behind = None
    if best is not None and best.best is not None and column.best is not None:
        behind = abs(column.best - best.best)
    return {
        "letter": column.letter,
        "id": subject.pk,
        "name": str(subject),
        "state": subject.state,
        "metric": column.spec.name,
        "value": column.best,
        "behind": behind,
        "spread": column.spread,
    }


def _task(task: Task | None) -> dict[str, Any]:
    return {"task": task and str(task.name), "task_id": task and task.pk}


def _common(columns: Sequence[Any], heads: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the fields that comparisons of tasks and of campaigns share."""
    conditions = comparison.conditions(columns)
    return {
        "columns": heads,
        "verdict": verdicts.verdict(columns).sentence,
        "warnings": comparison.warnings(conditions),
        "conditions": conditions,
    }


def _params(names: Sequence[str], tasks: Sequence[Task | None]) -> list[dict[str, Any]]:
    """Return each param with its stored value in every task, None where a task has no such one."""
    rows = []
    for name in names:
        values = [task.params.get(name) if task else None for task in tasks]
        differs = any(value != values[0] for value in values)
        rows.append({"name": name, "differs": differs, "values": values})
    return rows


def _must_exist(kind: str, names: Sequence[Any], existing: Sequence[Any]) -> None:
    missing = [str(name) for name in names if name not in existing]
    if missing:
        raise NotFound(f"There is no {kind} {' and no '.join(missing)}.")
