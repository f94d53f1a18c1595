"""Two to five tasks or campaigns side by side: what differs, and what each reached.

This module makes the rows of the table; the figure is made by `campaigns.charts.compare`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django.db.models import Count, Max

from campaigns.analysis import seeds_of_point
from campaigns.analysis.curves import load_progress
from campaigns.analysis.digests import Digest, digests
from campaigns.analysis.seeds_of_point import Spread
from campaigns.clock import with_clock
from campaigns.models import Attempt, Campaign, Result, Task, TaskName
from campaigns.race.words import value_standing
from experiments import metrics
from experiments.metrics import MetricSpec
from xeenet_site.web.formats import count, duration

LETTERS: Final = "ABCDE"
MOST: Final = len(LETTERS)


@dataclass(frozen=True)
class Row:
    """One row of the table: a name, and a cell per column ("" where the value is missing)."""

    name: str
    unit: str
    cells: Sequence[str]

    @property
    def differs(self) -> bool:
        """Whether the cells are not all the same. A missing value differs from any other."""
        return len(set(self.cells)) > 1

    @property
    def is_mixed(self) -> bool:
        """Whether the cells differ among the columns that have a value."""
        return len({cell for cell in self.cells if cell}) > 1


@dataclass
class TaskColumn:
    """A task with the attempt whose curve is drawn."""

    letter: str
    task: Task
    result: Result | None
    spread: Spread
    attempt: Attempt | None = None

    @property
    def best(self) -> float | None:
        """The measured value, in the unit of `spec`; None without a ranked result."""
        return self.result.value if self.result and self.result.is_ranked else None

    @property
    def arm_task(self) -> Task | None:
        """A task of the arm that it stands for."""
        return self.task

    @property
    def spec(self) -> MetricSpec:
        return self.task.campaign.metric_spec


@dataclass
class CampaignColumn:
    """A campaign with the first arm on its board, and that arm's first task."""

    letter: str
    campaign: Campaign
    digest: Digest
    states: dict[str, int] = field(default_factory=dict)
    best_task: Task | None = None
    spread: Spread | None = None

    @property
    def best(self) -> float | None:
        """The value of its first arm, in the unit of `spec`: its race value, or of one seed."""
        return self.digest.first.value if self.digest.first else None

    @property
    def arm_task(self) -> Task | None:
        """A task of the arm that it stands for."""
        return self.best_task

    @property
    def spec(self) -> MetricSpec:
        return self.campaign.metric_spec


def task_columns(names: Sequence[TaskName]) -> tuple[list[TaskColumn], bool]:
    """Return a column for each task that exists, in the order given, and if curves are samples."""
    related = Task.objects.select_related("campaign__dataset", "result__campaign", "arm")
    annotated = related.named(names).annotate(latest=Max("attempts__pk"))
    by_name = {task.name: task for task in annotated}
    tasks = [by_name[name] for name in names if name in by_name]
    spreads = seeds_of_point.of_points(tasks)
    columns = [
        TaskColumn(letter, task, getattr(task, "result", None), spreads[task.pk])
        for letter, task in zip(LETTERS, tasks, strict=False)
    ]
    # The attempt that brought the result, or the latest one.
    attempt_pks = [
        column.result.attempt_id if column.result else column.task.latest  # type: ignore[attr-defined]
        for column in columns
    ]
    attempts = Attempt.objects.brief().filter(pk__in=[pk for pk in attempt_pks if pk])
    by_pk = {attempt.pk: attempt for attempt in attempts.select_related("worker")}
    for column, pk in zip(columns, attempt_pks, strict=True):
        column.attempt = by_pk.get(pk)
    return columns, load_progress(list(by_pk.values()))


