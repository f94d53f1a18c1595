"""The hero chart of a campaign: its ended tasks, the best value so far, and what happened.

The server sends numbers and short texts; `hero.js` draws them, and appends what `hero_points` says.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Any, Final

from django.db.models import Q
from django.urls import reverse

from campaigns.caching import cached_roughly
from campaigns.charts.hero_columns import (
    COUNTS,
    IMPLAUSIBLE,
    NO_VALUE,
    OTHER_CLASS,
    PLACED,
    SIMULATED,
    columns,
    kind_of,
    time_step,
)
from campaigns.charts.hero_story import (
    Event,
    Session,
    changed,
    comings_and_goings,
    pauses,
    without_worker,
)
from campaigns.charts.points import (
    ChartPoints,
    Point,
    chart_points,
    ended_count,
    newest_points,
)
from campaigns.models import (
    Campaign,
    ChangeSubject,
    FailureClass,
    NoiseFloor,
    StateChange,
)
from campaigns.standings import arms
from campaigns.standings.classes import chosen_class, classes_of
from campaigns.standings.leaderboard import varying_params
from experiments import catalog
from experiments.metrics import VAL_BPB, MetricSpec
from workers.models import WorkerSession
from xeenet_site.web.strict_json import figure_script

# So many of the newest are sent: labels of new bests, changes of state, sessions of workers, and
# what became of them.
MOST_RECORDS: Final = 24
MOST_STATE_CHANGES: Final = 40
MOST_SESSIONS: Final = 60
MOST_EVENTS: Final = 24
# Of these, so many go with an append, and so many records and tasks stand in a table.
RECENT: Final = 6
MOST_LISTED: Final = 20
# Whoever ran one of so many of the last results is a worker whose sessions are told.
RUNS_OF_WORKERS: Final = 200
# Letters of a worker's name in a label.
MOST_LETTERS: Final = 24
# Seconds of a unit of time in an append.
APPENDED_STEP: Final = 0.1
# Sent again with every append, because runs that ended at the same time may be committed late.
OVERLAP: Final = 5
# More new points than this are a reason to read the whole chart again.
MOST_NEW: Final = 200


@dataclass(frozen=True)
class Row:
    """An ended task as a table shows it, `seconds` after the launch."""

    number: int
    order: int
    seconds: float
    value: float | None
    what: str
    device: str


@dataclass(frozen=True)
class Hero:
    """The chart of a campaign, and what stands beside it.

    `markup` is the chart as a JSON script element, "" before the first task has ended. It is cached
    in this form, because writing thousands of points takes longer than all other steps. `records`
    are the newest new bests, `latest` the newest ended tasks; both have the newest first.
    `more_records` came before them.
    """

    markup: str
    drawn: int
    total: int
    records: tuple[Row, ...]
    latest: tuple[Row, ...]
    more_records: int
    without_value: int

    @property
    def json(self) -> str:
        """The chart as JSON alone; "" before the first task has ended."""
        return self.markup.partition(">")[2].removesuffix("</script>")


def hero(campaign: Campaign, *, of_class: str = "") -> Hero:
    """Return the chart of a launched campaign, for the class of results with this slug.

    It may lack the newest 0.2 % of many results, like everything that reads all of them.
    """
    result_class = _class_id(campaign, of_class)
    return cached_roughly(
        campaign, "hero", lambda: _hero(campaign, result_class), of_class=result_class
    )


def hero_label(campaign: Campaign, *, of_class: str = "") -> dict[str, Any] | None:
    """Return what is written at the end of the chart: the value of the board's first arm."""
    row = next(iter(arms.rows(campaign, limit=1, of_class=of_class)), None)
    if row is None or row.value is None:
        return None
    spec = campaign.metric_spec
    seeds = f"{row.seeds} seed{'' if row.seeds == 1 else 's'}" if row.seeds else "one seed"
    half = None if row.half_width is None else spec.text(row.half_width)
    return {
        "arm": row.arm,
        "value": _short(row.value, spec),
        "half": None if row.half_width is None else _short(row.half_width, spec),
        "text": spec.text(row.value),
        "half_text": half and f"± {half}",
        "who": f"arm {row.arm}, {seeds}",
    }


