"""How far a campaign is, and when the rest will be done."""

from __future__ import annotations

import datetime as dt
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from campaigns.models import BudgetKind, Campaign, CampaignState, TaskState, WorkUnit
from campaigns.models.share import DEFAULT_WEIGHT
from campaigns.sharing.turns import Claimant
from campaigns.standings import leaderboard
from campaigns.standings.forecast import APPROVAL, Forecast, Question, Run, forecasts
from campaigns.standings.machines import Machine, Needs, machines_heard_of
from campaigns.standings.pace import Pace, paces
from campaigns.standings.queue import Queue, Running, queue_of
from campaigns.standings.task_counts import ended_tasks, failed_by_class, tasks_by_state
from campaigns.work.cost import GUARD_FACTOR

# Stands for the id of a campaign that has none yet; the largest, as it will be.
NEW: Final = sys.maxsize


@dataclass(frozen=True)
class CampaignProgress:
    """How far a campaign is. Durations in seconds; None where nothing is known yet."""

    pending: int
    leased: int
    completed: int
    failed: int
    cancelled: int
    # Runs that are kept for the race that begins by itself; no tasks yet.
    kept: int
    # Tasks of a large launch that are being made.
    undrawn: int
    simulated: int
    diverged: int
    # Completed without a value: diverged, or not one training step fitted in the budget.
    without_value: int
    # Measured, but better than models reach on the data set: not counted.
    implausible: int
    compute_seconds: float
    forecast: Forecast
    # When a task last ran to its end.
    last_end: dt.datetime | None
    # Of tasks that failed for good, most frequent first.
    failure_classes: dict[str, int] = field(default_factory=dict)
    # The machines heard of; None while nothing is open, so that they are not read.
    fleet: Sequence[Machine] | None = None
    # Of the leased: held for a place that is not free yet.
    upcoming: int = 0

    @property
    def running(self) -> int:
        """The tasks that have a place on a worker now."""
        return self.leased - self.upcoming

    @property
    def total(self) -> int:
        """All tasks, those that are being made, and the runs that are kept for a race."""
        return self.waiting + self.leased + self.done + self.kept

    @property
    def waiting(self) -> int:
        """Tasks that nobody has: pending ones, and those that are being made."""
        return self.pending + self.undrawn

    @property
    def done(self) -> int:
        """Tasks that have ended, in whatever way."""
        return self.completed + self.failed + self.cancelled

    @property
    def no_value(self) -> int:
        """Tasks that ended without a value: they failed, diverged, or had too small a budget."""
        return self.failed + self.without_value

    @property
    def tasks_per_hour(self) -> float | None:
        """What today's fleet does of it in an hour; of a campaign that stands still what it did."""
        return self.forecast.tasks_per_hour

    @property
    def eta_seconds(self) -> float | None:
        """How long until the open tasks are done."""
        return self.forecast.eta_seconds

    @property
    def fraction(self) -> float:
        """Share of tasks and kept runs that have ended, 0.0 to 1.0."""
        return self.done / self.total if self.total else 0.0


def campaign_progress(
    campaign: Campaign, *, now: dt.datetime, by_state: Mapping[str, int] | None = None
) -> CampaignProgress:
    """Count a campaign's tasks by state and forecast when the open ones are done, race included.

    The counts are current; the rest is cached by the campaign's revision, so the campaign must be
    freshly loaded. `by_state` is the number of tasks by state, if they have been counted.
    """
    counts: dict[str, Any] = dict(tasks_by_state(campaign) if by_state is None else by_state)
    waiting = {campaign.pk: counts[TaskState.PENDING] + to_come(campaign)}
    is_open = bool(waiting[campaign.pk] or counts[TaskState.LEASED])
    queue = queue_of([campaign]) if is_open and campaign.state == CampaignState.ACTIVE else Queue()
    known = paces([campaign, *queue.others])
    told, fleet, upcoming = _forecasts([campaign], waiting, queue, known, now=now)
    return CampaignProgress(
        **counts,
        kept=campaign.kept_runs,
        undrawn=campaign.undrawn_tasks,
        **_totals(campaign),
        forecast=told[campaign.pk],
        last_end=known[campaign.pk].last_end,
        fleet=fleet,
        # The tasks were counted in another query.
        upcoming=min(upcoming[campaign.pk], counts[TaskState.LEASED]),
    )


def to_come(campaign: Campaign) -> int:
    """Return how many tasks the campaign counts that are not there yet."""
    return campaign.kept_runs + campaign.undrawn_tasks


def forecast_of_new(campaign: Campaign, tasks: int, *, now: dt.datetime) -> Forecast:
    """Forecast so many tasks of a campaign that is not stored, as if it were launched now.

    It needs its package, and is expected to take its budget for each run. It takes turns with the
    campaigns that have tasks now.
    """
    campaign.pk, campaign.state = NEW, CampaignState.ACTIVE
    queue = queue_of([])
    entering = Claimant(
        *(NEW, campaign.owner_id, None, queue.smallest_account),
        *(DEFAULT_WEIGHT, campaign.time_budget_seconds),
    )
    queue = replace(queue, claimants={**queue.claimants, NEW: entering})
    told, _, _ = _forecasts([campaign], {NEW: tasks}, queue, paces(queue.others), now=now)
    return told[NEW]


