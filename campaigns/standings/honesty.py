"""Which runs of a campaign count, and why the others do not: every task has exactly one fate.

A run counts when it may stand in the order that the campaign's page shows first: measured, with a
value that may be believed, of the class with most results, and not a second run on the same seed.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from django.db.models import Case, CharField, Count, Q, Value, When

from campaigns.caching import KEPT_KEYS, cached_keys, cached_roughly
from campaigns.models import (
    Campaign,
    FailureClass,
    Task,
    TaskPurpose,
    TaskQuerySet,
    TaskState,
)
from campaigns.standings.classes import chosen_class
from workers.protocol import INFRASTRUCTURE_FAILURES


class Fate(StrEnum):
    """What became of a task. The first that fits, in this order."""

    OPEN = "open"
    CANCELLED = "cancelled"
    # Failed for good, by who is to blame.
    LOST = "lost"
    TOO_SLOW = "too-slow"
    MACHINE = "machine"
    FAILED = "failed"
    # Has a result that counts for nothing.
    SIMULATED = "simulated"
    DIVERGED = "diverged"
    IMPLAUSIBLE = "implausible"
    TOO_SMALL = "too-small"
    # Has a value, but stands in no order with those that count.
    REPLAY = "replay"
    OUTSIDE = "outside-seed"
    EVALUATION = "evaluation"
    OTHER_CLASS = "other-class"
    COUNTED = "counted"


# Fate → what its runs are, and why they do not count.
FATES: Final[dict[Fate, tuple[str, str]]] = {
    Fate.OPEN: ("still open", "they wait or run"),
    Fate.COUNTED: ("counted", ""),
    Fate.FAILED: ("failed for good", "the script or its params failed at every try"),
    Fate.MACHINE: ("could not be run", "the workers that tried could not run the script at all"),
    Fate.TOO_SLOW: ("too slow", "no worker did the work within its guard; nobody is to blame"),
    Fate.LOST: ("lost", "every worker that took them went silent"),
    Fate.CANCELLED: ("cancelled", "a person ended them"),
    Fate.DIVERGED: (
        "diverged",
        "the loss became NaN or infinite: no value, and in a race infinitely far behind",
    ),
    Fate.TOO_SMALL: (
        "budget too small",
        "no training step, or not its evaluation, fitted in the budget",
    ),
    Fate.IMPLAUSIBLE: (
        "implausible",
        "below what models reach on this data set, until an operator admits them",
    ),
    Fate.SIMULATED: ("simulated", "invented by a worker without torch, not measured"),
    Fate.REPLAY: (
        "second run on a seed",
        "of a disturbed run and its replay only one counts, the undisturbed one if there is one",
    ),
    Fate.OUTSIDE: (
        "seed outside the list",
        "a further seed that no other arm has: it cannot be paired, in no race and no noise floor",
    ),
    Fate.EVALUATION: (
        "other part evaluated",
        "a part of the validation split instead of all of it, or the other way round",
    ),
    Fate.OTHER_CLASS: (
        "other class",
        "another kind of machine, number type or band: they stand in no common order",
    ),
}
# Where cores that others used begin to be told apart; the last is open above.
LOADS: Final = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
UNKNOWN_LOAD: Final = "unknown"
# What can be listed beside the fates: runs that were slowed, whether they count or not.
DISTURBED: Final = "disturbed"
SLOW_SETUP: Final = "slow-setup"
LISTS: Final = (*(str(fate) for fate in Fate if fate is not Fate.OPEN), DISTURBED, SLOW_SETUP)
# Lists of hindered runs, each with its condition.
_HINDERED: Final = {
    DISTURBED: Q(result__disturbed=True, result__simulated=False),
    SLOW_SETUP: Q(result__slow_setup=True, result__simulated=False),
}


@dataclass(frozen=True)
class Tally:
    """All tasks of a campaign, each counted once. `fates` has only those that occur."""

    fates: dict[Fate, int]
    # Of the fates that mean a failure: by failure class, most frequent first.
    failures: dict[str, int] = field(default_factory=dict)
    # Of measured runs: slowed by others, not slowed, and unknown.
    disturbed: int = 0
    undisturbed: int = 0
    slow_setups: int = 0
    # Of measured runs, by the cores that others used: the beginnings of `LOADS`, and unknown.
    loads: dict[str, int] = field(default_factory=dict)

    @property
    def counted(self) -> int:
        return self.fates.get(Fate.COUNTED, 0)

    @property
    def not_counted(self) -> dict[Fate, int]:
        """Tasks that ended and do not count, by why, in the order of `FATES`."""
        left_out = {Fate.COUNTED, Fate.OPEN}
        return {
            fate: self.fates[fate] for fate in FATES if fate in self.fates and fate not in left_out
        }

    @property
    def ended(self) -> int:
        return self.counted + self.ended_not_counted

    @property
    def ended_not_counted(self) -> int:
        return sum(self.not_counted.values())

    @property
    def unknown_speed(self) -> int:
        """Measured runs of which nobody knows whether they were disturbed."""
        return self.measured - self.disturbed - self.undisturbed

    @property
    def open(self) -> int:
        return self.fates.get(Fate.OPEN, 0)

    @property
    def measured(self) -> int:
        """Runs with a result that somebody measured."""
        return sum(self.loads.values())


def tally(campaign: Campaign) -> Tally:
    """Count a freshly loaded campaign's tasks by fate, in one pass over them, cached."""
    return cached_roughly(campaign, "honesty-tally", lambda: read_tally(campaign))


