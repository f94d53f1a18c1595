"""How far a campaign is, and when the rest will be done."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Any, Final

from django.db.models import FloatField, Sum
from django.db.models.functions import Coalesce

from campaigns.caching import cached_by_revision, cached_roughly
from campaigns.models import Attempt, Campaign, TaskState
from campaigns.standings import leaderboard
from campaigns.standings.task_counts import failed_by_class, tasks_by_state
from xeenet_site.web.formats import HOUR

# The rate is measured over this many of the last tasks, so that it follows today's fleet.
RATE_WINDOW: Final = 50


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
    simulated: int
    diverged: int
    # Completed without a value: diverged, or not one training step fitted in the budget.
    without_value: int
    # Measured, but better than models reach on the data set: not counted.
    implausible: int
    compute_seconds: float
    tasks_per_hour: float | None
    eta_seconds: float | None
    # Of tasks that failed for good, most frequent first.
    failure_classes: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """All tasks, and the runs that are kept for a race."""
        return self.pending + self.leased + self.done + self.kept

    @property
    def done(self) -> int:
        """Tasks that have ended, in whatever way."""
        return self.completed + self.failed + self.cancelled

    @property
    def fraction(self) -> float:
        """Share of tasks and kept runs that have ended, 0.0 to 1.0."""
        return self.done / self.total if self.total else 0.0


def campaign_progress(campaign: Campaign, *, now: dt.datetime) -> CampaignProgress:
    """Count a campaign's tasks by state and estimate when the open ones are done, race included.

    The counts are current; the rest is cached by the campaign's revision, so the campaign must be
    freshly loaded.
    """
    counts: dict[str, Any] = tasks_by_state(campaign)
    rate = _tasks_per_hour(campaign, now)
    still_open = counts[TaskState.PENDING] + counts[TaskState.LEASED] + campaign.kept_runs
    return CampaignProgress(
        **counts,
        kept=campaign.kept_runs,
        **cached_roughly(campaign, "progress", lambda: _totals(campaign)),
        tasks_per_hour=rate,
        eta_seconds=still_open / rate * HOUR if rate and still_open else None,
    )


def _totals(campaign: Campaign) -> dict[str, Any]:
    """Return the sums over all results, attempts and failed tasks."""
    kinds = leaderboard.kinds(campaign)
    compute = Attempt.objects.filter(task__campaign=campaign).aggregate(
        seconds=Coalesce(Sum("wall_time_seconds"), 0.0, output_field=FloatField())
    )
    return {
        "simulated": sum(kind.number for kind in kinds if kind.simulated),
        "diverged": sum(kind.number for kind in kinds if kind.diverged),
        "without_value": sum(kind.number - kind.valued for kind in kinds),
        "implausible": sum(kind.number for kind in kinds if kind.implausible),
        "compute_seconds": compute["seconds"],
        "failure_classes": failed_by_class(campaign),
    }


def last_end(campaign: Campaign) -> dt.datetime | None:
    """Return when a task last ran to its end, None before the first did."""
    times = cached_by_revision(campaign, "last-ends", lambda: _last_ends(campaign))
    return times[0] if times else None


def _tasks_per_hour(campaign: Campaign, now: dt.datetime) -> float | None:
    """Return how many tasks ran to their end per hour lately; None before the second one did."""
    times = cached_by_revision(campaign, "last-ends", lambda: _last_ends(campaign))
    if len(times) < 2:
        return None
    # While the campaign runs, measure up to now, so that the rate falls when the fleet stops.
    until = campaign.finished_at or now
    since = times[RATE_WINDOW] if len(times) > RATE_WINDOW else campaign.launched_at or times[-1]
    seconds = (until - since).total_seconds()
    return min(len(times), RATE_WINDOW) / seconds * HOUR if seconds > 0 else None


def _last_ends(campaign: Campaign) -> list[dt.datetime]:
    """Return when the last tasks ran to their end, newest first."""
    # One more than the window: the end of that task is when the window begins.
    limit = RATE_WINDOW + 1
    # A result is created when its task ends, and its index has this order. Cancelled tasks are left
    # out: a person ends many in one click, which says nothing about the fleet's speed.
    completed = campaign.results.order_by("-created_at", "-pk").values_list("created_at", flat=True)
    failed = campaign.tasks.filter(state=TaskState.FAILED).order_by("-finished_at")
    ended = failed.values_list("finished_at", flat=True)
    times = [*completed[:limit], *(instant for instant in ended[:limit] if instant)]
    return sorted(times, reverse=True)[:limit]
