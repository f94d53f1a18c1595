"""From rules and facts to what the agent may do now. Pure: all times are passed in."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from workers.agent.grants import Priority
from workers.agent.limits.facts import Facts
from workers.agent.limits.hours import is_open, next_change
from workers.agent.limits.rules import Rules
from workers.agent.limits.threads import Chosen, choose, threads_of_free

_MIB: Final = 2**20


class Patience(NamedTuple):
    """How long something must be so before the agent pauses, and before it goes on."""

    before_pause: float
    before_work: float


# Against flapping: a browser that starts is no reason to give a task back.
PATIENCE: Final = {
    "battery": Patience(10.0, 30.0),
    "metered": Patience(10.0, 30.0),
    "free-memory": Patience(5.0, 60.0),
    "load": Patience(30.0, 60.0),
    "temperature": Patience(10.0, 120.0),
}
# A task that would be done within so many seconds is finished, not given back.
FINISH_SECONDS: Final = 120.0
_HURRIED: Final = frozenset({"free-memory", "temperature"})  # these hurt the machine at once
_HURRIED_FINISH_SECONDS: Final = 5.0


@dataclass(frozen=True)
class Grace:
    """Whether a rule pauses the agent, and since when the machine looks as it does."""

    is_bad: bool
    since: float
    holds: bool


def settle(before: Grace | None, is_bad: bool, now: float, patience: Patience) -> Grace:
    """Return the grace after a look at ``now`` (in seconds).

    The first look decides at once: no task is running yet.
    """
    if before is None:
        return Grace(is_bad, now, is_bad)
    since = before.since if before.is_bad == is_bad else now
    needed = patience.before_pause if is_bad else patience.before_work
    return Grace(is_bad, since, is_bad if now - since >= needed else before.holds)


@dataclass(frozen=True)
class Pause:
    """Why the agent may not work now. `until` is in UTC; None: until that changes."""

    rule: str  # as `limits set` spells it, or "file"
    reason: str
    until: dt.datetime | None = None
    finish_seconds: float = FINISH_SECONDS  # a task with no more left than this is finished

    def in_words(self, zone: dt.tzinfo | None = None) -> str:
        """Return the pause as a sentence, with the time on the owner's clock."""
        words = f"paused by its owner's rules: {self.reason}"
        if self.until is None:
            return words
        return f"{words}, until {self.until.astimezone(zone):%A %H:%M}"


@dataclass(frozen=True)
class Decision:
    """What the agent may do now."""

    slots: int
    threads: int
    why_threads: str
    memory_bytes: int  # of a task
    priority: Priority
    pause: Pause | None = None
    notes: tuple[str, ...] = ()  # what this machine does not tell although a rule asks for it


@dataclass(frozen=True)
class Past:
    """What one decision leaves for the next."""

    graces: dict[str, Grace] = field(default_factory=dict)
    chosen: Chosen | None = None


@dataclass(frozen=True)
class Defaults:
    """What holds where no rule says otherwise."""

    cores: int
    memory_bytes: int  # of all tasks together
    slots: int = 1
    priority: Priority = Priority.LOW


@dataclass(frozen=True)
class Moment:
    """When it is: on the calendar, and on a clock that nobody sets."""

    now: dt.datetime
    seconds: float
    zone: dt.tzinfo | None = None


def decide(
    rules: Rules, facts: Facts, defaults: Defaults, past: Past, moment: Moment
) -> tuple[Decision, Past]:
    """Return what the agent may do at ``moment``, and what to pass to the next call."""
    graces = dict(past.graces)
    for rule, is_bad in _looks(rules, facts):
        graces[rule] = settle(graces.get(rule), is_bad, moment.seconds, PATIENCE[rule])
    slots = rules.slots or defaults.slots
    wanted = threads_of_free(facts.free_cores, slots, defaults.cores)
    chosen = past.chosen
    if facts.free_cores is not None:
        chosen = choose(chosen, wanted, moment.seconds)
    threads = wanted if chosen is None else chosen.threads
    threads, why_threads = _capped(threads, rules, facts, defaults)
    task_bytes = defaults.memory_bytes // slots
    if rules.memory_mib is not None:
        task_bytes = rules.memory_mib * _MIB
    decision = Decision(
        slots=slots,
        threads=threads,
        why_threads=why_threads,
        memory_bytes=task_bytes,
        priority=rules.priority or defaults.priority,
        pause=next(_pauses(rules, facts, graces, moment), None),
        notes=tuple(_notes(rules, facts)),
    )
    return decision, Past(graces, chosen)


def without_rules(defaults: Defaults, problem: str) -> Decision:
    """Return the decision when the owner's rules are there but cannot be read: do nothing."""
    pause = Pause("file", problem)
    return Decision(defaults.slots, 1, "", defaults.memory_bytes, defaults.priority, pause)


