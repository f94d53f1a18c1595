"""What the page of a race says in words: who left and why, what comes next, what a race is."""

from __future__ import annotations

from typing import Final

from campaigns.race.rule import FEWEST_TASKS
from campaigns.race.strips import Awaited, Kind, Left, Strip, Strips
from campaigns.race.words import listed

WHAT_A_RACE_IS: Final = (
    "In a race a few arms run on the same fresh seeds and are compared seed by seed, so what a "
    "seed does to everybody cancels out. It looks after a quarter, half and all of the seeds, and "
    "ends as soon as one arm is proven ahead of all others, or as a tie."
)
NO_SHARED_SEEDS: Final = (
    "The arms of this campaign share no seeds, so no two of them can be compared seed by seed. A "
    "clone shares them."
)
NEVER_SIMULATED: Final = (
    "Its results are simulated: workers without torch invented them, and what nobody measured "
    "never races."
)
# The head of the differences, and what a reader may do with what lies above the line.
KIND_WORDS: Final = {
    Kind.VALUE: "",
    Kind.CLIPPED: "far from the others; its size counts only up to a limit",
    Kind.INFEASIBLE: "it failed here for reasons of its params: infinitely far behind",
    Kind.REFERENCE_INFEASIBLE: "the other arm failed here for reasons of its params",
    Kind.BOTH_INFEASIBLE: "both failed here for reasons of their params",
    Kind.MISSING: "missing: a run of the pair ended without a value that says anything",
    Kind.WAITING: "not run yet",
}


def race_state(outcome: str) -> str:
    """Return how a race stands, in a few words."""
    words = {"": "runs", "tie": "tie", "champion": "champion", "cancelled": "cancelled"}
    return words.get(outcome, "no arm is left that runs")


def compared_with(strips: Strips) -> str:
    """Return what the differences of a race are differences to."""
    if not strips.is_decided:
        return (
            f"Differences to arm {strips.reference}, which was named first: no look has decided "
            "yet who leads."
        )
    others = {leader for leader in strips.leaders if leader is not None} - {strips.reference}
    sentence = f"Differences to arm {strips.reference}, the leader."
    if not others:
        return sentence
    looks = [
        f"look {look} by the differences to arm {leader}"
        for look, leader in enumerate(strips.leaders, start=1)
        if leader in others
    ]
    return f"{sentence} Another arm led before, so decided {listed(looks)}."


def standing_of_strip(strip: Strip, strips: Strips, outcome: str) -> str:
    """Return how an arm stands in a race, or when and why it left it."""
    if strip.arm == strips.reference and strips.is_decided:
        return {"champion": "champion", "tie": "first in the tie", "": "leads so far"}.get(
            outcome, "led at the last look"
        )
    if strip.left_as is Left.DROPPED:
        return f"dropped for number at look {strip.left_at}, not beaten"
    if strip.left_as is Left.BEHIND:
        return f"proven behind arm {strip.left_behind} at look {strip.left_at}"
    if strip.left_as is Left.INFEASIBLE:
        return f"infeasible at look {strip.left_at}: failed on half of its seeds or more"
    if outcome == "tie":
        return "not told apart"
    return "races" if not outcome else "not decided"


def look_title(
    look: int, seeds: int, estimate: str | None, bound: str | None, *, is_behind: bool
) -> str:
    """Return what one look saw of an arm, for its median and its bound."""
    if estimate is None:
        return f"Look {look}: too few of {seeds} seeds are common"
    if bound is None:
        return f"Look {look}: median {estimate} of {seeds} seeds; the noise is unknown"
    verdict = "proven behind" if is_behind else "not told apart"
    return f"Look {look}: median {estimate} of {seeds} seeds, bound ± {bound}: {verdict}"


def next_look(
    awaited: Awaited, *, running: int, is_paused: bool, hindrance: str, eta: str | None
) -> str:
    """Return what a race waits for. `running` of its open runs have a worker now.

    `hindrance` says in a few words why nobody takes the others, "" while somebody does.
    """
    waiting = len(awaited.open) - running
    runs = f"{awaited.ended:,} of {awaited.wanted:,} runs are in, {running:,} run now"
    if waiting:
        runs += f", {waiting:,} wait{'s' if waiting == 1 else ''}"
    if awaited.look is None:
        head = f"The race is decided; the champion runs on all its seeds: {runs}."
    else:
        head = f"Look {awaited.look} comes when its last run has ended: {runs}."
    if is_paused:
        return f"{head} The campaign is paused: nothing is handed out and no look is decided."
    if hindrance:
        return f"{head} Nothing can run: {hindrance}."
    return f"{head} At the present rate that is in about {eta}." if eta else head


def what_starts_a_race(
    *, is_automatic: bool, is_over: bool, kept: int, open_tasks: int, tasks: int, measured: int
) -> str:
    """Return what would start the first race of a campaign."""
    if is_over:
        return "This campaign has ended without one. Its arms can still race by hand."
    if not is_automatic:
        return "None begins by itself here: somebody picks the arms and starts it."
    if kept:
        return (
            f"{kept:,} runs are kept for it. It begins by itself with the best by first seeds, "
            f"when the {open_tasks:,} open task{'' if open_tasks == 1 else 's'} have ended."
        )
    if tasks < FEWEST_TASKS:
        return (
            f"It begins by itself in campaigns of {FEWEST_TASKS} tasks or more; this one has "
            f"{tasks:,}. By hand it can begin as soon as two arms have run."
        )
    if measured < 2:
        return "It begins by itself when all have run and two arms have a value."
    return "It begins by itself with the best by first seeds, when all have run."


def side_words(is_maximised: bool) -> tuple[str, str]:
    """Return what lies above and below the line of no difference."""
    above, below = ("lower", "higher") if is_maximised else ("higher", "lower")
    return f"{above}, behind", f"{below}, ahead"


MARK_WORDS: Final = {
    "dot": "difference on one seed",
    "median": "median at a look",
    "band": "the bound: what noise can do at that look; a median beyond it is proven",
    "clipped": "far from the others: its size counts only up to a limit",
    "far": "beyond the scale",
    "infeasible": "failed for reasons of its params: infinitely far behind",
    "missing": "missing: a run of the pair said nothing about its params",
    "waiting": "not run yet; filled while it runs",
}
