"""The params and search spaces of compared tasks and campaigns, as rows of the table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from campaigns.analysis.comparison import CampaignColumn, Row, TaskColumn
from campaigns.models import Task
from xeenet_site.web.formats import value


def task_params(columns: Sequence[TaskColumn]) -> list[Row]:
    """Return a row per param of the tasks, in the order of their search spaces."""
    return _params([column.task for column in columns])


def best_params(columns: Sequence[CampaignColumn]) -> list[Row]:
    """Return a row per param of the campaigns' first arms."""
    return _params([column.best_task for column in columns])


def _params(tasks: Sequence[Task | None]) -> list[Row]:
    names: dict[str, None] = {}
    for task in tasks:
        if task is not None:
            parameters = task.campaign.search_space["parameters"]
            names |= {parameter["name"]: None for parameter in parameters}
    return [
        Row(
            name,
            "",
            [value(task.params[name]) if task and name in task.params else "" for task in tasks],
        )
        for name in names
    ]


def spaces(columns: Sequence[CampaignColumn]) -> list[Row]:
    """Return a row per param with the domain from which each campaign draws it."""
    domains = [
        {
            parameter["name"]: _domain(parameter)
            for parameter in column.campaign.search_space["parameters"]
        }
        for column in columns
    ]
    names = {name: None for by_name in domains for name in by_name}
    return [Row(name, "", [by_name.get(name, "") for by_name in domains]) for name in names]


def _domain(parameter: dict[str, Any]) -> str:
    if parameter["type"] == "choice":
        return ", ".join(value(level) for level in parameter["values"])
    scale = ", log" if parameter.get("log") else ""
    return f"{value(parameter['low'])} to {value(parameter['high'])}{scale}"