def campaign_columns(pks: Sequence[int]) -> list[CampaignColumn]:
    """Return a column for each campaign that exists, in the order given."""
    by_pk = with_clock(Campaign.objects.select_related("owner", "dataset")).in_bulk(pks)
    campaigns = [by_pk[pk] for pk in pks if pk in by_pk]
    known = digests(campaigns)
    columns = [
        CampaignColumn(letter, campaign, known[campaign.pk])
        for letter, campaign in zip(LETTERS, campaigns, strict=False)
    ]
    tasks = Task.objects.filter(campaign__in=by_pk).order_by().values_list("campaign_id", "state")
    states = {(pk, state): number for pk, state, number in tasks.annotate(number=Count("pk"))}
    names = [
        TaskName(column.campaign.pk, column.digest.first.first_task)
        for column in columns
        if column.digest.first and column.digest.first.first_task is not None
    ]
    related = Task.objects.select_related("result__campaign", "campaign", "arm")
    best = {task.campaign_id: task for task in related.named(names)} if names else {}
    spreads = seeds_of_point.of_points(best.values()) if best else {}
    for column in columns:
        pk = column.campaign.pk
        column.states = {
            state: number for (campaign_pk, state), number in states.items() if campaign_pk == pk
        }
        column.best_task = best.get(pk)
        column.spread = spreads.get(column.best_task.pk) if column.best_task else None
    return columns


# --- Rows ----------------------------------------------------------------------------------------


def _row(columns: Sequence[Any], name: str, read: Callable[[Any], Any], unit: str = "") -> Row:
    cells = [read(column) for column in columns]
    return Row(name, unit, ["" if cell is None else str(cell) for cell in cells])


def common_spec(columns: Sequence[Any]) -> MetricSpec | None:
    """Return the metric of all columns; None if they have different ones, or are none."""
    return metrics.common(column.spec for column in columns)


def best_of(columns: Sequence[Any]) -> Any:
    """Return the column with the lowest sort key; None without values of the same metric."""
    if common_spec(columns) is None:
        return None
    valued = [column for column in columns if column.best is not None]
    return min(valued, key=lambda column: column.spec.sort_key(column.best), default=None)


def _value_row(columns: Sequence[Any], words: str, read: Callable[[Any], float | None]) -> Row:
    """Return a row of values. Columns of different metrics have their unit in each cell."""
    spec = common_spec(columns)

    def written(column: Any) -> str | None:
        number = read(column)
        own: MetricSpec = column.spec
        if number is None:
            return None
        return own.text(number) if spec else own.with_unit(number)

    name = f"{words} {spec.name if spec else 'value'}".strip()
    return _row(columns, name, written, spec.unit if spec else "")


def _spread_words(column: Any) -> str:
    spread, text = column.spread, column.spec.text
    if spread is None or not spread.values:
        return ""
    if spread.deviation is None:
        return "one seed"
    return f"{text(spread.mean)} ± {text(spread.deviation)}, {len(spread.values)} seeds"


def _spread_row(columns: Sequence[Any], name: str) -> Row:
    spec = common_spec(columns)
    return _row(columns, name, _spread_words, spec.unit if spec else "")


def _distance(columns: Sequence[Any]) -> Row:
    """Return how far each value is from the lowest, or the highest where more is wanted."""
    has_rivals = sum(column.best is not None for column in columns) > 1
    best = best_of(columns) if has_rivals else None
    return _row(
        columns,
        f"distance to the {best.spec.best}" if best else "distance",
        lambda column: best and _gap(column.best, best.best, best.spec),
        best.spec.unit if best else "",
    )


def _gap(value: float | None, best: float, spec: MetricSpec) -> str:
    if value is None:
        return ""
    return spec.best if value == best else spec.difference(value, best)


def task_findings(columns: Sequence[TaskColumn]) -> list[Row]:
    """Return the rows about the results of tasks."""
    return [
        _value_row(columns, "", lambda c: c.best),
        _distance(columns),
        _spread_row(columns, "same arm, all seeds"),
        _row(columns, "steps", lambda c: c.result and count(c.result.steps_completed)),
        _row(columns, "tokens", lambda c: c.result and count(c.result.tokens_trained)),
        _row(columns, "model parameters", lambda c: c.result and count(c.result.model_params)),
        _row(columns, "wall time", lambda c: c.result and duration(c.result.wall_time_seconds)),
    ]


