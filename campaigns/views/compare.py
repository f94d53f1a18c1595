"""The page that compares two to five tasks or campaigns."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any

from django.db.models import BigIntegerField
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
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
from campaigns.charts.growing import growing, in_pieces
from campaigns.clock import database_now, read_at
from campaigns.design.race_plan import plan_race
from campaigns.models import CampaignState, Task, TaskName, TaskPurpose, TaskState
from campaigns.search.samplers import MAX_TASKS
from campaigns.views import glyphs
from campaigns.views.head import may_race
from campaigns.views.planner import planner, worth_seeing
from xeenet_site.web.csv_text import csv_lines
from xeenet_site.web.pages import page_or_fragment, reading_page

# An address may hold any number of words; so many are read.
MOST_WORDS = 20
AXES = {"tasks": TASK_AXES, "campaigns": CAMPAIGN_AXES}


@reading_page
def compare(request: HttpRequest) -> HttpResponse:
    """Compare ?tasks=3/17,3/18 or ?campaigns=1,2. With htmx only the part that changes.

    The board of a campaign sends ?campaign=1&arms=2&arms=3, which leads to the arms' first tasks.
    """
    if "arms" in request.GET:
        return redirect(f"{reverse('compare')}?tasks={_joined(_first_tasks(request))}")
    if address := _named_address(request):
        return redirect(address, permanent=True)
    kind, requested, problems = _requested(request)
    names = requested[: comparison.MOST]
    axis = _axis(request, kind)
    table = _tasks(names) if kind == "tasks" else _campaigns(names)
    columns = table["columns"]
    # Campaigns are read with the clock.
    now = read_at(columns[0].campaign) if columns and kind == "campaigns" else database_now()
    series, spec = _series(kind, columns, axis), comparison.common_spec(columns)
    told = verdicts.verdict(columns)
    race = told.race if told.race and may_race(request.user, told.race.campaign) else None
    # Below the values, which come first.
    table["findings"][1:1] = glyphs.compared(columns, spec)
    context = table | {
        "kind": kind,
        "noun": kind.removesuffix("s"),
        "names": _joined(names),
        "too_many": len(requested) > comparison.MOST,
        "most": comparison.MOST,
        "problems": problems + _missing(kind, names, columns),
        "heads": [(column, _without(names, _name(kind, column))) for column in columns],
        "verdict": told.sentence,
        "race": race,
        "planner": _planner(request, told.race, now) if told.race else None,
        "race_seeds": told.race.campaign.race_seeds if told.race else None,
        "warnings": comparison.warnings(table["conditions"]) if len(columns) > 1 else [],
        "spec": spec,
        "figure": growing(
            comparison_figure(series, spec, x_title=AXES[kind][axis][1], steps=kind == "campaigns"),
            "compare",
        ),
        "series": [(curve, in_pieces([*zip(curve.x, curve.y, strict=True)])) for curve in series],
        "axis": axis,
        "axes": [(name, words) for name, (words, _) in AXES[kind].items()],
        "x_title": AXES[kind][axis][1],
        "now": now,
    }
    return page_or_fragment(request, "campaigns/compare.html", "campaigns/_compare.html", context)


@reading_page
def compare_csv(request: HttpRequest) -> HttpResponseBase:
    """Send the points of the chart as a CSV file."""
    if address := _named_address(request):
        return redirect(address, permanent=True)
    kind, requested, _ = _requested(request)
    names = requested[: comparison.MOST]
    axis = _axis(request, kind)
    columns: Sequence[Any] = (
        comparison.task_columns(names)[0] if kind == "tasks" else comparison.campaign_columns(names)
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


def _requested(request: HttpRequest) -> tuple[str, list[Any], list[str]]:
    """Return "tasks" or "campaigns", what they are called, and what could not be read.

    `add` is what somebody typed to have one more. Nothing is taken twice.
    """
    kind = "campaigns" if "campaigns" in request.GET and "tasks" not in request.GET else "tasks"
    texts = [*request.GET.getlist(kind), *request.GET.getlist("add")]
    if kind == "campaigns":
        return kind, _numbers(texts), []
    names, problems = [], []
    for word in _words(texts)[:MOST_WORDS]:
        try:
            names.append(TaskName.parse(word))
        except ValueError as error:
            problems.append(str(error))
    return kind, list(dict.fromkeys(names)), list(dict.fromkeys(problems))


def _named_address(request: HttpRequest) -> str:
    """Return the address that an old one leads to, with names of tasks for their ids; or "".

    Only an address that has ids alone is old. A number in another, or one that somebody typed, may
    be meant as anything, and never adds a task.
    """
    words = _words(request.GET.getlist("tasks"))
    if not words or "add" in request.GET or not all(_is_number(word) for word in words):
        return ""
    pks = _numbers(words)[: comparison.MOST + 1]
    tasks = Task.objects.only("campaign_id", "number").in_bulk(pks)
    if not tasks:
        return ""
    query = request.GET.copy()
    # The page reports the ids that no task has.
    query["tasks"] = _joined(tasks[pk].name if pk in tasks else pk for pk in pks)
    return f"{request.path}?{query.urlencode(safe='/,')}"


def _words(texts: Iterable[str]) -> list[str]:
    return [word.strip() for word in ",".join(texts).split(",") if word.strip()]


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdecimal() and len(word) < 20


def _numbers(texts: Sequence[str]) -> list[int]:
    """Return the numbers in texts, without repetitions. What a database cannot hold is ignored."""
    numbers = [int(word) for word in _words(texts) if _is_number(word)]
    return [number for number in dict.fromkeys(numbers) if number <= BigIntegerField.MAX_BIGINT]


def _first_tasks(request: HttpRequest) -> list[TaskName]:
    """Return the first tasks of the requested arms, in their order; unknown arms have none."""
    (campaign,) = _numbers(request.GET.getlist("campaign"))[:1] or [0]
    arms = [number for number in _numbers(request.GET.getlist("arms")) if number < MAX_TASKS]
    tasks = Task.objects.filter(
        campaign=campaign, arm__number__in=arms[: comparison.MOST + 1], purpose=TaskPurpose.SCREEN
    )
    first = dict(tasks.values_list("arm__number", "number"))
    return [TaskName(campaign, first[arm]) for arm in arms if arm in first]


def _axis(request: HttpRequest, kind: str) -> str:
    axis = request.GET.get("x", "")
    return axis if axis in AXES[kind] else next(iter(AXES[kind]))


def _tasks(names: Sequence[TaskName]) -> dict[str, Any]:
    columns, is_sample = comparison.task_columns(names)
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


def _name(kind: str, column: Any) -> Any:
    return column.task.name if kind == "tasks" else column.campaign.pk


def _joined(names: Iterable[Any]) -> str:
    return ",".join(map(str, names))


def _without(names: Sequence[Any], removed: Any) -> str:
    return _joined(name for name in names if name != removed)


def _missing(kind: str, names: Sequence[Any], columns: Sequence[Any]) -> list[str]:
    """Return a sentence for each that does not exist."""
    existing = {_name(kind, column) for column in columns}
    noun = kind.removesuffix("s")
    return [
        f"There is no {noun} {name}; it may have been deleted."
        for name in names
        if name not in existing
    ]