def is_present(rules: Rules, facts: Facts) -> bool:
    """Return whether the person is known to use the machine now."""
    return facts.idle_seconds is not None and facts.idle_seconds < rules.idle_minutes * 60


def _capped(threads: int, rules: Rules, facts: Facts, defaults: Defaults) -> tuple[int, str]:
    """Return the threads of a task as far as the rules allow them, and what decided."""
    known = facts.free_cores is not None
    why = f"{facts.free_cores:.1f} of {defaults.cores} cores are free" if known else "all cores"
    caps = [(rules.threads, "the rule threads")]
    if is_present(rules, facts):
        caps.append((rules.present_threads or None, "you use this machine"))
    for cap, reason in caps:
        if cap is not None and cap < threads:
            threads, why = cap, reason
    return threads, why


def _looks(rules: Rules, facts: Facts) -> Iterator[tuple[str, bool]]:
    """Yield what rules with patience find now; what the machine does not tell is no reason."""
    yield "battery", not rules.on_battery and facts.on_battery is True
    yield "metered", not rules.on_metered and facts.metered is True
    yield "free-memory", _is_below(facts.left_memory_bytes, rules.free_memory_mib)
    yield "load", _is_above(facts.foreign_cores, rules.max_load)
    yield "temperature", _is_above(facts.temperature, rules.max_temperature)


def _is_below(value: int | None, mib: int | None) -> bool:
    return value is not None and mib is not None and value < mib * _MIB


def _is_above(value: float | None, most: float | None) -> bool:
    return value is not None and most is not None and value > most


def _pauses(
    rules: Rules, facts: Facts, graces: dict[str, Grace], moment: Moment
) -> Iterator[Pause]:
    """Yield why the agent may not work now, what the owner said most plainly first."""
    now = moment.now
    if rules.paused_until is not None and now.timestamp() < rules.paused_until:
        end = dt.datetime.fromtimestamp(rules.paused_until, dt.UTC)
        yield Pause("pause", "paused by hand", end)
    if rules.hours and not is_open(rules.hours, now, moment.zone):
        windows = ", ".join(map(str, rules.hours))
        yield Pause("hours", f"it works {windows}", next_change(rules.hours, now, moment.zone))
    if rules.present_threads == 0 and facts.is_idle_pending:
        yield Pause("present", "it looks whether you are there")
    if rules.present_threads == 0 and is_present(rules, facts):
        wait = dt.timedelta(seconds=rules.idle_minutes * 60 - (facts.idle_seconds or 0.0))
        reason = f"you use this machine (away after {rules.idle_minutes:g} min)"
        yield Pause("present", reason, now + wait)
    for rule, reason in _reasons(rules, facts):
        grace = graces[rule]
        if not grace.holds:
            continue
        pause = Pause(rule, reason)
        if not grace.is_bad:
            wait = dt.timedelta(seconds=grace.since + PATIENCE[rule].before_work - moment.seconds)
            pause = Pause(rule, f"the rule {rule} held until a moment ago", now + wait)
        if rule in _HURRIED:
            pause = replace(pause, finish_seconds=_HURRIED_FINISH_SECONDS)
        yield pause


def _reasons(rules: Rules, facts: Facts) -> Iterator[tuple[str, str]]:
    yield "battery", "on battery"
    yield "metered", "on a metered network"
    left = "unknown" if facts.left_memory_bytes is None else f"{facts.left_memory_bytes // _MIB:,}"
    yield "free-memory", f"others leave {left} MiB of memory, less than {rules.free_memory_mib}"
    load = facts.foreign_cores or 0.0
    yield "load", f"others use {load:.1f} cores, more than {rules.max_load or 0.0:g}"
    heat, most = facts.temperature or 0.0, rules.max_temperature or 0.0
    yield "temperature", f"the processor has {heat:.0f} °C, more than {most:g}"


def _notes(rules: Rules, facts: Facts) -> Iterator[str]:
    """Yield which rules have no effect because the machine does not tell."""
    is_unknown = facts.idle_seconds is None and not facts.is_idle_pending
    if rules.present_threads is not None and is_unknown:
        yield f"whether you are there is unknown: {facts.idle_source or 'nothing tells'}"
    unknown = [
        (rules.max_load, facts.foreign_cores, "how busy the cores are"),
        (rules.free_memory_mib, facts.left_memory_bytes, "the free memory"),
        (rules.max_temperature, facts.temperature, "the temperature"),
        (None if rules.on_metered else True, facts.metered, "whether the network is metered"),
    ]
    for rule, fact, what in unknown:
        if rule is not None and fact is None:
            yield f"{what} is unknown here: that rule has no effect"