def read_tally(campaign: Campaign) -> Tally:
    """Count the tasks as they are now. One statement, so that none is counted twice or never."""
    groups = _with_fate(campaign).annotate(load=_load()).order_by()
    columns = groups.values_list(
        "fate", "failure_class", "result__disturbed", "result__slow_setup", "load"
    )
    fates: Counter[Fate] = Counter()
    failures: Counter[str] = Counter()
    disturbed: Counter[bool | None] = Counter()
    loads: Counter[str] = Counter()
    slow_setups = 0
    for fate, failure_class, is_disturbed, is_slow, load, number in columns.annotate(
        number=Count("*")
    ):
        fates[Fate(fate)] += number
        if Fate(fate) in _FAILURES:
            failures[failure_class] += number
        if load:
            loads[load] += number
            disturbed[is_disturbed] += number
            slow_setups += number if is_slow else 0
    return Tally(
        fates=dict(fates),
        failures=dict(failures.most_common()),
        disturbed=disturbed[True],
        undisturbed=disturbed[False],
        slow_setups=slow_setups,
        loads=dict(loads),
    )


def listed(campaign: Campaign, name: str, *, limit: int, offset: int = 0) -> list[Task]:
    """Return the tasks of one of `LISTS` by number, with arm, worker and result loaded."""

    def read(start: int, end: int) -> list[int]:
        return list(_selected(campaign, name).values_list("number", flat=True)[start:end])

    if campaign.task_count <= KEPT_KEYS:
        tasks = _selected(campaign, name)[offset : offset + limit]
    else:
        numbers = cached_keys(campaign, f"honesty-{name}", read, offset, offset + limit)
        tasks = campaign.tasks.filter(number__in=numbers).order_by("number")
    return list(tasks.select_related("arm", "result__attempt__worker").defer("result__metrics"))


def list_length(counts: Tally, name: str) -> int:
    """Return how many tasks one of `LISTS` has."""
    hindered = {DISTURBED: counts.disturbed, SLOW_SETUP: counts.slow_setups}
    return hindered[name] if name in hindered else counts.fates.get(Fate(name), 0)


def list_title(name: str) -> tuple[str, str]:
    """Return what the runs of one of `LISTS` are, and why they do not count ("" if they may)."""
    return (name.replace("-", " "), "") if name in _HINDERED else FATES[Fate(name)]


def _selected(campaign: Campaign, name: str) -> TaskQuerySet:
    if name in _HINDERED:
        return campaign.tasks.filter(_HINDERED[name]).order_by("number")
    tasks: TaskQuerySet = _with_fate(campaign).filter(fate=name)
    return tasks.order_by("number")


_FAILURES: Final = frozenset({Fate.LOST, Fate.TOO_SLOW, Fate.MACHINE, Fate.FAILED})
_HAS_RESULT: Final = Q(state=TaskState.COMPLETED)


def _with_fate(campaign: Campaign) -> Any:
    """Return the campaign's tasks, each with its fate."""
    return campaign.tasks.annotate(
        fate=Case(
            *(When(condition, then=Value(str(fate))) for fate, condition in _rules(campaign)),
            default=Value(str(Fate.OTHER_CLASS)),
            output_field=CharField(),
        )
    )


def _rules(campaign: Campaign) -> list[tuple[Fate, Q]]:
    """Return the conditions of the fates in their order; what fits none is of another class."""
    machine = sorted(INFRASTRUCTURE_FAILURES)
    class_id, is_subset = cached_roughly(campaign, "honesty-class", lambda: _default(campaign))
    rules = [
        (Fate.OPEN, Q(state__in=[TaskState.PENDING, TaskState.LEASED])),
        (Fate.CANCELLED, Q(state=TaskState.CANCELLED)),
        (Fate.LOST, Q(state=TaskState.FAILED, failure_class=FailureClass.LOST)),
        (Fate.TOO_SLOW, Q(state=TaskState.FAILED, failure_class=FailureClass.TOO_SLOW)),
        (Fate.MACHINE, Q(state=TaskState.FAILED, failure_class__in=machine)),
        (Fate.FAILED, Q(state=TaskState.FAILED)),
        (Fate.SIMULATED, Q(result__simulated=True)),
        (Fate.DIVERGED, Q(result__diverged=True)),
        (Fate.IMPLAUSIBLE, Q(result__implausible=True, result__is_ranked=False)),
        (Fate.TOO_SMALL, Q(result__is_ranked=False)),
        (Fate.REPLAY, Q(purpose=TaskPurpose.REPLAY)),
    ]
    if campaign.shares_seeds:
        # The first seed of an arm is on the board, whichever it is.
        further = ~Q(purpose=TaskPurpose.SCREEN)
        rules.append((Fate.OUTSIDE, further & Q(seed_index__isnull=True)))
    rules.append((Fate.EVALUATION, Q(result__eval_is_subset=not is_subset)))
    rules.append((Fate.COUNTED, Q(result__result_class=class_id)))
    return rules


def _default(campaign: Campaign) -> tuple[int | None, bool]:
    """Return the class that is shown first, and whether it evaluates a part of the split."""
    first = chosen_class(campaign)
    return (None, False) if first is None else (first.pk, first.is_subset)


def _load() -> Case:
    """Return the bucket of the foreign load of a measured run; "" for others."""
    buckets = [
        When(result__foreign_load__gte=least, then=Value(f"{least:g}")) for least in LOADS[::-1]
    ]
    measured = Q(_HAS_RESULT, result__simulated=False)
    return Case(
        When(~measured, then=Value("")),
        *buckets,
        default=Value(UNKNOWN_LOAD),
        output_field=CharField(),
    )
