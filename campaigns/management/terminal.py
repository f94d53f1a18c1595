"""Output of commands: tables, a progress line, and sentences without control characters."""

from __future__ import annotations

import datetime as dt
import io
import shutil
import sys
from collections.abc import Sequence
from typing import Any, Final, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from campaigns.charts import glyph
from campaigns.models import Attempt, Campaign, ChangeSubject, StateChange, Task
from campaigns.standings import leaderboard
from campaigns.standings.forecast import Forecast
from campaigns.standings.paired import NOT_PAIRED, PairedRows
from campaigns.standings.progress import CampaignProgress
from campaigns.standings.raced import ArmRow
from experiments.metrics import MetricSpec
from xeenet_site.web.formats import duration
from xeenet_site.web.plain_text import plain

_WIDTH_WITHOUT_TERMINAL: Final = 160
# A narrower terminal has no room for a column per param; the last column lists them all.
_WIDE_TERMINAL: Final = 140
_PLAIN_EVERY_POLLS: Final = 15
_NOTHING: Final = "-"


def number(value: Any) -> str:
    """Return a value as text; floats are shortened."""
    return f"{value:g}" if isinstance(value, float) else plain(value)


def leaderboard_text(
    campaign: Campaign,
    rows: Sequence[ArmRow],
    *,
    colour: bool,
    empty: str = "no measured result yet",
    paired: PairedRows = NOT_PAIRED,
) -> str:
    """Return rows of the board of arms as a table. Params that are the same stand above it.

    With the differences of `paired`, where it has any.

    Without any row, return `empty`.
    """
    if not rows:
        return f"{plain(campaign.name)}: {empty}"
    varying, constant = leaderboard.varying_params(campaign)
    width = shutil.get_terminal_size().columns if colour else _WIDTH_WITHOUT_TERMINAL
    is_wide = width >= _WIDE_TERMINAL
    table = Table(box=None, header_style="bold", pad_edge=False)
    spec = campaign.metric_spec
    for head in ("rank", "arm", spec.name, "±", "race seeds", "standing"):
        table.add_column(head, justify="left" if head == "standing" else "right", no_wrap=True)
    intervals = [glyph.Interval(row.value, row.half_width, row.screening) for row in rows]
    scale = glyph.scale_of(intervals, is_maximised=spec.is_maximised) if is_wide else None
    if scale is not None:
        table.add_column(_ends(scale), no_wrap=True)
    if paired.baseline is not None:
        table.add_column(f"to arm {paired.baseline}", justify="right", no_wrap=True)
    for name in varying if is_wide else ():
        table.add_column(plain(name), justify="right")
    if not is_wide:
        table.add_column("params", overflow="fold")
    for row, interval in zip(rows, intervals, strict=True):
        params = [(name, number(row.params.get(name, ""))) for name in varying]
        if is_wide:
            last = [value for _, value in params]
        else:
            last = [", ".join(f"{plain(name)} {value}" for name, value in params)]
        cells = _cells(row, spec)
        if scale is not None:
            cells.append(glyph.text(interval, scale))
        if paired.baseline is not None:
            cells.append(paired.text(row.arm, spec) or _NOTHING)
        cells += last
        table.add_row(*map(Text, cells), style="bold green" if row.rank == 1 else None)
    heading = f"{plain(campaign.name)}: {spec.name} in {spec.unit}, {spec.better} is better"
    if constant:
        same = ", ".join(f"{plain(name)} {number(value)}" for name, value in constant.items())
        heading += f"; the same for all: {same}"
    return f"{heading}\n{_rendered(table, width, colour=colour)}"


def _ends(scale: glyph.Scale) -> str:
    """Return both ends of a scale, as far apart as its glyphs are long."""
    low, high = scale.ends
    return f"{low}{high:>{glyph.TEXT_WIDTH - len(low)}}"


def _cells(row: ArmRow, spec: MetricSpec) -> list[str]:
    seeds = f"{row.seeds} ({row.bad_seeds})" if row.bad_seeds else str(row.seeds)
    return [
        _NOTHING if row.rank is None else str(row.rank),
        str(row.arm),
        _NOTHING if row.value is None else spec.text(row.value),
        "" if row.half_width is None else spec.text(row.half_width),
        seeds,
        row.standing,
    ]


