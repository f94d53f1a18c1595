"""When the rest of a campaign is done, or why nobody can say. Pure: no database, no clock.

The rate is that of the slots online which may run the campaign now: each brings a task in the mean
time that its worker was busy with one lately. Waiting, pauses and hours without a worker therefore
do not count. Where other campaigns use the same slots, `turns` says when each has them.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from textwrap import shorten
from typing import Any, Final, NamedTuple

from campaigns.models.share import DEFAULT_WEIGHT
from campaigns.sharing.order import waiting_order
from campaigns.sharing.turns import Claimant
from campaigns.standings.machines import Machine
from campaigns.standings.pace import LEAST_SECONDS, Pace
from campaigns.standings.turns import Busy, Turn, turns
from workers.models import paused_by_owner
from xeenet_site.web.formats import HOUR, clock, duration, two_digits
from xeenet_site.web.plain_text import plain

# A worker's own mean weighs as its tasks, the mean of all as so many: one task tells little.
COMMON_WEIGHT: Final = 1.0
# Of a run that takes longer than the mean, this share of the mean is expected to be left.
OVERTIME_SHARE: Final = 0.1
APPROVAL: Final = "waits for the approval of its script"
# More of what a worker said stands on its own page.
LONGEST_ERROR: Final = 200
OUTDATED: Final = "no worker online has its script: update a worker"
MEASURES: Final = "its worker measures its speed first, one to five minutes"
ALL_MEASURE: Final = "its workers measure their speed first, one to five minutes"
BEHIND: Final = "takes turns with campaigns of whose runs nobody knows the length yet"
UNKNOWN: Final = "time left is known after the first task"


class Run(NamedTuple):
    """A task with a live lease: the seconds for which it has run, and on which machine."""

    seconds: float
    machine: int


@dataclass(frozen=True)
class Question:
    """What a forecast is about: the open tasks of a campaign, and who may run them.

    `waiting` tasks are pending or kept for a race; `running` are those with a live lease. `able`
    are the machines, silent ones included, that may run such tasks, `online` is how many are
    online at all, `outdated` how many of these lack only the script. `budget_seconds` is what a
    run may take, None when that is unknown. `measuring` are those of the machines that must
    measure their speed before they get such a task. `state` says why nothing is handed out (""
    when tasks are).
    """

    waiting: int
    running: Sequence[Run]
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
    there is no time ("" when there is, or nothing is open), `error` what a worker said of the error
    after which it pauses. `ahead` tasks of other campaigns are
    handed out before its last one; `tasks_per_hour` is then its share. `is_stopped`: tasks wait,
    none runs, and nobody takes any, because all workers pause, or none that may is online since
    `no_worker_since` (None: nobody knows since when). `is_guess`: nothing has ended yet, so each
    run is assumed to take its budget.
    """

    eta_seconds: float | None = None
    ends_at: dt.datetime | None = None
    machines: int = 0
    slots: int = 0
    why_not: str = ""
    error: str = ""
    is_stopped: bool = False
    no_worker_since: dt.datetime | None = None
    is_guess: bool = False
    seconds_per_task: float | None = None
    tasks_per_hour: float | None = None
    ahead: int = 0

    def words(self, now: dt.datetime, *, zone: dt.tzinfo = dt.UTC) -> str:
        """Return "ends 08:21", or why nobody can say; "" when nothing is open."""
        if self.ends_at is None:
            return self.why_not
        about = "about " if self.is_guess else ""
        return f"ends {about}{clock(self.ends_at, now, zone=zone)}"

    @property
    def hindrance(self) -> str:
        """What keeps all tasks from running, with the words of the worker; "" while some may."""
        if not self.is_stopped:
            return ""
        return f"{self.why_not}: {self.error}" if self.error else self.why_not

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
        after = ""
        if ahead := round(float(two_digits(self.ahead) or 0)):
            after = f", in turn with {ahead:,} of other campaigns"
        return f"{rests[0].upper()}{rests[1:]}, {tasks} on {workers}{after}."


def forecasts(
    questions: Mapping[int, Question], claimants: Mapping[int, Claimant], *, now: dt.datetime
) -> dict[int, Forecast]:
    """Return when the open tasks of each campaign are done, by its id.

    The questions are of all campaigns with open tasks, and `claimants` says how these take turns; a
    campaign that is not in it has the defaults. What waits has its turns with the rest: a task
    whose lease ran out, too, and what is kept for a race.
    """
    loads = {campaign: _Load.of(question, now) for campaign, question in questions.items()}
    batches = waiting_order(
        (claimants.get(campaign) or _usual(campaign, question), question.waiting)
        for campaign, question in sorted(questions.items())
        if loads[campaign].seconds
    )
    slots = {machine.pk: machine.slots for load in loads.values() for machine in load.ready}
    seconds = {campaign: load.seconds for campaign, load in loads.items() if load.seconds}
    busy = [run for load in loads.values() for run in load.busy]
    known = turns(batches, slots, seconds, busy)
    return {
        campaign: _forecast(question, loads[campaign], known.get(campaign), now=now)
        for campaign, question in questions.items()
    }


def _usual(campaign: int, question: Question) -> Claimant:
    """Return a campaign that has been handed out nothing, of an owner of its own."""
    seconds = question.budget_seconds or LEAST_SECONDS
    return Claimant(campaign, -campaign, None, 0.0, DEFAULT_WEIGHT, seconds)


