"""Panels about runs and attempts: how values spread, what they cost, how attempts ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from campaigns.analysis import attempts, distribution
from campaigns.analysis.runs import Run, evenly
from campaigns.charts import params as charts_params
from campaigns.charts import runs as charts_runs
from campaigns.panels.base import MAX_POINTS, Chart, Panel, Subject, Table, too_few_runs

MAX_CONFIGS: Final = 100


def distribution_panel(subject: Subject) -> Panel:
    """Show how the values are distributed, per device."""
    if problem := too_few_runs(subject):
        return Panel(f"Distribution of {subject.spec.name}", empty=problem)
    spec = subject.spec
    keys = sorted(run.sort_key for run in subject.results.runs)
    median, tenth = (spec.rough(spec.value_of(keys[(len(keys) - 1) // parts])) for parts in (2, 10))
    by_device: dict[str, list[float]] = {}
    for run in subject.results.runs:
        by_device.setdefault(run.device, []).append(run.sort_key)
    devices = sorted(by_device, key=lambda device: -len(by_device[device]))
    drawn = devices[: charts_runs.MAX_DEVICES]
    points = MAX_POINTS // len(drawn)
    curves = {
        device: [
            (spec.value_of(key), share)
            for key, share in evenly(distribution.distribution(by_device[device]), points)
        ]
        for device in drawn
    }
    notes = []
    if len(by_device) > 1:
        notes.append("One line per device: a time budget compares only like hardware.")
    if len(devices) > len(drawn):
        notes.append(f"The {len(drawn)} devices with most results, of {len(devices)}.")
    if sum(map(len, curves.values())) < subject.results.total:
        notes.append(f"Drawn from a sample of {subject.results.total:,} results.")
    return Panel(
        f"Half of the runs are at or {spec.side} {median}, a tenth at or {spec.side} {tenth}",
        [
            Chart(
                f"Share of runs at or {spec.side} each {spec.name}",
                charts_runs.distribution_figure(curves, spec),
            )
        ],
        ["device", spec.name, "share of runs"],
        [[device, *point] for device, curve in curves.items() for point in curve],
        notes,
    )


def seeds_panel(subject: Subject) -> Panel:
    """Show how much runs of the same config differ with the seed."""
    groups = distribution.replicates(subject.results.runs)
    deviation = distribution.pooled_deviation(groups)
    if deviation is None:
        return Panel(
            "Noise between seeds is not known",
            empty="Each config ran with one seed only. Open a task and run it again with a "
            "new seed. Then this panel shows the noise of a single run, and how far two "
            "of them must differ.",
        )
    drawn, spec = groups[:MAX_CONFIGS], subject.spec
    names = [axis.name for axis in subject.axes]
    title = f"Between seeds, {spec.name} varies by ± {spec.text(deviation)} (s.d.)"
    notes = [
        (
            f"{len(groups):,} configs ran with several seeds, "
            f"{sum(group.count for group in groups):,} runs in all. Two single runs closer than "
            f"about {spec.text(2.8 * deviation)} may differ by chance alone."
        )
    ]
    if len(groups) > len(drawn):
        notes.append(f"Drawn are {len(drawn)} configs, by their mean.")
    chart = Chart(
        f"{spec.name} of configs that ran with several seeds",
        charts_runs.replicates_figure(drawn, spec),
    )
    rows = [
        [
            place,
            *(group.params.get(name) for name in names),
            group.mean,
            group.deviation,
            group.count,
        ]
        for place, group in enumerate(groups, start=1)
    ]
    heads = ["config", *names, f"mean {spec.name}", "standard deviation", "seeds"]
    return Panel(title, [chart], heads, rows, notes)


_COSTS: Final[tuple[tuple[str, str, Callable[[Run], int]], ...]] = (
    ("Training steps", "steps", lambda run: run.steps),
    ("Tokens trained on", "tokens", lambda run: run.tokens),
    ("Model parameters", "model parameters", lambda run: run.model_params),
)


def cost_panel(subject: Subject) -> Panel:
    """Show the value against steps, tokens and model size."""
    if problem := too_few_runs(subject):
        return Panel(f"{subject.spec.name} against steps, tokens and model size", empty=problem)
    spec = subject.spec
    runs, notes = subject.drawn_runs(charts=len(_COSTS))
    measured = subject.first_runs
    values = [run.value for run in measured]
    charts, correlations = [], []
    for title, word, cost in _COSTS:
        rho = distribution.rank_correlation([cost(run) for run in measured], values)
        heading = f"{title} · " + ("the same in all runs" if rho is None else f"ρ {rho:+.2f}")
        figure = charts_params.dots_against([cost(run) for run in runs], spec, runs, title)
        charts.append(Chart(f"{spec.name} against {word}", figure, heading))
        if rho is not None:
            correlations.append((rho, word))
    rho, word = max(correlations, key=lambda pair: abs(pair[0]), default=(0.0, ""))
    title = f"Neither steps, tokens nor model size go with {spec.name} beyond chance"
    if abs(rho) >= max(0.3, distribution.rho_by_chance(len(values), len(_COSTS))):
        more = "lower" if rho < 0 else "higher"
        title = f"More {word} go with a {more} {spec.name} (rank correlation {rho:+.2f})"
    notes.append(f"ρ: Spearman's rank correlation with {spec.name}. It says nothing about causes.")
    heads = ["task", spec.name, "steps", "tokens", "model parameters", "device"]
    rows = [
        [run.number, run.value, run.steps, run.tokens, run.model_params, run.device] for run in runs
    ]
    return Panel(title, charts, heads, rows, notes)


def timeline_panel(subject: Subject) -> Panel:
    """Show when each worker ran which attempt, and how it ended."""
    timeline = attempts.timeline(subject.campaign, now=subject.now)
    spans = timeline.spans
    if not spans:
        return Panel(
            "Timeline of attempts",
            empty="No worker has taken a task yet. Each attempt becomes a bar.",
        )
    workers = {span.worker_id for span in spans}
    busy = sum((span.ended_at - span.started_at).total_seconds() for span in spans)
    first = min(span.started_at for span in spans)
    last = max(span.ended_at for span in spans)
    length = (last - first).total_seconds() * len(workers)
    of_workers = f"{len(workers)} worker{'s' if len(workers) != 1 else ''}"
    title = (
        f"{of_workers}, busy {min(1.0, busy / length):.0%} of the time" if length else of_workers
    )
    outcomes = {span.outcome for span in spans}
    notes = [f"As of {subject.now:%H:%M:%S} UTC. Diverged and late attempts are hatched."]
    if len(spans) < timeline.total:
        notes.append(
            f"The latest {len(spans):,} of {timeline.total:,} attempts; the CSV has all of them."
        )
    chart = Chart(
        "Each attempt as a bar from start to end, one row per worker",
        charts_runs.timeline_figure(spans),
        shape="fitted",
    )
    rows = [_span_row(span) for span in spans]
    states = [str(outcome) for outcome in charts_runs.OUTCOME_COLOURS if outcome in outcomes]
    return Panel(title, [chart], list(TIMELINE_HEADS), rows, notes, states=states)


TIMELINE_HEADS: Final = (
    "worker",
    "task",
    "attempt",
    "started (UTC)",
    "ended (UTC)",
    "outcome",
    "failure",
)


def timeline_table(subject: Subject) -> Table:
    """Return all attempts, streamed from the database; the chart draws only the latest."""
    spans = attempts.every_span(subject.campaign, now=subject.now)
    return list(TIMELINE_HEADS), (_span_row(span) for span in spans)


def _span_row(span: attempts.Span) -> list[Any]:
    return [
        span.worker,
        span.task_number,
        span.attempt,
        f"{span.started_at:%Y-%m-%d %H:%M:%S}",
        "" if span.outcome == "running" else f"{span.ended_at:%Y-%m-%d %H:%M:%S}",
        span.outcome,
        span.failure_class,
    ]


def failures_panel(subject: Subject) -> Panel:
    """Show why attempts brought no ranked result."""
    ended = attempts.endings(subject.campaign)
    endings = ended.endings
    if not ended.total:
        return Panel("What went wrong", empty="No attempt has ended yet.")
    if not endings:
        return Panel(
            "Nothing went wrong", empty=f"All {ended.total:,} attempts brought a measured result."
        )
    unranked = sum(ending.attempts for ending in endings)
    share = unranked / ended.total
    title = f"{share:.0%} of attempts brought no ranked result; mostly {endings[0].label}"
    chart = Chart(
        "Attempts without a ranked result by reason",
        charts_runs.endings_figure(endings),
        shape="fitted",
    )
    rows = [[ending.label, ending.attempts, ending.tasks] for ending in endings]
    return Panel(title, [chart], ["ending", "attempts", "tasks"], rows)
