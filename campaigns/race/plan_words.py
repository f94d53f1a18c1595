"""What it takes to see a difference, in sentences. Pure: numbers in, words out."""

from __future__ import annotations

from campaigns.race.plan import MOST

UNKNOWN_NOISE = (
    "How many seeds a difference takes is known once two arms have run on two race seeds."
)


def plan_sentence(
    *, gap: str, arms: int, seeds: int | None, duration: str = "", assumed: str = ""
) -> str:
    """Return the plan of a race that finds a difference.

    It reads "To see 0.02 here you need 21 seeds of each: 42 runs, 7 m 00 s on today's fleet." `gap`
    is the written difference, `duration` the written time ("" when it is unknown). `assumed` says
    where the noise is from if this campaign has not shown it, "" otherwise.
    """
    rests = f" That assumes {assumed}." if assumed else ""
    if seeds is None:
        return f"To see {gap} here takes more than {MOST:,} seeds of each.{rests}"
    took = f", {duration} on today's fleet" if duration else ""
    return (
        f"To see {gap} here you need {seeds:,} seeds of each: {arms * seeds:,} runs{took}.{rests}"
    )


def reach_sentence(*, seeds: int, chance: str) -> str:
    """Return what a race that begins by itself finds of that difference."""
    return f"A race by itself has at most {seeds} seeds, and finds it with a chance of {chance}."


def start_words(seeds: int, duration: str) -> str:
    """Return the words of the button that starts the planned race."""
    return f"Race them on {seeds:,} seeds{f' ({duration})' if duration else ''}"