@dataclass(frozen=True)
class _Load:
    """What a campaign asks of the machines that would be handed its tasks now.

    `all_measure`: each of these measures its speed first. `seconds` is what a task takes on each
    (infinite when nobody knows); it is empty while nothing is handed out. `busy` are its runs.
    """

    ready: Sequence[Machine]
    all_measure: bool
    per_task: float | None
    is_guess: bool
    seconds: Mapping[int, float]
    busy: Sequence[Busy]

    @classmethod
    def of(cls, question: Question, now: dt.datetime) -> _Load:
        """Return the load that a campaign is for the machines that may run it."""
        running, pace = question.running, question.pace
        ready = [machine for machine in question.able if machine.is_ready(now)]
        measured = [m for m in ready if m.pk not in question.measuring or m.pk in pace.shares]
        # What runs unmeasured cannot measure: an agent of an old version.
        all_measure = bool(ready) and not measured and not running and not pace.total.tasks
        ready = measured or ready
        per_task = _seconds_per_task(pace, running)
        is_guess = per_task is None
        if per_task is None:
            per_task = question.budget_seconds
        hands_out = not question.state and not all_measure
        return cls(
            ready,
            all_measure,
            per_task,
            is_guess,
            {machine.pk: _seconds_on(machine, pace, per_task) for machine in ready}
            if hands_out
            else {},
            [Busy(run.machine, _left(run, per_task)) for run in running],
        )

    @property
    def slots(self) -> int:
        return sum(machine.slots for machine in self.ready)

    @property
    def tasks_per_second(self) -> float:
        """How many tasks all of the slots would end together."""
        return sum(machine.slots / self.seconds[machine.pk] for machine in self.ready)


def _forecast(question: Question, load: _Load, turn: Turn | None, *, now: dt.datetime) -> Forecast:
    waiting, running, pace = question.waiting, question.running, question.pace
    per_task, slots = load.per_task, load.slots
    per_hour = pace.tasks_per_hour if question.state or per_task is None else None
    if per_task is not None and load.seconds:
        per_hour = HOUR * load.tasks_per_second * (turn.share if turn else 1.0)
    known = Forecast(
        machines=len(load.ready),
        slots=slots,
        is_guess=load.is_guess and per_task is not None,
        seconds_per_task=per_task,
        tasks_per_hour=None if load.is_guess else per_hour,
        ahead=turn.ahead if turn else 0,
    )
    if not waiting and not running:
        return known
    if question.state:
        return replace(known, why_not=question.state)
    if waiting and not slots:
        return replace(known, **_nobody(question, now))
    if waiting and load.all_measure:
        return replace(known, why_not=MEASURES if len(load.ready) == 1 else ALL_MEASURE)
    if per_task is None:
        return replace(known, why_not=UNKNOWN)
    eta = max((_left(run, per_task) for run in running), default=0.0)
    if waiting and turn:
        eta = max(eta, turn.last_begins + per_task, turn.ends)
    if math.isinf(eta):
        return replace(known, why_not=BEHIND)
    return replace(known, eta_seconds=eta, ends_at=now + dt.timedelta(seconds=eta))


def _left(run: Run, per_task: float | None) -> float:
    """Return the seconds that a run is expected to need still; infinite when nobody knows."""
    if per_task is None:
        return math.inf
    return max(OVERTIME_SHARE * per_task, per_task - run.seconds)


def _seconds_per_task(pace: Pace, running: Sequence[Run]) -> float | None:
    """Return how long a task keeps a worker busy on average; None before one has ended.

    Tasks that run already longer than that count too, as if they ended now. Otherwise a few that
    crashed at once would promise that all the others do.
    """
    seconds, tasks = pace.total
    if not tasks:
        return None
    over = [run.seconds for run in running if run.seconds * tasks > seconds]
    return max(LEAST_SECONDS, (seconds + sum(over)) / (tasks + len(over)))


def _seconds_on(machine: Machine, pace: Pace, per_task: float | None) -> float:
    """Return how long a task keeps one slot of this machine busy; infinite when nobody knows."""
    if per_task is None:
        return math.inf
    seconds, tasks = pace.total
    own, mean = pace.shares.get(machine.pk), per_task
    if own is not None and seconds and tasks:
        common = seconds / tasks
        # Beside the others' mean, which may be larger because of what runs now.
        mean *= (own.seconds / common + COMMON_WEIGHT) / (own.tasks + COMMON_WEIGHT)
    return max(LEAST_SECONDS, mean)


def _nobody(question: Question, now: dt.datetime) -> dict[str, Any]:
    """Return the fields that say why no task is handed out although tasks wait."""
    online = [machine for machine in question.able if machine.is_online]
    if online:
        if all(machine.owner_pauses for machine in online):
            who = "its workers are" if len(online) > 1 else "its worker is"
            ends = [machine.owner_pauses_until for machine in online]
            first = min((end for end in ends if end), default=None)
            why = f"{who} {paused_by_owner(first, now)}"
            return {"why_not": why, "is_stopped": not question.running}
        until, error = min((m.paused_until, m.pause_reason) for m in online if m.paused_until)
        who = "its workers pause" if len(online) > 1 else "its worker pauses"
        why = f"{who} until {clock(until, now)}, after an error"
        words = plain(shorten(error, LONGEST_ERROR, placeholder=" …")).rstrip(".")
        return {"why_not": why, "error": words, "is_stopped": not question.running}
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