def hero_points(
    campaign: Campaign, *, after: int, total: int | None = None, of_class: str = ""
) -> dict[str, Any]:
    """Return what ended since a page drew the task of this order, for its chart to append.

    `total` is how many tasks have ended, if the caller knows. `from` is the order of the first
    point sent. It is at most `after` + 1, unless so much happened that the page reads the whole
    chart again. A few new points take less than 2 kB.
    """
    if total is None:
        total = ended_count(campaign)
    new = max(0, total - after)
    if not new or campaign.launched_at is None:
        return {"from": total + 1, "total": total, "points": None}
    result_class = _class_id(campaign, of_class)
    limit = min(new, MOST_NEW) + OVERLAP
    points = newest_points(campaign, total=total, limit=limit, result_class=result_class)
    own = [replace(p, spent_seconds=s) for p, s in zip(points, _sums(points), strict=True)]
    story = _story(campaign, points)
    return {
        "from": points[0].order if points else total + 1,
        "total": total,
        "step": APPENDED_STEP,
        "points": columns(
            own, campaign.metric_spec, since=campaign.launched_at, step=APPENDED_STEP
        ),
        "changes": _new_changes(campaign, points[-new:], result_class),
        "events": story["events"][-RECENT:],
        "idle": story["idle"][-RECENT:],
        "band": _noise(result_class),
        "label": hero_label(campaign, of_class=of_class),
    }


def _hero(campaign: Campaign, result_class: int | None) -> Hero:
    drawn = chart_points(campaign, result_class=result_class)
    points, since = drawn.points, campaign.launched_at
    if not points or since is None:
        return Hero("", 0, 0, (), (), 0, 0)
    records = [point for point in points if point.is_record]
    listed = records[: -MOST_LISTED - 1 : -1]
    return Hero(
        markup=figure_script(_data(campaign, drawn, result_class, since), "hero-data"),
        drawn=len(points),
        total=drawn.total,
        records=tuple(_row(point, since) for point in listed),
        latest=tuple(_row(point, since) for point in points[: -MOST_LISTED - 1 : -1]),
        more_records=len(records) - len(listed),
        without_value=sum(point.value is None for point in points),
    )


def _data(
    campaign: Campaign, drawn: ChartPoints, result_class: int | None, since: dt.datetime
) -> dict[str, Any]:
    """Return all that the chart draws; see `columns` for its points."""
    points, spec = drawn.points, campaign.metric_spec
    step = time_step(points, since)
    return {
        "metric": spec.name,
        "unit": spec.unit,
        "decimals": spec.decimals,
        "maximised": spec.is_maximised,
        # What the chart says of the value of its line: "lowest".
        "extreme": spec.best,
        # Results of several classes have no common order, so no line goes through them.
        "ordered": result_class is not None or len(classes_of(campaign)) < 2,
        "since": round(since.timestamp()),
        "total": drawn.total,
        "step": step,
        "points": columns(points, spec, since=since, step=step),
        "changes": _changes(campaign, points),
        "band": drawn.noise,
        "anchors": _anchors(campaign),
        **_story(campaign, points),
        # With 0 for the number of a task.
        "task": reverse("task", args=[campaign.pk, 0]),
        "card": reverse("task-card", args=[campaign.pk, 0]),
        "more": reverse("campaign-hero", args=[campaign.pk]),
    }


def _class_id(campaign: Campaign, of_class: str) -> int | None:
    chosen = chosen_class(campaign, of_class)
    return chosen.pk if chosen else None


def _noise(result_class: int | None) -> float | None:
    """Return the noise floor of a class, in the unit of its values; None while it is unknown."""
    floors = NoiseFloor.objects.filter(result_class=result_class)
    return floors.values_list("sd", flat=True).first()


def _anchors(campaign: Campaign) -> list[list[Any]]:
    """Return the n-gram values of the campaign's data set, if the catalog has the same bytes.

    They are bits per byte; no other metric has any.
    """
    if campaign.metric_spec.name != VAL_BPB.name:
        return []
    for dataset in catalog.all_datasets():
        if dataset.sha256 == campaign.dataset_id:
            return [[name, value] for name, value in dataset.ngram_anchors.items()]
    return []


def _changes(campaign: Campaign, points: Sequence[Point]) -> dict[int, list[str]]:
    """Return what each of the newest new bests changed, by the number of its task."""
    records = [point for point in points if point.is_record][-MOST_RECORDS - 1 :]
    names, _ = varying_params(campaign)
    return {
        after.number: changed(before.params or {}, after.params or {}, names)
        for before, after in pairwise(records)
    }


