"""Panels about params: what matters, how each acts, alone and together."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, Final

from campaigns.analysis import estimates
from campaigns.analysis.axes import Axis
from campaigns.analysis.effects import Effect
from campaigns.analysis.estimates import Estimate
from campaigns.analysis.importance import MAX_RUNS, MIN_RESULTS, RESAMPLES, SHUFFLES
from campaigns.analysis.runs import Run, evenly
from campaigns.analysis.surface import surface
from campaigns.charts import params as charts_params
from campaigns.panels.base import (
    MAX_POINTS,
    Chart,
    Panel,
    Select,
    Subject,
    nothing_to_compare,
    one_point,
)
from xeenet_site.web.formats import duration

MAX_PARAMETERS: Final = 12
# A job that has not answered by then needs an explanation.
SLOW_SECONDS: Final = 30


def importance_panel(subject: Subject) -> Panel:
    """Say which parameters matter for a low val_bpb, and whether chance could say so too.

    Reads what a background job computed, and asks for it where it is missing or behind.
    """
    if not subject.axes:
        return Panel("Parameter importance", empty=one_point())
    known = estimates.estimate(subject.campaign, subject.device)
    if known.is_behind:
        estimates.ask(subject.campaign, subject.device)
    found = known.importance
    if found is None:
        return Panel(
            "Importance is being computed", empty=_pending(known, subject), is_pending=True
        )
    if not found.parameters:
        return Panel(
            f"Too few results for importance: {found.results} of at least {MIN_RESULTS}",
            empty="Let more tasks complete, or add tasks to the campaign.",
        )
    first, *others = found.parameters
    standing = [one.name for one in found.parameters if one.stands_out]
    title = "No parameter stands out from chance yet"
    if standing:
        title = f"{_listed(standing)} matter{'' if len(standing) > 1 else 's'} for a low val_bpb"
        if first.stands_out and all(first.low > one.high for one in others):
            title = f"{first.name} matters most for a low val_bpb: {first.share:.0%}"
    best = f"best {found.target_quantile:.0%}"
    notes = [
        (
            f"Dot: PED-ANOVA's share in what tells the {best} of {found.used:,} results from all "
            f"of them. Line: the middle 90 % of {RESAMPLES} bootstrap resamples. Tick: the most "
            f"that {SHUFFLES} shuffles of the results reach; a parameter stands out where its "
            "dot is right of its tick."
        ),
    ]
    if found.results > found.used == MAX_RUNS:
        notes.append(f"Computed on a random {MAX_RUNS:,} of {known.total:,} results.")
    if known.computed_at is not None:
        notes.append(_age(known.computed_at, subject.now, is_behind=known.is_behind))
    return Panel(
        title,
        [
            Chart(
                "Share of the importance per parameter, with its uncertainty",
                charts_params.importance_figure(found),
                shape="fitted",
            )
        ],
        ["parameter", "share", "low (5 %)", "high (95 %)", "reached by chance"],
        [[one.name, one.share, one.low, one.high, one.by_chance] for one in found.parameters],
        notes,
        found.warnings,
    )


def _pending(known: Estimate, subject: Subject) -> str:
    """Say that it is being computed, and since when where that is long."""
    text = "A background job computes it; it appears here by itself, usually within seconds."
    waited = (subject.now - known.asked_at).total_seconds() if known.asked_at else 0.0
    if waited < SLOW_SECONDS:
        return text
    return (
        f"Asked for {duration(waited)} ago and not computed yet. The background jobs are busy, or "
        "the q-cluster is not running: the overview tells."
    )


def _age(computed_at: dt.datetime, now: dt.datetime, *, is_behind: bool) -> str:
    """Say how old the estimate is, and whether a newer one is on its way."""
    age = duration(max(1.0, round((now - computed_at).total_seconds())))
    newer = " Newer results came in since; it is being computed anew." if is_behind else ""
    return f"Computed {age} ago by a background job.{newer}"


def effects_panel(subject: Subject) -> Panel:
    """Show mean val_bpb by level or bin of each parameter."""
    shown = subject.effects[:MAX_PARAMETERS]
    if problem := nothing_to_compare(subject):
        return Panel("Effect of each parameter", empty=problem)
    strongest = shown[0]
    title = "Effect of each parameter: too few results to say how much each accounts for"
    if strongest.explained is not None:
        title = (
            f"{strongest.axis.name} alone accounts for {strongest.explained:.0%} of the spread "
            "of val_bpb"
            if strongest.explained >= 0.1
            else "No parameter alone accounts for more than a tenth of the spread of val_bpb"
        )
    value_range = _range_of(shown)
    charts = [
        Chart(
            f"Mean val_bpb by {one.axis.name} with standard errors",
            charts_params.effect_figure(one, value_range),
            one.axis.name
            + ("" if one.explained is None else f" · {one.explained:.0%} of the spread"),
        )
        for one in shown
    ]
    notes = [
        (
            "Mean val_bpb (bits/byte) ± its standard error, all other parameters averaged over; "
            "the small number is how many runs stand behind it, open dots have fewer than 3. The "
            "share is ε², corrected for the number of levels."
        )
    ]
    if len(subject.effects) > len(shown):
        notes.append(f"The {len(shown)} strongest of {len(subject.effects)} parameters.")
    if subject.found.is_sample:
        notes.append(f"From {len(subject.found.runs):,} of {subject.found.total:,} results.")
    heads = ["parameter", "level or bin", "runs", "mean", "standard error", "median"]
    rows = [
        [one.axis.name, cell.label, cell.count, cell.mean, cell.error, cell.median]
        for one in subject.effects
        for cell in one.cells
    ]
    return Panel(title, charts, heads, rows, notes)


def _range_of(effects: Sequence[Effect]) -> tuple[float, float]:
    """Return one y range for all effects: their means and errors, with room for the counts."""
    ends = [
        cell.mean + sign * (cell.error or 0)
        for one in effects
        for cell in one.cells
        if cell.mean is not None
        for sign in (-1, 1)
    ]
    low, high = min(ends), max(ends)
    room = max(0.02, 0.1 * (high - low))
    return low - 2 * room, high + room


def parallel_panel(subject: Subject) -> Panel:
    """Show every run as a line through all its parameters."""
    if problem := nothing_to_compare(subject):
        return Panel("Every run through all its parameters", empty=problem)
    kept = {one.axis.name for one in subject.effects[:MAX_PARAMETERS]}
    axes = [axis for axis in subject.axes if axis.name in kept]
    runs, notes = subject.shown_runs()
    notes.append("Drag along an axis to keep only the runs through that part; click to let go.")
    if len(subject.axes) > len(axes):
        notes.append(f"The {len(axes)} strongest of {len(subject.axes)} parameters.")
    best = min(runs, key=lambda run: run.val_bpb)
    title = f"Every run through its parameters; the best reaches {best.val_bpb:.4f}"
    chart = Chart(
        "One line per run through its parameters to its val_bpb",
        charts_params.parallel_figure(axes, runs),
        shape="wide",
    )
    return Panel(title, [chart], *_run_table(subject.axes, runs), notes)


def slice_panel(subject: Subject) -> Panel:
    """Show every run against one parameter."""
    if problem := nothing_to_compare(subject):
        return Panel("One parameter at a time", empty=problem)
    effect = _chosen(subject, subject.x, 0)
    axis = effect.axis
    runs, notes = subject.shown_runs()
    filled = [cell for cell in effect.cells if cell.median is not None]
    best = min(filled, key=lambda cell: cell.median or 0.0)
    runs_of = f"{best.count} run{'s' if best.count != 1 else ''}"
    title = f"{axis.name}: lowest median, {best.median:.3f}, at {best.label} ({runs_of})"
    chart = Chart(f"val_bpb of each run by {axis.name}", charts_params.slice_figure(axis, runs))
    selects = [Select("x", "parameter", [one.name for one in subject.axes], axis.name)]
    return Panel(title, [chart], *_run_table([axis], runs), notes, selects=selects)


def contour_panel(subject: Subject) -> Panel:
    """Show mean val_bpb over two parameters."""
    if problem := nothing_to_compare(subject):
        return Panel("Two parameters together", empty=problem)
    if len(subject.axes) < 2:
        return Panel("Two parameters together", empty="Only one parameter varies here.")
    x = _chosen(subject, subject.x, 0).axis
    others = [one for one in subject.effects if one.axis != x]
    y = next((one.axis for one in others if one.axis.name == subject.y), others[0].axis)
    found = surface(x, y, subject.found.runs)
    names = [axis.name for axis in subject.axes]
    selects = [
        Select("x", "across", names, x.name),
        Select("y", "up", [name for name in names if name != x.name], y.name),
    ]
    cells = [
        (mean, column, row)
        for row, means in enumerate(found.means)
        for column, mean in enumerate(means)
        if mean is not None
    ]
    if not cells:
        return Panel(
            f"{x.name} and {y.name} together",
            empty="Too few runs near each other.",
            selects=selects,
        )
    lowest, column, row = min(cells)
    place = f"{_place(x, found.xs[column])} and {_place(y, found.ys[row])}"
    title = f"Lowest mean val_bpb, {lowest:.3f}, near {place}"
    dots = evenly(found.points, MAX_POINTS // 4)
    notes = ["Colour: mean val_bpb of the runs nearby; nothing where there are none. Dots: runs."]
    if len(dots) < subject.found.total:
        notes.append(f"{len(dots):,} of {subject.found.total:,} runs are drawn as dots.")
    chart = Chart(
        f"Mean val_bpb over {x.name} and {y.name}",
        charts_params.surface_figure(found, dots),
        shape="tall",
    )
    rows = [
        [_place_value(x, found.xs[c]), _place_value(y, found.ys[r]), mean, found.support[r][c]]
        for mean, c, r in sorted(cells)
    ]
    heads = [x.name, y.name, "mean val_bpb", "runs (weighted)"]
    return Panel(title, [chart], heads, rows, notes, selects=selects)


def _place(axis: Axis, position: float) -> str:
    return f"{axis.name} {_place_value(axis, position)}"


def _place_value(axis: Axis, position: float) -> str:
    return axis.cell_label(int(position)) if axis.levels else f"{position:.3g}"


def _chosen(subject: Subject, name: str, otherwise: int) -> Effect:
    """Return the effect of the parameter asked for, else the one at this place by strength."""
    for one in subject.effects:
        if one.axis.name == name:
            return one
    return subject.effects[otherwise]


def _run_table(axes: Sequence[Axis], runs: Sequence[Run]) -> tuple[list[str], list[list[Any]]]:
    names = [axis.name for axis in axes]
    heads = ["task", "seed", *names, "val_bpb", "device"]
    ordered = sorted(runs, key=lambda run: run.val_bpb)
    return heads, [
        [run.number, run.seed, *(run.params.get(name) for name in names), run.val_bpb, run.device]
        for run in ordered
    ]


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