def campaign_findings(columns: Sequence[CampaignColumn]) -> list[Row]:
    """Return the rows about the results of campaigns."""
    return [
        _value_row(columns, "first arm", lambda c: c.best),
        _row(columns, "how sure", _how_sure),
        _distance(columns),
        _spread_row(columns, "first arm, all seeds"),
        _value_row(columns, "median", lambda c: c.digest.median),
        _row(columns, "measured results", lambda c: count(c.digest.measured)),
        _row(columns, "failed tasks", lambda c: count(c.states.get("failed", 0))),
        _row(columns, "tasks still open", lambda c: count(_open(c.states))),
    ]


def _how_sure(column: CampaignColumn) -> str | None:
    first = column.digest.first
    return first and value_standing(
        first.standing,
        None if first.half_width is None else column.spec.text(first.half_width),
        first.seeds,
    )


def _open(states: dict[str, int]) -> int:
    return states.get("pending", 0) + states.get("leased", 0)


def conditions(columns: Sequence[TaskColumn] | Sequence[CampaignColumn]) -> list[Row]:
    """Return the rows about the conditions under which each column was measured."""

    def of(column: Any) -> Campaign:
        campaign: Campaign = getattr(column, "campaign", None) or column.task.campaign
        return campaign

    rows = [
        _row(columns, "experiment", lambda c: of(c).experiment),
        _row(columns, "script", lambda c: of(c).package_id[:12]),
        _row(columns, "data set", lambda c: f"{of(c).dataset.name} {of(c).dataset_id[:12]}"),
        _row(columns, "budget", lambda c: of(c).budget_text),
    ]
    metric = _row(columns, "metric", lambda c: c.spec.name)
    if metric.differs:
        rows.append(metric)
    if columns and isinstance(columns[0], TaskColumn):
        return [
            *rows,
            _row(columns, "evaluated on", _evaluated),
            _row(columns, "device", lambda c: c.result and c.result.device_used),
            _row(columns, "worker", lambda c: c.attempt and c.attempt.worker.name),
            _row(columns, "threads", lambda c: c.result and c.result.metrics.get("threads")),
            _row(columns, "torch", lambda c: c.result and c.result.metrics.get("torch_version")),
            _row(columns, "seed", lambda c: c.task.seed),
        ]
    return [
        *rows,
        _row(columns, "device", lambda c: ", ".join(c.digest.devices)),
        _row(columns, "sampler", lambda c: of(c).sampler),
        _row(columns, "base seed", lambda c: of(c).base_seed),
    ]


def _evaluated(column: TaskColumn) -> str:
    if column.result is None:
        return ""
    return "a fixed subset" if column.result.eval_is_subset else "the whole validation split"


# Conditions whose difference makes values incomparable, and those that make a comparison unfair.
_OTHER_MEASURE: Final = ("metric", "experiment", "script", "data set", "evaluated on")
_OTHER_MEANS: Final = ("budget", "device")


def warnings(rows: Iterable[Row]) -> list[str]:
    """Return sentences about conditions that differ. A condition that is unknown does not count."""
    differing = {row.name for row in rows if row.is_mixed}
    measures = [name for name in _OTHER_MEASURE if name in differing]
    means = [name for name in _OTHER_MEANS if name in differing]
    sentences = []
    if measures:
        sentences.append(f"These values do not measure the same thing: {_differ(measures)}.")
    if means:
        sentences.append(f"A time budget compares only like with like: {_differ(means)}.")
    return sentences


def _differ(names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"{names[0]} differs"
    return f"{', '.join(names[:-1])} and {names[-1]} differ"
