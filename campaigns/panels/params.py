"""Panels about params: which of them matter, and how they act, alone and together."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, Final

from campaigns.analysis import chance, estimates
from campaigns.analysis.axes import Axis
from campaigns.analysis.chance import Judgement
from campaigns.analysis.effects import Effect
from campaigns.analysis.estimates import Estimate
from campaigns.analysis.importance import MAX_RUNS, MIN_RESULTS, RESAMPLES, SHUFFLES
from campaigns.analysis.runs import Run, evenly
from campaigns.analysis.surface import surface
from campaigns.caching import cached_roughly
from campaigns.charts import params as charts_params
from campaigns.charts.figures import value_title
from campaigns.panels.base import (
    MAX_POINTS,
    Chart,
    Panel,
    Select,
    Subject,
    nothing_to_compare,
    one_point,
)
from campaigns.race.param_words import effects_title, importance_title, top_runs
from experiments.metrics import MetricSpec
from xeenet_site.web.formats import duration

MAX_PARAMETERS: Final = 12
# After this long without an estimate, the panel explains why.
SLOW_SECONDS: Final = 30


def importance_panel(subject: Subject) -> Panel:
    """Say which parameters matter for a good value, and whether that may be chance.

    Reads the estimate of a background job, and asks a job for one if it is missing or behind.
    """
    if not subject.axes:
        return Panel("Parameter importance", empty=one_point())
    known = estimates.estimate(subject.campaign, subject.device)
    if known.is_behind:
        estimates.ask(subject.campaign, subject.device)
    importance = known.importance
    if importance is None:
        return Panel(
            "Importance is being computed", empty=_pending(known, subject), is_pending=True
        )
    parameters = importance.parameters
    if not parameters:
        return Panel(
            f"Too few results for importance: {importance.results} of at least {MIN_RESULTS}, "
            "one of each arm",
            empty="Let more tasks complete, or add tasks to the campaign.",
        )
    best = top_runs(importance.target_quantile)
    title = importance_title(
        parameters,
        _judgement(subject).names,
        good=f"a {subject.spec.good} {subject.spec.name}",
        top=best,
    )
    notes = [
        (
            f"Dot: how much the parameter distinguishes the {best} of {importance.used:,} results "
            f"from all of them (PED-ANOVA). Line: the middle 90 % of {RESAMPLES} bootstrap "
            f"resamples. Tick: the highest value from {SHUFFLES} shuffles of the results. A "
            "parameter is named if its dot is to the right of its tick, and it also accounts for "
            "more of the spread than shuffled values do. One run of each arm counts."
        ),
    ]
    if importance.results > importance.used == MAX_RUNS:
        notes.append(f"Computed on a random {MAX_RUNS:,} of {known.total:,} results.")
    if known.computed_at is not None:
        notes.append(_age(known.computed_at, subject.now, is_behind=known.is_behind))
    return Panel(
        title,
        [
            Chart(
                "Share of the importance per parameter, with its uncertainty",
                charts_params.importance_figure(importance),
                shape="fitted",
            )
        ],
        ["parameter", "share", "low (5 %)", "high (95 %)", "reached by chance"],
        [[row.name, row.share, row.low, row.high, row.by_chance] for row in parameters],
        notes,
        importance.warnings,
    )


def _judgement(subject: Subject) -> Judgement:
    """Return the subject's judgement, shared by the panels and computed once per revision."""
    return cached_roughly(
        subject.campaign, "params-judged", lambda: subject.judgement, device=subject.device
    )


def _pending(known: Estimate, subject: Subject) -> str:
    """Say that the estimate is being computed, and after `SLOW_SECONDS` why it takes so long."""
    waited = (subject.now - known.asked_at).total_seconds() if known.asked_at else 0.0
    if waited < SLOW_SECONDS:
        return "A background job computes it. It appears here by itself, usually within seconds."
    return (
        f"Asked for {duration(waited)} ago and not computed yet. The background jobs are busy, or "
        "the q-cluster is not running. See the overview."
    )