def _new_changes(
    campaign: Campaign, points: Sequence[Point], result_class: int | None
) -> dict[int, list[str]]:
    """Like `_changes`, of points that are new: what came before is read from the ranking."""
    counted = [point for point in points if point.counts]
    ranked = campaign.results.ranked().exclude(
        task__campaign=campaign, task__number__in=[point.number for point in counted]
    )
    if result_class is not None:
        ranked = ranked.filter(result_class=result_class)
    first = ranked.values("sort_key", "task__params").first() if counted else None
    if first is None:
        return {}
    key: Any = first["sort_key"]
    records: list[Point] = []
    for point in counted:
        own = campaign.metric_spec.sort_key(point.value or 0.0)
        if own < key:
            records.append(point)
            key = own
    numbers = [point.number for point in records]
    tasks = campaign.tasks.filter(number__in=numbers).values_list("number", "params")
    params = dict(tasks) if records else {}
    names, _ = varying_params(campaign)
    earlier = [first["task__params"], *(params[point.number] for point in records)]
    return {
        point.number: changed(before, params[point.number], names)
        for before, point in zip(earlier, records, strict=False)
    }


def _story(campaign: Campaign, points: Sequence[Point]) -> dict[str, Any]:
    """Return the newest events of the campaign, and the spans in which it had no worker.

    Of the workers that ran the points, or any lately. A span with their absence is [from, to], an
    event [when, words, how long or null], all in seconds since the launch.
    """
    since = campaign.launched_at
    if since is None:
        return {"events": [], "idle": []}

    def at(when: dt.datetime) -> float:
        return (when - since).total_seconds()

    sessions = _sessions(campaign, points, at)
    events = [
        *pauses((at(when), state) for when, state in _state_changes(campaign)),
        *comings_and_goings(sessions),
    ]
    last = at(points[-1].finished_at) if points else 0.0
    drawn = sorted((event for event in events if event.at <= last), key=lambda event: event.at)
    return {
        "events": [_brief_event(event) for event in drawn[-MOST_EVENTS:]],
        "idle": [[round(s), round(e)] for s, e in without_worker(sessions)[-MOST_EVENTS:]],
    }


def _state_changes(campaign: Campaign) -> list[tuple[dt.datetime, str]]:
    """Return the newest changes of its own state, the oldest first; [] if it never paused."""
    if campaign.paused_at is None and campaign.resumed_at is None:
        return []
    changes = StateChange.objects.filter(campaign=campaign, subject=ChangeSubject.CAMPAIGN)
    newest = changes.order_by("-at", "-pk").values_list("at", "to_state")
    return list(newest[:MOST_STATE_CHANGES])[::-1]


def _brief_event(event: Event) -> list[Any]:
    return [round(event.at), event.words, None if event.seconds is None else round(event.seconds)]


def _sessions(
    campaign: Campaign, points: Sequence[Point], at: Callable[[dt.datetime], float]
) -> list[Session]:
    """Return the newest sessions of the workers that ran these points, or any lately."""
    workers = {point.worker for point in points if point.worker is not None}
    # An append has few points: a worker that has just gone ran none of them.
    newest = campaign.results.order_by("-created_at", "-pk").values("attempt__worker")
    theirs = Q(worker__in=workers) | Q(worker__in=newest[:RUNS_OF_WORKERS])
    sessions = WorkerSession.objects.filter(theirs).order_by("-started_at")
    rows = sessions.values_list("worker__name", "started_at", "ended_at")[:MOST_SESSIONS]
    return [
        Session(_cut(name), at(started), None if ended is None else at(ended))
        for name, started, ended in rows
    ]


def _cut(name: str) -> str:
    return name if len(name) <= MOST_LETTERS else f"{name[: MOST_LETTERS - 1]}…"


def _sums(points: Sequence[Point]) -> list[float]:
    return list(accumulate(point.spent_seconds for point in points))


def _row(point: Point, since: dt.datetime) -> Row:
    return Row(
        number=point.number,
        order=point.order,
        seconds=(point.finished_at - since).total_seconds(),
        value=point.value if kind_of(point) in PLACED else None,
        what=_WORDS.get(kind_of(point)) or FailureClass(point.failure_class).label,
        device=point.device,
    )


_WORDS: Final = {
    COUNTS: "counts",
    OTHER_CLASS: "of another class",
    SIMULATED: "simulated, not ranked",
    NO_VALUE: "no value: the loss diverged, or the budget was too small",
    IMPLAUSIBLE: "implausible, not counted",
}


def _short(value: float, spec: MetricSpec) -> float:
    return round(value, spec.decimals)