@dataclass(frozen=True)
class Outlook:
    """The open tasks of campaigns by the campaign's id, and when they are done."""

    # Pending tasks, those that are being made, and runs that are kept for a race.
    waiting: Mapping[int, int]
    running: Mapping[int, Sequence[Running]]
    # How many of those wait for their place on the worker that holds them.
    upcoming: Mapping[int, int]
    forecasts: Mapping[int, Forecast]


def outlook(campaigns: Sequence[Campaign], *, now: dt.datetime) -> Outlook:
    """Return the open tasks of freshly loaded campaigns, in a fixed number of queries.

    Campaigns should be loaded with their package. Those that are not active have no pace.
    """
    ended, queue = ended_tasks(campaigns), queue_of(campaigns)
    waiting = {
        campaign.pk: max(
            0,
            campaign.task_count
            - sum(ended[campaign.pk].by_state.values())
            - len(queue.running.get(campaign.pk, ())),
        )
        if campaign.launched_at
        else 0
        for campaign in campaigns
    }
    active = [campaign for campaign in campaigns if campaign.state == CampaignState.ACTIVE]
    known = paces([*active, *queue.others])
    told, _, upcoming = _forecasts(campaigns, waiting, queue, known, now=now)
    running = {campaign.pk: queue.running.get(campaign.pk, ()) for campaign in campaigns}
    return Outlook(waiting, running, upcoming, told)


def _forecasts(
    campaigns: Sequence[Campaign],
    waiting: Mapping[int, int],
    queue: Queue,
    known: Mapping[int, Pace],
    *,
    now: dt.datetime,
) -> tuple[dict[int, Forecast], Sequence[Machine] | None, Mapping[int, int]]:
    """Forecast the campaigns; return with that the machines, and how many held tasks come next.

    The others of the queue use the same machines.
    """
    others, pending = queue.others, queue.pending
    theirs = {other.pk: pending.get(other.pk, 0) + to_come(other) for other in others}
    waiting = {**waiting, **theirs}
    live = [
        campaign
        for campaign in (*campaigns, *others)
        if campaign.state == CampaignState.ACTIVE
        and (waiting[campaign.pk] or queue.running.get(campaign.pk))
    ]
    work = [campaign.experiment for campaign in live if campaign.budget_kind == BudgetKind.WORK]
    machines = machines_heard_of(work, now=now) if live else []
    online = sum(machine.is_online for machine in machines)
    later = queue.upcoming({m.pk: m.slots for m in machines if m.has_told_slots})
    questions = {}
    for campaign in (*campaigns, *others):
        tasks = queue.running.get(campaign.pk, ())
        unbegun = Counter(later.get(campaign.pk, ()))
        runs = [
            Run((now - task.started_at).total_seconds(), task.worker_id)
            for task in (Counter(tasks) - unbegun).elements()
            if task.is_live(now)
        ]
        needs = Needs.of(campaign)
        able = [m for m in machines if needs.met_by(m)] if campaign in live else []
        questions[campaign.pk] = Question(
            # A task whose lease has run out waits, too, and one that comes next.
            waiting=waiting[campaign.pk] + len(tasks) - len(runs),
            running=runs,
            pace=known.get(campaign.pk, Pace()),
            able=able,
            measuring=frozenset(m.pk for m in able if campaign.experiment in m.unmeasured)
            if campaign.budget_kind == BudgetKind.WORK
            else frozenset(),
            online=online,
            outdated=needs.lack_only_the_script(machines) if campaign in live else 0,
            budget_seconds=_budget_seconds(campaign),
            state=_why_not_handed_out(campaign),
        )
    upcoming = {pk: len(later.get(pk, ())) for pk in questions}
    return forecasts(questions, queue.claimants, now=now), machines if live else None, upcoming


def _why_not_handed_out(campaign: Campaign) -> str:
    """Say why no task of the campaign is handed out; "" when tasks are."""
    if campaign.state != CampaignState.ACTIVE:
        return str(campaign.state)
    return "" if campaign.package.may_run else APPROVAL


def _budget_seconds(campaign: Campaign) -> float | None:
    """Return what a run is expected to take before any has ended; None when nothing is known."""
    if campaign.budget_kind == BudgetKind.TIME:
        return campaign.time_budget_seconds
    if campaign.work_unit == WorkUnit.SECONDS:
        return campaign.work_amount
    # The guard of its longest run is a multiple of what it should take, where its cost is known.
    return campaign.time_budget_seconds / GUARD_FACTOR if campaign.cost_model else None


def _totals(campaign: Campaign) -> dict[str, Any]:
    """Return the sums over all results, attempts and failed tasks, which are cached."""
    kinds = leaderboard.kinds(campaign)
    return {
        "simulated": sum(kind.number for kind in kinds if kind.simulated),
        "diverged": sum(kind.number for kind in kinds if kind.diverged),
        "without_value": sum(kind.number - kind.valued for kind in kinds),
        "implausible": sum(kind.number for kind in kinds if kind.implausible),
        "compute_seconds": leaderboard.worker_seconds(campaign),
        "failure_classes": failed_by_class(campaign),
    }
