"""Panels about runs and attempts: how values spread, what they cost, what workers did."""

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
    """Show how val_bpb is distributed, per device."""
    if problem := too_few_runs(subject):
        return Panel("Distribution of val_bpb", empty=problem)
    values = sorted(subject.found.values)
    median, tenth = values[(len(values) - 1) // 2], values[(len(values) - 1) // 10]
    by_device: dict[str, list[float]] = {}
    for run in subject.found.runs:
        by_device.setdefault(run.device, []).append(run.val_bpb)
    most = sorted(by_device, key=lambda device: -len(by_device[device]))
    drawn = most[: charts_runs.MAX_DEVICES]
    points = MAX_POINTS // len(drawn)
    curves = {
        device: evenly(distribution.distribution(by_device[device]), points) for device in drawn
    }
    notes = []
    if len(by_device) > 1:
        notes.append("One line per device: a time budget compares only like hardware.")
    if len(most) > len(drawn):
        notes.append(f"The {len(drawn)} devices with most results, of {len(most)}.")
    if sum(map(len, curves.values())) < subject.found.total:
        notes.append(f"Drawn from a sample of {subject.found.total:,} results.")
    return Panel(
        f"Half of the runs are at or below {median:.3f}, the best tenth at or below {tenth:.3f}",
        [
            Chart(
                "Share of runs at or below each val_bpb",
                charts_runs.distribution_figure(curves),
            )
        ],
        ["device", "val_bpb", "share of runs"],
        [[device, *point] for device, curve in curves.items() for point in curve],
        notes,
    )


def seeds_panel(subject: Subject) -> Panel:
    """Show how far runs of one config with several seeds differ."""
    groups = distribution.replicates(subject.found.runs)
    deviation = distribution.pooled_deviation(groups)
    if deviation is None:
        return Panel(
            "Noise between seeds is not known",
            empty="Each config ran with one seed only. Open a leading task and run it again with "
            "a new seed: then the noise of one run is shown here, and how much a lead means.",
        )
    shown = groups[:MAX_CONFIGS]
    names = [axis.name for axis in subject.axes]
    title = f"One seed to the next val_bpb varies by ± {deviation:.4f} (s.d.)"
    notes = [
        (
            f"{len(groups):,} configs ran with several seeds, {sum(g.count for g in groups):,} "
            f"runs in all. Two single runs closer than about {2.8 * deviation:.4f} may differ by "
            "chance alone."
        )
    ]
    if len(groups) > len(shown):
        notes.append(f"The best {len(shown)} configs are drawn.")
    chart = Chart(
        "val_bpb of configs that ran with several seeds", charts_runs.replicates_figure(shown)
    )
    rows = [
        [place, *(one.params.get(name) for name in names), one.mean, one.deviation, one.count]
        for place, one in enumerate(groups, start=1)
    ]
    heads = ["config", *names, "mean val_bpb", "standard deviation", "seeds"]
    return Panel(title, [chart], heads, rows, notes)


_COSTS: Final[tuple[tuple[str, str, Callable[[Run], int]], ...]] = (
    ("Training steps", "steps", lambda run: run.steps),
    ("Tokens trained on", "tokens", lambda run: run.tokens),
    ("Model parameters", "model parameters", lambda run: run.model_params),
)


def cost_panel(subject: Subject) -> Panel:
    """Show val_bpb against steps, tokens and model size."""
    if problem := too_few_runs(subject):
        return Panel("val_bpb against steps, tokens and model size", empty=problem)
    runs, notes = subject.shown_runs(share=len(_COSTS))
    values = subject.found.values
    charts, found = [], []
    for title, word, cost in _COSTS:
        rho = distribution.rank_correlation([cost(run) for run in subject.found.runs], values)
        heading = f"{title} · " + ("the same in all runs" if rho is None else f"ρ {rho:+.2f}")
        figure = charts_params.dots_against([cost(run) for run in runs], runs, title)
        charts.append(Chart(f"val_bpb against {word}", figure, heading))
        if rho is not None:
            found.append((rho, word))
    rho, word = max(found, key=lambda one: abs(one[0]), default=(0.0, ""))
    title = "Neither steps, tokens nor model size go with val_bpb"
    if abs(rho) >= 0.3:
        more = "lower" if rho < 0 else "higher"
        title = f"More {word} go with a {more} val_bpb (rank correlation {rho:+.2f})"
    notes.append("ρ: Spearman's rank correlation with val_bpb; it does not tell what causes what.")
    heads = ["task", "val_bpb", "steps", "tokens", "model parameters", "device"]
    rows = [
        [run.number, run.val_bpb, run.steps, run.tokens, run.model_params, run.device]
        for run in runs
    ]
    return Panel(title, charts, heads, rows, notes)


def timeline_panel(subject: Subject) -> Panel:
    """Show when each worker ran what, and how it ended."""
    found = attempts.timeline(subject.campaign, now=subject.now)
    if not found.spans:
        return Panel(
            "Timeline of attempts",
            empty="No worker has taken a task yet; each attempt becomes a bar.",
        )
    workers = {span.worker_id for span in found.spans}
    busy = sum((span.ended_at - span.started_at).total_seconds() for span in found.spans)
    first = min(span.started_at for span in found.spans)
    last = max(span.ended_at for span in found.spans)
    length = (last - first).total_seconds() * len(workers)
    of_workers = f"{len(workers)} worker{'s' if len(workers) != 1 else ''}"
    title = (
        f"{of_workers}, busy {min(1.0, busy / length):.0%} of the time" if length else of_workers
    )
    seen = {span.outcome for span in found.spans}
    notes = [f"As of {subject.now:%H:%M:%S} UTC. Diverged and late attempts are hatched."]
    if len(found.spans) < found.total:
        notes.append(
            f"The latest {len(found.spans):,} of {found.total:,} attempts; the CSV has all of them."
        )
    chart = Chart(
        "Each attempt as a bar from start to end, one row per worker",
        charts_runs.timeline_figure(found.spans),
        shape="fitted",
    )
    rows = [_span_row(span) for span in found.spans]
    states = [str(outcome) for outcome in charts_runs.OUTCOME_COLOURS if outcome in seen]
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
    """Return every attempt there was, as it is read; the chart draws the latest."""
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
    found = attempts.endings(subject.campaign)
    if not found.total:
        return Panel("What went wrong", empty="No attempt has ended yet.")
    if not found.endings:
        return Panel(
            "Nothing went wrong", empty=f"All {found.total:,} attempts brought a measured result."
        )
    lost = sum(one.attempts for one in found.endings)
    top = found.endings[0]
    title = f"{lost / found.total:.0%} of attempts brought no ranked result; mostly {top.label}"
    chart = Chart(
        "Attempts without a ranked result by reason",
        charts_runs.endings_figure(found.endings),
        shape="fitted",
    )
    rows = [[one.label, one.attempts, one.tasks] for one in found.endings]
    return Panel(title, [chart], ["ending", "attempts", "tasks"], rows)
