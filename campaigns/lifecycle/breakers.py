"""When a campaign pauses itself: its tasks fail too often, or no machine can run them.

Both rules count owners of workers, not attempts alone, so that one of them cannot pause a campaign
while others run its tasks well. All workers of a fleet's token have one owner.
"""

from __future__ import annotations

import datetime as dt
from typing import Final, NamedTuple

from django.db import transaction

from campaigns.lifecycle.campaigns import pause
from campaigns.lifecycle.errors import WrongState
from campaigns.lifecycle.journal import FAILURE_BREAKER
from campaigns.lifecycle.retry import (
    BREAKER_FAILURES,
    BREAKER_WINDOW,
    CHARGES,
    TROUBLED_WORKERS,
    Charge,
)
from campaigns.models import Attempt, AttemptOutcome, Campaign, FailureClass
from campaigns.notifications import events
from workers.scripts import is_refusal

# So many of a campaign's last attempts are read: one owner's flood must not hide all others.
_MOST_READ: Final = 400
# Attempts that an owner counts for in the window of the failure breaker, when many are online.
_LEAST_SHARE: Final = 4


class _Ended(NamedTuple):
    """Columns of an attempt that has ended."""

    worker_id: int
    worker__fleet_token: int | None
    outcome: str
    failure_class: str
    message: str

    @property
    def owner(self) -> tuple[str, int]:
        """Whose worker it was."""
        return _owner(self.worker_id, self.worker__fleet_token)

    @property
    def charge(self) -> Charge | None:
        """Who pays for it; None for an attempt that did not fail."""
        return CHARGES[self.failure_class] if self.outcome == AttemptOutcome.FAILED else None


def pause_failing(campaign: Campaign, *, now: dt.datetime) -> None:
    """Active → paused when too many of the last attempts failed by the tasks' own fault.

    An owner's attempts count up to its share of the failures that it takes, so that it cannot reach
    that number alone; with no other's machine online they all count.
    """
    recent = _recent(campaign)
    if len(_failures(recent)) < BREAKER_FAILURES:
        return
    window = _shared_out(recent, _share(campaign.machines(now).owner_count()))
    if len(failed := _failures(window)) < BREAKER_FAILURES:
        return
    classes = [attempt.failure_class for attempt in failed]
    most_frequent = FailureClass(max(set(classes), key=classes.count)).label
    workers = len({attempt.worker_id for attempt in failed})
    reason = (
        f"{len(failed)} of the last {len(window)} attempts failed, most by {most_frequent}, on "
        f"{workers} {'worker' if workers == 1 else 'workers'}."
    )
    _pause(campaign, reason, now)


def pause_troubled(campaign: Campaign, *, now: dt.datetime) -> None:
    """Active → paused when several workers could not run its tasks, and no more can or are at it.

    The last attempt of each owner decides whether it is in trouble. Otherwise a campaign whose
    script or data set no machine can use would pause one worker after another, for all campaigns.
    """
    newest: dict[tuple[str, int], _Ended] = {}
    for attempt in _recent(campaign):
        # A worker whose agent lacks the script gets no more of it, and says nothing about others.
        if not is_refusal(attempt.failure_class, attempt.message):
            newest.setdefault(attempt.owner, attempt)
    troubled = [attempt for attempt in newest.values() if attempt.charge is Charge.FREE]
    if len(troubled) < 2:
        return
    # With two machines online both must be in trouble; one alone never pauses a campaign.
    if len(troubled) < max(2, min(TROUBLED_WORKERS, campaign.machines(now).owner_count())):
        return
    running = Attempt.objects.filter(task__campaign=campaign, outcome=AttemptOutcome.RUNNING)
    holders = running.order_by().values_list("worker_id", "worker__fleet_token").distinct()
    at_it = {_owner(*holder) for holder in holders}
    able = {
        owner
        for owner, attempt in newest.items()
        if attempt.charge in {Charge.FAILURE, Charge.SLOW} or attempt.outcome in _RAN
    }
    if len((able | at_it) - {attempt.owner for attempt in troubled}) > len(troubled):
        return
    last = troubled[0].message or FailureClass(troubled[0].failure_class).label
    _pause(campaign, f"{len(troubled)} workers could not run its tasks. The last said: {last}", now)


# The worker could run the script, whatever came of it.
_RAN: Final = {AttemptOutcome.COMPLETED, AttemptOutcome.DIVERGED}


def _recent(campaign: Campaign) -> list[_Ended]:
    """Return the last attempts that ended, newest first; only those begun since it was resumed."""
    ended = Attempt.objects.filter(task__campaign=campaign, ended_at__isnull=False)
    if campaign.resumed_at is not None:
        ended = ended.filter(started_at__gte=campaign.resumed_at)
    rows = ended.order_by("-ended_at", "-pk").values_list(*_Ended._fields)
    return [_Ended(*row) for row in rows[:_MOST_READ]]


def _failures(attempts: list[_Ended]) -> list[_Ended]:
    return [attempt for attempt in attempts if attempt.charge is Charge.FAILURE]


def _owner(worker_id: int, fleet_token: int | None) -> tuple[str, int]:
    return ("worker", worker_id) if fleet_token is None else ("fleet", fleet_token)


def _share(owners: int) -> int:
    """Return how many attempts of one owner count, with machines of so many online."""
    if owners <= 1:
        return BREAKER_WINDOW
    return max(_LEAST_SHARE, -(-BREAKER_FAILURES // owners))


def _shared_out(attempts: list[_Ended], share: int) -> list[_Ended]:
    """Return the newest attempts, at most `share` of each owner and `BREAKER_WINDOW` in all."""
    counts: dict[tuple[str, int], int] = {}
    window = []
    for attempt in attempts:
        counts[attempt.owner] = counts.get(attempt.owner, 0) + 1
        if counts[attempt.owner] <= share:
            window.append(attempt)
    return window[:BREAKER_WINDOW]


def _pause(campaign: Campaign, reason: str, now: dt.datetime) -> None:
    try:
        # One transaction: a campaign paused without its notification stays paused unnoticed.
        with transaction.atomic():
            pause(campaign, now=now, reason=reason, actor=FAILURE_BREAKER)
            events.note_failure_burst(campaign, reason, now=now)
    except WrongState:
        # A person or a concurrent submission moved the campaign first.
        return