def _age(computed_at: dt.datetime, now: dt.datetime, *, is_behind: bool) -> str:
    """Say how old the estimate is, and whether a newer one is being computed."""
    age = duration(max(1.0, round((now - computed_at).total_seconds())))
    newer = " Newer results came in since; it is being computed anew." if is_behind else ""
    return f"Computed {age} ago by a background job.{newer}"


def effects_panel(subject: Subject) -> Panel:
    """Show the mean value by level or bin of each parameter."""
    drawn = subject.effects[:MAX_PARAMETERS]
    if problem := nothing_to_compare(subject):
        return Panel("Effect of each parameter", empty=problem)
    spec, judgement = subject.spec, _judgement(subject)
    title = effects_title(judgement.named, judgement.by_chance, metric=spec.name)
    value_range = _range_of(drawn, spec)
    charts = [
        Chart(
            f"Mean {spec.name} by {effect.axis.name} with standard errors",
            charts_params.effect_figure(effect, spec, value_range),
            _effect_heading(effect),
        )
        for effect in drawn
    ]
    notes = [
        (
            f"Mean {value_title(spec)} ± its standard error, averaged over all other parameters. "
            "The small number is the number of runs, one of each arm; open dots have fewer than "
            "3. The share is ε², corrected for the number of levels. The title names a parameter "
            f"only above what {chance.ABOVE} of {chance.SHUFFLES} shuffles of the values reach."
        )
    ]
    if len(subject.effects) > len(drawn):
        notes.append(f"The {len(drawn)} strongest of {len(subject.effects)} parameters.")
    if subject.results.is_sample:
        notes.append(f"From {len(subject.results.runs):,} of {subject.results.total:,} results.")
    heads = ["parameter", "level or bin", "runs", "mean", "standard error", "median"]
    rows = [
        [effect.axis.name, cell.label, cell.count, cell.mean, cell.error, cell.median]
        for effect in subject.effects
        for cell in effect.cells
    ]
    return Panel(title, charts, heads, rows, notes)


def _effect_heading(effect: Effect) -> str:
    if effect.explained is None:
        return effect.axis.name
    return f"{effect.axis.name} · {effect.explained:.0%} of the spread"


def _range_of(effects: Sequence[Effect], spec: MetricSpec) -> tuple[float, float]:
    """Return a common y range for all effects: their means ± errors, with room for the counts."""
    ends = [
        cell.mean + sign * (cell.error or 0)
        for effect in effects
        for cell in effect.cells
        if cell.mean is not None
        for sign in (-1, 1)
    ]
    low, high = min(ends), max(ends)
    room = max(200 * spec.resolution, 0.1 * (high - low))
    return low - 2 * room, high + room


def parallel_panel(subject: Subject) -> Panel:
    """Show every run as a line through all its parameters."""
    if problem := nothing_to_compare(subject):
        return Panel("Every run through all its parameters", empty=problem)
    strongest = {effect.axis.name for effect in subject.effects[:MAX_PARAMETERS]}
    axes = [axis for axis in subject.axes if axis.name in strongest]
    runs, notes = subject.drawn_runs()
    notes.append("Drag along an axis to keep only the runs through that part. Click to undo it.")
    if len(subject.axes) > len(axes):
        notes.append(f"The {len(axes)} strongest of {len(subject.axes)} parameters.")
    best, spec = min(runs, key=lambda run: run.sort_key), subject.spec
    title = f"Every run through its parameters; the {spec.best} value is {spec.text(best.value)}"
    chart = Chart(
        f"One line per run through its parameters to its {spec.name}",
        charts_params.parallel_figure(axes, spec, runs),
        shape="wide",
    )
    return Panel(title, [chart], *_run_table(subject.axes, spec, runs), notes)


