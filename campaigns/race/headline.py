"""The one sentence above a campaign's figures: the first thing that a reader must know. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

# Longer without any run or end, with machines that could take tasks: something is wrong.
STALLED_SECONDS: Final = 600.0
# A larger share of the runs that ended without a value comes before any comparison.
MANY_WITHOUT_VALUE: Final = 0.1
# A value of a param that all runs without a value share is named when at most this share of the
# other runs has it, too.
RARE: Final = 0.5
MOST_SHARED: Final = 3


@dataclass(frozen=True)
class Situation:
    """What the sentence is chosen by.

    `machines` is how many machines online may take a task; it, and `quiet_seconds` since a task
    last ended, are None while that does not matter. `no_value` counts runs that ended and count for
    nothing, by why. `too_slow` arms can get no result. `disturbed` ranked runs were slowed by
    others, `slow_setups` by a set-up that took much of their time; both are 0 under a work budget,
    whose values do not depend on the speed. `classes` are the classes of results with their sizes,
    the one shown first. `board` is what may be claimed of the arms, `empty` why there is none.
    """

    is_active: bool
    pending: int
    leased: int
    ended: int
    no_value: Mapping[str, int] = field(default_factory=dict)
    shared: str = ""
    is_approved: bool = True
    machines: int | None = None
    quiet_seconds: float | None = None
    classes: Sequence[tuple[str, int]] = ()
    too_slow: int = 0
    disturbed: int = 0
    slow_setups: int = 0
    trouble: str = ""
    board: str = ""
    empty: str = ""


def headline(situation: Situation, *, span: str = "") -> str:
    """Return the sentence of the first rule that holds; `span` writes the quiet time."""
    if obstacle := _obstacle(situation, span):
        return obstacle
    if situation.trouble:
        return situation.trouble
    if not situation.classes:
        return situation.empty
    without = sum(situation.no_value.values())
    if without > MANY_WITHOUT_VALUE * situation.ended:
        causes = sorted(situation.no_value.items(), key=lambda pair: (-pair[1], pair[0]))
        told = ", ".join(f"{count:,} × {cause}" for cause, count in causes if count)
        shared = f"; all of them have {situation.shared}" if situation.shared else ""
        return f"{without:,} of {situation.ended:,} runs have no value: {told}{shared}."
    (shown, _), *others = situation.classes
    board = " ".join([situation.board, *_asides(situation)])
    if not others:
        return board
    rest = ", ".join(f"{label} ({count:,})" for label, count in others)
    return (
        f"Results of {len(situation.classes)} classes stand in no common order. Shown is {shown}, "
        f"not {rest}. {board}"
    )


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


def _obstacle(situation: Situation, span: str) -> str:
    """Say why nothing runs, though tasks wait; "" otherwise."""
    if not situation.is_active or not situation.pending or situation.leased:
        return ""
    waiting = f"{situation.pending:,} task{'s wait' if situation.pending > 1 else ' waits'}"
    if not situation.is_approved:
        return f"Nothing can run: the uploaded script has no approval. {waiting}."
    if situation.machines == 0:
        return f"Nothing can run: no worker that may take these tasks is online. {waiting}."
    if situation.quiet_seconds is not None and situation.quiet_seconds > STALLED_SECONDS:
        return f"Stalled: no task has ended for {span}, and none runs. {waiting}."
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
