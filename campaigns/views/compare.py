"""The page that puts two to five tasks or campaigns side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import BigIntegerField
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse

from campaigns.analysis import comparison
from campaigns.charts.compare import (
    CAMPAIGN_AXES,
    TASK_AXES,
    Series,
    campaign_series,
    comparison_figure,
    task_series,
)
from campaigns.clock import database_now
from campaigns.models import CampaignState, TaskState
from xeenet_site.web.csv_text import csv_lines
from xeenet_site.web.pages import page_or_fragment, reading_page

AXES = {"tasks": TASK_AXES, "campaigns": CAMPAIGN_AXES}


@reading_page
def compare(request: HttpRequest) -> HttpResponse:
    """Show ?tasks=1,2 or ?campaigns=1,2 side by side; with htmx the part that changes."""
    kind, asked = _asked(request)
    pks = asked[: comparison.MOST]
    axis = _axis(request, kind)
    compared = _tasks(pks) if kind == "tasks" else _campaigns(pks)
    columns = compared["columns"]
    series = _series(kind, columns, axis)
    context = compared | {
        "kind": kind,
        "one": kind.removesuffix("s"),
        "pks": ",".join(map(str, pks)),
        "too_many": len(asked) > comparison.MOST,
        "most": comparison.MOST,
        "missing": _missing(kind, pks, columns),
        "heads": [(c, _without(pks, _pk(kind, c))) for c in columns],
        "verdict": comparison.verdict(columns),
        "warnings": comparison.warnings(compared["conditions"]) if len(columns) > 1 else [],
        "figure": comparison_figure(series, x_title=AXES[kind][axis][1], steps=kind == "campaigns"),
        "series": [(one, list(zip(one.x, one.y, strict=True))) for one in series],
        "axis": axis,
        "axes": [(name, words) for name, (words, _) in AXES[kind].items()],
        "x_title": AXES[kind][axis][1],
        "now": database_now(),
    }
    return page_or_fragment(request, "campaigns/compare.html", "campaigns/_compare.html", context)


@reading_page
def compare_csv(request: HttpRequest) -> StreamingHttpResponse:
    """Send the points of the chart as a CSV file."""
    kind, asked = _asked(request)
    pks = asked[: comparison.MOST]
    axis = _axis(request, kind)
    columns: Sequence[Any] = (
        comparison.task_columns(pks)[0] if kind == "tasks" else comparison.campaign_columns(pks)
    )
    rows = [
        (one.letter, one.name, x, y)
        for one in _series(kind, columns, axis)
        for x, y in [*zip(one.x, one.y, strict=True), *([one.end] if one.end else [])]
    ]
    return StreamingHttpResponse(
        csv_lines(("letter", "name", axis, "val_bpb"), rows),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="compared-{kind}.csv"'},
    )


def _asked(request: HttpRequest) -> tuple[str, list[int]]:
    """Return "tasks" or "campaigns" and the ids asked for, each once; what is no id is dropped."""
    kind = "campaigns" if "campaigns" in request.GET and "tasks" not in request.GET else "tasks"
    words = ",".join(request.GET.getlist(kind)).split(",")
    numbers = [
        int(word) for word in words if word.isascii() and word.isdecimal() and len(word) < 20
    ]
    return kind, [pk for pk in dict.fromkeys(numbers) if pk <= BigIntegerField.MAX_BIGINT]


def _axis(request: HttpRequest, kind: str) -> str:
    axis = request.GET.get("x", "")
    return axis if axis in AXES[kind] else next(iter(AXES[kind]))


def _tasks(pks: Sequence[int]) -> dict[str, Any]:
    columns, is_sample = comparison.task_columns(pks)
    params = comparison.task_params(columns)
    return {
        "columns": columns,
        "findings": comparison.task_findings(columns),
        "params": [row for row in params if row.differs],
        "same": [row for row in params if not row.differs],
        "conditions": comparison.conditions(columns),
        "is_sample": is_sample,
        "is_live": any(c.task.state in {TaskState.PENDING, TaskState.LEASED} for c in columns),
    }


def _campaigns(pks: Sequence[int]) -> dict[str, Any]:
    columns = comparison.campaign_columns(pks)
    spaces = comparison.spaces(columns)
    return {
        "columns": columns,
        "findings": comparison.campaign_findings(columns),
        "params": [row for row in comparison.best_params(columns) if row.differs],
        "spaces": [row for row in spaces if row.differs],
        "same": [row for row in spaces if not row.differs],
        "conditions": comparison.conditions(columns),
        "is_live": any(c.campaign.state == CampaignState.ACTIVE for c in columns),
    }


def _series(kind: str, columns: Sequence[Any], axis: str) -> list[Series]:
    return task_series(columns, axis) if kind == "tasks" else campaign_series(columns, axis)


def _pk(kind: str, column: Any) -> int:
    pk: int = column.task.pk if kind == "tasks" else column.campaign.pk
    return pk


def _without(pks: Sequence[int], removed: int) -> str:
    return ",".join(str(pk) for pk in pks if pk != removed)


def _missing(kind: str, pks: Sequence[int], columns: Sequence[Any]) -> list[int]:
    shown = {_pk(kind, column) for column in columns}
    return [pk for pk in pks if pk not in shown]