def slice_panel(subject: Subject) -> Panel:
    """Show every run against one parameter."""
    if problem := nothing_to_compare(subject):
        return Panel("One parameter at a time", empty=problem)
    effect = _chosen(subject, subject.x, 0)
    axis = effect.axis
    runs, notes = subject.drawn_runs()
    spec = subject.spec
    medians = [(cell.median, cell) for cell in effect.cells if cell.median is not None]
    median, best = min(medians, key=lambda pair: spec.sort_key(pair[0]))
    runs_of = f"{best.count} run{'s' if best.count != 1 else ''}"
    title = f"{axis.name}: {spec.best} median, {spec.rough(median)}, at {best.label} ({runs_of})"
    figure = charts_params.slice_figure(axis, spec, runs)
    chart = Chart(f"{spec.name} of each run by {axis.name}", figure)
    selects = [Select("x", "parameter", [choice.name for choice in subject.axes], axis.name)]
    return Panel(title, [chart], *_run_table([axis], spec, runs), notes, selects=selects)


def contour_panel(subject: Subject) -> Panel:
    """Show the mean value over two parameters."""
    if problem := nothing_to_compare(subject):
        return Panel("Two parameters together", empty=problem)
    if len(subject.axes) < 2:
        return Panel("Two parameters together", empty="Only one parameter varies here.")
    x = _chosen(subject, subject.x, 0).axis
    y_axes = [effect.axis for effect in subject.effects if effect.axis != x]
    y = next((axis for axis in y_axes if axis.name == subject.y), y_axes[0])
    means, spec = surface(x, y, subject.results.runs), subject.spec
    names = [axis.name for axis in subject.axes]
    selects = [
        Select("x", "across", names, x.name),
        Select("y", "up", [name for name in names if name != x.name], y.name),
    ]
    cells = [
        (mean, column, row)
        for row, row_means in enumerate(means.means)
        for column, mean in enumerate(row_means)
        if mean is not None
    ]
    if not cells:
        return Panel(
            f"{x.name} and {y.name} together",
            empty="Too few runs near each other.",
            selects=selects,
        )
    cells.sort(key=lambda cell: (spec.sort_key(cell[0]), *cell[1:]))
    best, column, row = cells[0]
    position = f"{_named(x, means.xs[column])} and {_named(y, means.ys[row])}"
    title = f"{spec.best.capitalize()} mean {spec.name}, {spec.rough(best)}, near {position}"
    dots = evenly(means.points, MAX_POINTS // 4)
    notes = [f"Colour: mean {spec.name} of the runs nearby; blank without runs nearby. Dots: runs."]
    if len(dots) < subject.results.total:
        notes.append(f"{len(dots):,} of {subject.results.total:,} runs are drawn as dots.")
    chart = Chart(
        f"Mean {spec.name} over {x.name} and {y.name}",
        charts_params.surface_figure(means, spec, dots),
        shape="tall",
    )
    rows = [
        [
            _value_at(x, means.xs[column]),
            _value_at(y, means.ys[row]),
            mean,
            means.support[row][column],
        ]
        for mean, column, row in cells
    ]
    heads = [x.name, y.name, f"mean {spec.name}", "runs (weighted)"]
    return Panel(title, [chart], heads, rows, notes, selects=selects)


def _named(axis: Axis, position: float) -> str:
    return f"{axis.name} {_value_at(axis, position)}"


def _value_at(axis: Axis, position: float) -> str:
    return axis.cell_label(int(position)) if axis.levels else f"{position:.3g}"


def _chosen(subject: Subject, name: str, otherwise: int) -> Effect:
    """Return the effect of the parameter `name`; for an unknown one, the effect at `otherwise`."""
    for effect in subject.effects:
        if effect.axis.name == name:
            return effect
    return subject.effects[otherwise]


def _run_table(
    axes: Sequence[Axis], spec: MetricSpec, runs: Sequence[Run]
) -> tuple[list[str], list[list[Any]]]:
    names = [axis.name for axis in axes]
    heads = ["task", "seed", *names, spec.name, "device"]
    ordered = sorted(runs, key=lambda run: run.sort_key)
    return heads, [
        [run.number, run.seed, *(run.params.get(name) for name in names), run.value, run.device]
        for run in ordered
    ]
