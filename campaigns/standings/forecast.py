"""When the rest of a campaign is done, or why nobody can say. Pure: no database, no clock.

The rate is that of the slots online which may run the campaign now: each brings a task in the mean
time that its worker was busy with one lately. Waiting, pauses and hours without a worker therefore
do not count.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from campaigns.standings.machines import Machine
from campaigns.standings.pace import LEAST_SECONDS, Pace
from xeenet_site.web.formats import HOUR, clock, duration, two_digits

# A worker's own mean weighs as its tasks, the mean of all as so many: one task tells little.
COMMON_WEIGHT: Final = 1.0
# Of a run that takes longer than the mean, this share of the mean is expected to be left.
OVERTIME_SHARE: Final = 0.1
APPROVAL: Final = "waits for the approval of its script"
OUTDATED: Final = "no worker online has its script: update a worker"
MEASURES: Final = "its worker measures its speed first, about a minute"
ALL_MEASURE: Final = "its workers measure their speed first, about a minute"
# The oldest task comes first, of whichever campaign.
BEHIND: Final = "waits: its workers run older tasks of other campaigns first"
UNKNOWN: Final = "time left is known after the first task"


@dataclass(frozen=True)
class Question:
    """What a forecast is about: the open tasks of a campaign, and who may run them.

    `waiting` tasks are pending or kept for a race; `running` are the seconds for which each task
    with a live lease has run. `able` are the machines, silent ones included, that may run such
    tasks, `online` is how many are online at all, `outdated` how many of these lack only the
    script. `budget_seconds` is what a run may take, None when that is unknown. `measuring` are
    those of the machines that must measure their speed before they get such a task. `state` says
    why nothing is handed out ("" when tasks are).
    """

    waiting: int
    running: Sequence[float]
    pace: Pace
    able: Sequence[Machine]
    online: int
    budget_seconds: float | None
    state: str = ""
    outdated: int = 0
    measuring: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Forecast:
    """When the open tasks are done. Times are in seconds; what cannot be said is None.

    `machines` may run the campaign now, `slots` tasks at once. `why_not` says in a few words why
    there is no time ("" when there is, or nothing is open). `is_stopped`: tasks wait, none runs,
    and nobody takes any, because all workers pause, or none that may is online since
    `no_worker_since` (None: nobody knows since when). `is_guess`: nothing has ended yet, so each
    run is assumed to take its budget.
    """

    eta_seconds: float | None = None
    ends_at: dt.datetime | None = None
    machines: int = 0
    slots: int = 0
    why_not: str = ""
    is_stopped: bool = False
    no_worker_since: dt.datetime | None = None
    is_guess: bool = False
    seconds_per_task: float | None = None
    tasks_per_hour: float | None = None

    def words(self, now: dt.datetime, *, zone: dt.tzinfo = dt.UTC) -> str:
        """Return "ends 08:21", or why nobody can say; "" when nothing is open."""
        if self.ends_at is None:
            return self.why_not
        about = "about " if self.is_guess else ""
        return f"ends {about}{clock(self.ends_at, now, zone=zone)}"

    @property
    def basis(self) -> str:
        """In a sentence, what the time rests on; "" without one.

        It says nothing that changes as time passes, so that a page does not refresh for it.
        """
        if self.eta_seconds is None or self.seconds_per_task is None:
            return ""
        # To two digits: runs that take longer than the mean move it with each second.
        each = duration(two_digits(self.seconds_per_task))
        rests = (
            f"nothing has ended yet, so each run is assumed to take its budget of {each}"
            if self.is_guess
            else f"{each} for each task, as lately"
        )
        if not self.slots:
            return f"{rests[0].upper()}{rests[1:]}."
        tasks = f"{self.slots:,} task{'' if self.slots == 1 else 's'} at a time"
        workers = f"{self.machines:,} worker{'' if self.machines == 1 else 's'}"
        return f"{rests[0].upper()}{rests[1:]}, {tasks} on {workers}."


def forecast(question: Question, *, now: dt.datetime) -> Forecast:
    """Return when the open tasks of a campaign are done."""
    waiting, running, pace = question.waiting, question.running, question.pace
    ready = [machine for machine in question.able if machine.is_ready(now)]
    measured = [m for m in ready if m.pk not in question.measuring or m.pk in pace.shares]
    # What runs unmeasured cannot measure: an agent of an old version.
    all_measure = bool(ready) and not measured and not running and not pace.total.tasks
    ready = measured or ready
    slots = sum(machine.slots for machine in ready)
    per_task = _seconds_per_task(pace, running)
    is_guess = per_task is None
    if per_task is None:
        per_task = question.budget_seconds
    per_hour = pace.tasks_per_hour if question.state or per_task is None else None
    if per_task is not None and not question.state and slots:
        per_hour = HOUR * _rate(ready, pace, per_task)
    known = Forecast(
        machines=len(ready),
        slots=slots,
        is_guess=is_guess and per_task is not None,
        seconds_per_task=per_task,
        tasks_per_hour=None if is_guess else per_hour,
    )
    if not waiting and not running:
        return known
    if question.state:
        return replace(known, why_not=question.state)
    if waiting and not slots:
        return replace(known, **_nobody(question, now))
    if waiting and all_measure:
        return replace(known, why_not=MEASURES if len(ready) == 1 else ALL_MEASURE)
    if waiting and not running and all(machine.held >= machine.slots for machine in ready):
        return replace(known, why_not=BEHIND)
    if per_task is None:
        return replace(known, why_not=UNKNOWN)
    left = [max(OVERTIME_SHARE * per_task, per_task - seconds) for seconds in running]
    eta = max([*left, per_task] if waiting else left)
    if slots:
        eta = max(eta, (waiting + sum(left) / per_task) / _rate(ready, pace, per_task))
    return replace(known, eta_seconds=eta, ends_at=now + dt.timedelta(seconds=eta))


def _seconds_per_task(pace: Pace, running: Sequence[float]) -> float | None:
    """Return how long a task keeps a worker busy on average; None before one has ended.

    Tasks that run already longer than that count too, as if they ended now. Otherwise a few that
    crashed at once would promise that all the others do.
    """
    seconds, tasks = pace.total
    if not tasks:
        return None
    over = [elapsed for elapsed in running if elapsed * tasks > seconds]
    return max(LEAST_SECONDS, (seconds + sum(over)) / (tasks + len(over)))


def _rate(ready: Sequence[Machine], pace: Pace, per_task: float) -> float:
    """Return how many tasks per second the slots of these machines end together."""
    seconds, tasks = pace.total
    rate = 0.0
    for machine in ready:
        own = pace.shares.get(machine.pk)
        mean = per_task
        if own is not None and seconds and tasks:
            common = seconds / tasks
            # Beside the others' mean, which may be larger because of what runs now.
            mean *= (own.seconds / common + COMMON_WEIGHT) / (own.tasks + COMMON_WEIGHT)
        rate += machine.slots / max(LEAST_SECONDS, mean)
    return rate


def _nobody(question: Question, now: dt.datetime) -> dict[str, Any]:
    """Return the fields that say why no task is handed out although tasks wait."""
    online = [machine for machine in question.able if machine.is_online]
    if online:
        until = min(machine.paused_until for machine in online if machine.paused_until)
        who = "its workers pause" if len(online) > 1 else "its worker pauses"
        why = f"{who} until {clock(until, now)}, after an error"
        return {"why_not": why, "is_stopped": not question.running}
    if question.running:
        # The last tasks of a worker that is to stop, or of a program without an agent.
        return {"why_not": "no worker takes further tasks"}
    since = max((machine.last_seen_at for machine in question.able), default=None)
    words = no_worker(since, now, is_any_online=question.online > 0)
    if question.outdated:
        words = OUTDATED
    return {"why_not": words, "is_stopped": True, "no_worker_since": since}


def no_worker(
    since: dt.datetime | None,
    now: dt.datetime,
    *,
    is_any_online: bool = False,
    zone: dt.tzinfo = dt.UTC,
) -> str:
    """Return "no worker online since 07:43"; if others are online, that none of them may run it."""
    at = clock(since, now, zone=zone) if since else ""
    if is_any_online:
        return f"no worker online may run it{f', the last was seen {at}' if at else ''}"
    return f"no worker online{f' since {at}' if at else ''}"