def _rendered(table: Table, width: int, *, colour: bool) -> str:
    """Return the table as text, at most `width` characters wide."""
    console = Console(file=io.StringIO(), width=width, force_terminal=colour, legacy_windows=False)
    with console.capture() as capture:
        console.print(table)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def progress_sentence(progress: CampaignProgress, leading: str, *, now: dt.datetime) -> str:
    """Return the progress, such as "6/10 done, 2 running, champion's loss 3.2187, ends 08:21".

    `leading` is what `standings.arms.leading` says of the campaign.
    """
    parts = [f"{progress.done}/{progress.total} done", f"{progress.running} running"]
    if progress.upcoming:
        parts.append(f"{progress.upcoming} next")
    if progress.undrawn:
        parts.append(f"{progress.undrawn} being made")
    if progress.no_value:
        of_them = f" ({progress.failed} failed)" if progress.failed else ""
        parts.append(f"{progress.no_value} without a value{of_them}")
    if leading:
        parts.append(leading)
    if words := forecast_words(progress.forecast, now=now):
        parts.append(words)
    return ", ".join(parts)


def forecast_words(forecast: Forecast, *, now: dt.datetime) -> str:
    """Return when a campaign is done, in the time of this machine, or why nobody can say."""
    words = forecast.words(now, zone=_local_zone())
    if forecast.eta_seconds is None:
        return plain(words)
    guess = ", if each run takes its budget" if forecast.is_guess else ""
    return f"about {duration(forecast.eta_seconds)} left, {words}{guess}"


def _local_zone() -> dt.tzinfo:
    # Of an instant without a zone Python takes the machine's.
    return dt.datetime.now().astimezone().tzinfo or dt.UTC


def task_sentence(task: Task) -> str:
    """Return a sentence on a task, such as "Task 3/17 is pending: seed 42."."""
    return f"Task {task.name} is {task.state}: seed {task.seed}."


def attempt_line(attempt: Attempt) -> str:
    """Return a line on an attempt: start, task, number, outcome, duration, worker, reason."""
    why = ": ".join(filter(None, (attempt.failure_class, attempt.message)))
    took = _NOTHING if attempt.wall_time_seconds is None else duration(attempt.wall_time_seconds)
    return plain(
        f"{attempt.started_at:%Y-%m-%d %H:%M:%S}  task {attempt.task.name} attempt "
        f"{attempt.number}  {attempt.outcome:9}  {took:>8}  {attempt.worker.name}  {why}".rstrip()
    )


def change_line(change: StateChange) -> str:
    """Return a line of the journal: time, subject, old and new state, actor, reason."""
    subject: str = change.subject
    if change.task is not None:
        subject = f"task {change.task.name}"
    if change.subject == ChangeSubject.ATTEMPT and change.attempt is not None:
        subject += f" attempt {change.attempt.number}"
    reason = f": {change.reason}" if change.reason else ""
    return plain(
        f"{change.at:%Y-%m-%d %H:%M:%S}  {subject} {change.from_state or 'new'} → "
        f"{change.to_state} by {change.actor_name}{reason}"
    )


class ProgressLine:
    """A progress line that updates in place in a terminal; elsewhere a new line for each change.

    Use it as a context manager. `say` writes a message above the line.
    """

    def __init__(self, total: int) -> None:
        self._console = Console(highlight=False, markup=False)
        self._is_live = self._console.is_terminal
        self._progress = Progress(
            BarColumn(bar_width=24),
            TextColumn("{task.description}", markup=False),
            console=self._console,
            auto_refresh=False,
            transient=True,
        )
        self._task = self._progress.add_task("starting", total=total)
        self._last: tuple[int, int] | None = None
        self._polls = 0

    def __enter__(self) -> Self:
        if self._is_live:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_live:
            self._progress.stop()

    def say(self, message: str) -> None:
        """Write a message that stays on the screen."""
        self._console.print(message, soft_wrap=True)
        sys.stdout.flush()

    def show(self, progress: CampaignProgress, leading: str, *, now: dt.datetime) -> None:
        """Show the progress of the campaign, as `progress_sentence` tells it."""
        sentence = progress_sentence(progress, leading, now=now)
        if self._is_live:
            self._progress.update(
                self._task,
                # A race adds runs.
                total=progress.total,
                completed=progress.done,
                description=sentence,
            )
            self._progress.refresh()
            return
        news = (progress.done, progress.running)
        if news != self._last or self._polls >= _PLAIN_EVERY_POLLS:
            self.say(sentence)
            self._last, self._polls = news, 0
        self._polls += 1
