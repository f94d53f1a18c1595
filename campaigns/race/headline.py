"""The verdict on a campaign: what a reader must know first, and what would settle it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

# Longer without any run or end, with machines that could take tasks: something is wrong.
STALLED_SECONDS: Final = 600.0
# A larger share of the runs that ended without a value comes before any comparison.
MANY_WITHOUT_VALUE: Final = 0.1
# A value of a param that all runs without a value share is named when at most this share of the
# other runs has it, too.
RARE: Final = 0.5
MOST_SHARED: Final = 3
# Not the comma within a number.
_LEAD: Final = re.compile(r"(?=[:;,.](?:\s|$))")


class Severity(StrEnum):
    """How a verdict looks: what may be claimed, news, what stands still, what went wrong."""

    CLAIM = "claim"
    NOTE = "note"
    WARNING = "warning"
    TROUBLE = "trouble"


class Act(StrEnum):
    """What would settle a verdict. The page knows the address of each."""

    SEE_WORKERS = "see workers"
    SEE_SCRIPT = "see script"
    SEE_FAILURES = "see failures"
    SEE_NO_VALUE = "see no value"
    SHOW_CLASS = "show class"
    RACE = "race"


@dataclass(frozen=True)
class Action:
    """The one button beside a verdict."""

    act: Act
    label: str
    # Of SHOW_CLASS: the place of the class in the situation.
    place: int = 0


@dataclass(frozen=True)
class Headline:
    """The verdict: one sentence, how it looks, and at most one button."""

    sentence: str
    severity: Severity = Severity.NOTE
    action: Action | None = None

    @property
    def lead(self) -> str:
        """What its sentence says first, up to the first sign that ends a thought."""
        return _LEAD.split(self.sentence, maxsplit=1)[0]

    @property
    def rest(self) -> str:
        """The sentence after its lead."""
        return self.sentence.removeprefix(self.lead)


@dataclass(frozen=True)
class Situation:
    """What the verdict is chosen by.

    `hindrance` says in a few words why no worker takes a task, "" while one does. `quiet_seconds`
    since a task last ended is None while that does not matter. `no_value` counts runs that ended
    and count for nothing, by why; `failed` of them failed. `too_slow` arms can get no result.
    `disturbed` ranked runs were slowed by others, `slow_setups` by a set-up that took much of their
    time; both are 0 under a work budget, whose values do not depend on the speed. `classes` are the
    classes of results with their sizes, the one shown first; `shows_all` of them stand on the board
    together. `board` is what may be claimed of the arms, `is_decided` when a race proved it,
    `empty` why there is none. `draft` says what a launch would begin, `paused` why nothing is
    handed out. `race` is the label of the button that lets arms race, "" when that settles nothing.
    """

    is_active: bool
    pending: int
    leased: int
    ended: int
    no_value: Mapping[str, int] = field(default_factory=dict)
    failed: int = 0
    shared: str = ""
    is_approved: bool = True
    hindrance: str = ""
    quiet_seconds: float | None = None
    classes: Sequence[tuple[str, int]] = ()
    too_slow: int = 0
    disturbed: int = 0
    slow_setups: int = 0
    trouble: str = ""
    board: str = ""
    empty: str = ""
    draft: str = ""
    paused: str = ""
    race: str = ""
    is_decided: bool = False
    shows_all: bool = False


def headline(situation: Situation, *, since: str = "") -> Headline:
    """Return the verdict of the first rule that holds; `since` says when it became quiet."""
    if situation.draft:
        return Headline(situation.draft)
    if situation.paused:
        return Headline(situation.paused, Severity.WARNING)
    if obstacle := _obstacle(situation, since):
        return Headline(obstacle, Severity.WARNING, _way_out(situation))
    if situation.trouble:
        return Headline(situation.trouble, Severity.TROUBLE, _failures(situation))
    if not situation.classes:
        return Headline(situation.empty, Severity.NOTE, _failures(situation))
    without = sum(situation.no_value.values())
    if without > MANY_WITHOUT_VALUE * situation.ended:
        causes = sorted(situation.no_value.items(), key=lambda pair: (-pair[1], pair[0]))
        told = ", ".join(f"{count:,} × {cause}" for cause, count in causes if count)
        shared = f"; all of them have {situation.shared}" if situation.shared else ""
        sentence = f"{without:,} of {situation.ended:,} runs have no value: {told}{shared}."
        return Headline(sentence, Severity.TROUBLE, _failures(situation))
    (shown, _), *others = situation.classes
    board = " ".join([situation.board, *_asides(situation)])
    if not others:
        severity = Severity.CLAIM if situation.is_decided else Severity.NOTE
        race = Action(Act.RACE, situation.race) if situation.race else None
        return Headline(board, severity, race)
    common = f"Results of {len(situation.classes)} classes stand in no common order."
    if situation.shows_all:
        return Headline(f"{common} All are shown, so their order means nothing.", Severity.WARNING)
    rest = ", ".join(f"{label} ({count:,})" for label, count in others)
    (other, size), *_ = others
    return Headline(
        f"{common} Shown is {shown}, not {rest}. {board}",
        Severity.NOTE,
        Action(Act.SHOW_CLASS, f"Show {other} ({size:,})", place=1),
    )


def race_label(arms: int, *, time: str, workers: int, challengers: int = 0) -> str:
    """Return the label of the button that lets the first arms race.

    `challengers` of them were added after a race that found a champion, which they race. `time` is
    what the race takes at most on so many workers, "" while that is unknown.
    """
    label = f"Race the top {arms}"
    if challengers:
        newer = "the newer arm" if challengers == 1 else f"{challengers} newer arms"
        label = f"Race {newer} against the champion"
    if not time or not workers:
        return label
    return f"{label} · ≤ {time} on {workers:,} worker{'s' if workers > 1 else ''}"


def newer_words(arms: Sequence[int]) -> str:
    """Say which arms may race the champion, which comes first; "" without any."""
    if len(arms) < 2:
        return ""
    champion, *newer = arms
    numbers = ", ".join(map(str, newer))
    those = f"Arm {numbers} is" if len(newer) == 1 else f"Arms {numbers} are"
    return f"{those} newer than the last race: ticked with its champion, arm {champion}."


def _way_out(situation: Situation) -> Action:
    if not situation.is_approved:
        return Action(Act.SEE_SCRIPT, "Read the script")
    return Action(Act.SEE_WORKERS, "See the workers")


def _failures(situation: Situation) -> Action | None:
    """Return the button that leads to the runs without a value; None without any."""
    if situation.failed:
        return Action(Act.SEE_FAILURES, "See the failures")
    if sum(situation.no_value.values()):
        return Action(Act.SEE_NO_VALUE, "See these runs")
    return None


def _asides(situation: Situation) -> list[str]:
    """Say what else bears on the claim: what could not be measured, or not in peace."""
    asides = []
    if (arms := situation.too_slow) > 0:
        asides.append(
            f"{arms:,} arm{'s' if arms > 1 else ''} can get no result: too slow for this fleet, or "
            "without a finite cost."
        )
    if (runs := situation.disturbed) > 0:
        asides.append(
            f"{runs:,} run{'s were' if runs > 1 else ' was'} slowed by other programs, and might "
            "have come further alone."
        )
    if (runs := situation.slow_setups) > 0:
        asides.append(
            f"{runs:,} run{'s' if runs > 1 else ''} spent more than 30 % of the time on set-up, "
            "and might have come further elsewhere."
        )
    return asides


def _obstacle(situation: Situation, since: str) -> str:
    """Say why nothing runs, though tasks wait; "" otherwise."""
    if not situation.is_active:
        return ""
    # Of a worker that is gone, the leases run out one after the other until somebody takes them.
    number = situation.pending + (situation.leased if situation.hindrance else 0)
    waiting = f"{number:,} task{'s wait' if number > 1 else ' waits'}" if number else ""
    if situation.hindrance:
        return f"Nothing can run: {situation.hindrance}.{f' {waiting}.' if waiting else ''}"
    if not situation.pending or situation.leased:
        return ""
    if not situation.is_approved:
        return f"Nothing can run: the uploaded script has no approval. {waiting}."
    if situation.quiet_seconds is not None and situation.quiet_seconds > STALLED_SECONDS:
        return f"Stalled: no task has ended since {since}, and none runs. {waiting}."
    return ""


def shared_params(
    without: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the params that all runs without a value share, and few of the others have."""
    if len(without) < 2:
        return {}
    first, *rest = without
    shared: dict[str, Any] = {}
    for name, value in first.items():
        if any(params.get(name) != value for params in rest):
            continue
        alike = sum(params.get(name) == value for params in others)
        if alike <= RARE * len(others) and len(shared) < MOST_SHARED:
            shared[name] = value
    return shared
