"""The page that compares two to five tasks or campaigns."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from django.db.models import BigIntegerField
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from campaigns.analysis import compared_params, comparison, verdicts
from campaigns.charts.compare import (
    CAMPAIGN_AXES,
    TASK_AXES,
    Series,
    campaign_series,
    comparison_figure,
    task_series,
)
from campaigns.clock import database_now
from campaigns.design.race_plan import plan_race
from campaigns.models import CampaignState, Task, TaskPurpose, TaskState
from campaigns.race.rule import SEEDS
from campaigns.search.samplers import MAX_TASKS
from campaigns.views.head import may_race
from campaigns.views.planner import planner, worth_seeing
from xeenet_site.web.csv_text import csv_lines
from xeenet_site.web.pages import page_or_fragment, reading_page

AXES = {"tasks": TASK_AXES, "campaigns": CAMPAIGN_AXES}


@reading_page
def compare(request: HttpRequest) -> HttpResponse:
    """Compare ?tasks=1,2 or ?campaigns=1,2. With htmx only the part that changes.

    The board of a campaign sends ?campaign=1&arms=2&arms=3, which leads to the arms' first tasks.
    """
    if "arms" in request.GET:
        return redirect(f"{reverse('compare')}?tasks={','.join(map(str, _first_tasks(request)))}")
    kind, requested = _requested(request)
    now, pks = database_now(), requested[: comparison.MOST]
    axis = _axis(request, kind)
    table = _tasks(pks) if kind == "tasks" else _campaigns(pks)
    columns = table["columns"]
    series, spec = _series(kind, columns, axis), comparison.common_spec(columns)
    told = verdicts.verdict(columns)
    race = told.race if told.race and may_race(request.user, told.race.campaign) else None
    context = table | {
        "kind": kind,
        "noun": kind.removesuffix("s"),
        "pks": ",".join(map(str, pks)),
        "too_many": len(requested) > comparison.MOST,
        "most": comparison.MOST,
        "missing": _missing(kind, pks, columns),
        "heads": [(column, _without(pks, _pk(kind, column))) for column in columns],
        "verdict": told.sentence,
        "race": race,
        "planner": _planner(request, told.race, now) if told.race else None,
        "race_seeds": SEEDS,
        "warnings": comparison.warnings(table["conditions"]) if len(columns) > 1 else [],
        "spec": spec,
        "figure": comparison_figure(
            series, spec, x_title=AXES[kind][axis][1], steps=kind == "campaigns"
        ),
        "series": [(curve, list(zip(curve.x, curve.y, strict=True))) for curve in series],
        "axis": axis,
        "axes": [(name, words) for name, (words, _) in AXES[kind].items()],
        "x_title": AXES[kind][axis][1],
        "now": now,
    }
    return page_or_fragment(request, "campaigns/compare.html", "campaigns/_compare.html", context)


@reading_page
def compare_csv(request: HttpRequest) -> StreamingHttpResponse:
    """Send the points of the chart as a CSV file."""
    kind, requested = _requested(request)
    pks = requested[: comparison.MOST]
    axis = _axis(request, kind)
    columns: Sequence[Any] = (
        comparison.task_columns(pks)[0] if kind == "tasks" else comparison.campaign_columns(pks)
    )
    rows = [
        (curve.letter, curve.name, x, y)
        for curve in _series(kind, columns, axis)
        for x, y in [*zip(curve.x, curve.y, strict=True), *([curve.end] if curve.end else [])]
    ]
    spec = comparison.common_spec(columns)
    return StreamingHttpResponse(
        csv_lines(("letter", "name", axis, spec.name if spec else "value"), rows),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="compared-{kind}.csv"'},
    )


def _planner(request: HttpRequest, offer: verdicts.RaceOffer, now: dt.datetime) -> dict[str, Any]:
    """Return what it takes to see the difference in the address between the arms of the offer."""
    campaign, usual = offer.campaign, 2 * offer.campaign.min_effect
    difference = worth_seeing(request.GET, usual=usual)
    plan = None
    if difference is not None:
        plan = plan_race(campaign, difference, now=now, arms=len(offer.arms))
    return planner(plan, request.GET, usual=usual)


def _requested(request: HttpRequest) -> tuple[str, list[int]]:
    """Return "tasks" or "campaigns", and the requested ids without repetitions.

    Words that are not ids are ignored.
    """
    kind = "campaigns" if "campaigns" in request.GET and "tasks" not in request.GET else "tasks"
    return kind, _numbers(request.GET.getlist(kind))


def _numbers(texts: Sequence[str]) -> list[int]:
    """Return the numbers in texts, without repetitions. What a database cannot hold is ignored."""
    words = ",".join(texts).split(",")
    numbers = [
        int(word) for word in words if word.isascii() and word.isdecimal() and len(word) < 20
    ]
    return [number for number in dict.fromkeys(numbers) if number <= BigIntegerField.MAX_BIGINT]


def _first_tasks(request: HttpRequest) -> list[int]:
    """Return the first tasks of the requested arms, in their order; unknown arms have none."""
    (campaign,) = _numbers(request.GET.getlist("campaign"))[:1] or [0]
    arms = [number for number in _numbers(request.GET.getlist("arms")) if number < MAX_TASKS]
    tasks = Task.objects.filter(
        campaign=campaign, arm__number__in=arms[: comparison.MOST + 1], purpose=TaskPurpose.SCREEN
    )
    first = dict(tasks.values_list("arm__number", "pk"))
    return [first[arm] for arm in arms if arm in first]


def _axis(request: HttpRequest, kind: str) -> str:
    axis = request.GET.get("x", "")
    return axis if axis in AXES[kind] else next(iter(AXES[kind]))


def _tasks(pks: Sequence[int]) -> dict[str, Any]:
    columns, is_sample = comparison.task_columns(pks)
    params = compared_params.task_params(columns)
    return {
        "columns": columns,
        "findings": comparison.task_findings(columns),
        "params": [row for row in params if row.differs],
        "same": [row for row in params if not row.differs],
        "conditions": comparison.conditions(columns),
        "is_sample": is_sample,
        "is_live": any(
            column.task.state in {TaskState.PENDING, TaskState.LEASED} for column in columns
        ),
    }


def _campaigns(pks: Sequence[int]) -> dict[str, Any]:
    columns = comparison.campaign_columns(pks)
    spaces = compared_params.spaces(columns)
    return {
        "columns": columns,
        "findings": comparison.campaign_findings(columns),
        "params": [row for row in compared_params.best_params(columns) if row.differs],
        "spaces": [row for row in spaces if row.differs],
        "same": [row for row in spaces if not row.differs],
        "conditions": comparison.conditions(columns),
        "is_live": any(column.campaign.state == CampaignState.ACTIVE for column in columns),
    }


def _series(kind: str, columns: Sequence[Any], axis: str) -> list[Series]:
    return task_series(columns, axis) if kind == "tasks" else campaign_series(columns, axis)


def _pk(kind: str, column: Any) -> int:
    pk: int = column.task.pk if kind == "tasks" else column.campaign.pk
    return pk


def _without(pks: Sequence[int], removed: int) -> str:
    return ",".join(str(pk) for pk in pks if pk != removed)


def _missing(kind: str, pks: Sequence[int], columns: Sequence[Any]) -> list[int]:
    existing = {_pk(kind, column) for column in columns}
    return [pk for pk in pks if pk not in existing]
