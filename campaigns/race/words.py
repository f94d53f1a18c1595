"""What may be claimed of a race, in one sentence. Pure: numbers of arms in, words out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

# What a standing of `standings.arms` says of an arm.
STANDING_WORDS: Final = {
    "champion": "proven ahead of every rival of its race",
    "tied": "the race could not tell it from the others of this rank",
    "behind": "proven behind the leader of its race",
    "racing": "in a race that runs",
    "dropped": "left its race for the number of arms; it was not beaten",
    "infeasible": "failed on half of its race seeds or more",
    "raced": "raced before, or left the race that runs",
    "screened": "one seed only, which proves nothing",
}
# So many arms are named; of more, the number is given.
MOST_NAMED: Final = 5
# A race that needs as many seeds is nothing that anyone would run.
MOST_SEEDS_SAID: Final = 1_000


@dataclass(frozen=True)
class Finding:
    """What the last look of a race decided. Arms are numbers, distances are sort-key differences.

    `outcome` is that of the race, "" while it runs. `arms` is how many arms the campaign has.
    """

    outcome: str
    looks: int
    most_looks: int
    seeds: int
    leader: int | None
    rival: int | None
    estimate: float | None
    bound: float | None
    group: Sequence[int]
    behind: Sequence[int]
    dropped: Sequence[int]
    infeasible: Sequence[int]
    seeds_to_separate: int | None
    arms: int


def verdict(finding: Finding, *, shown: Callable[[float], str]) -> str:
    """Return the sentence; `shown` writes a distance with the metric's decimals and unit."""
    if not finding.outcome:
        return _running(finding)
    return {
        "champion": _champion,
        "tie": _tie,
        "none feasible": lambda *_: (
            "No arm of this race runs on more than half of its seeds, so it has no winner."
        ),
        "cancelled": lambda *_: "This race was cancelled before it decided anything.",
    }[finding.outcome](finding, shown)


def not_raced(measured: int) -> str:
    """Return the sentence of a campaign in which no arm has raced, and so many have a value."""
    if not measured:
        return "No arm has a measured value, so nothing can be said."
    if measured == 1:
        return "Only one arm has a measured value: there is nothing to compare it with."
    return (
        f"Nothing has raced: each of the {measured:,} arms with a value has it from its first "
        "seed, which proves nothing."
    )


@dataclass(frozen=True)
class Belief:
    """How far a reader may believe the first row of a board: in a few words, and on what ground."""

    words: str
    ground: str


def belief(finding: Finding | None, *, shown: Callable[[float], str]) -> Belief:
    """Return what to believe of the arms; `finding` is None while none has raced.

    `shown` writes a distance with the metric's decimals.
    """
    if finding is None:
        return Belief("one seed: unknown", "a race on shared seeds would tell")
    looks = f"look {finding.looks} of {finding.most_looks}"
    if not finding.outcome:
        if not finding.looks:
            return Belief(
                "racing", f"{_many(finding.group)} · first look after {finding.seeds} seeds"
            )
        return Belief("racing", f"{_many(finding.group)} left after {looks}")
    if finding.outcome == "champion":
        return _proven(finding, shown)
    if finding.outcome == "tie" and len(finding.group) > 1:
        ground = f"{finding.seeds} seeds each"
        if (finding.seeds_to_separate or MOST_SEEDS_SAID) < MOST_SEEDS_SAID:
            ground += f" · about {finding.seeds_to_separate:,} would separate the first two"
        others = len(finding.group) - 1
        return Belief(f"tied with {others} arm{'s' if others > 1 else ''}", ground)
    return Belief("not decided", "too few runs of the arms are common, or have a value")


def _proven(finding: Finding, shown: Callable[[float], str]) -> Belief:
    if finding.estimate is None or finding.bound is None:
        return Belief("raced alone", "no other arm runs on more than half of the seeds")
    ground = f"noise {shown(finding.bound)}"
    if finding.bound > 0:
        ground = f"{finding.estimate / finding.bound:.1f} × the noise of {shown(finding.bound)}"
    return Belief(f"ahead by {shown(finding.estimate)}", f"{ground} · {finding.seeds} seeds")


def _many(arms: Sequence[int]) -> str:
    return f"{len(arms)} arm{'' if len(arms) == 1 else 's'}"


def value_standing(standing: str, half_width: str | None, seeds: int) -> str:
    """Return in a few words what an arm's value is worth: of one seed, or of a race.

    `half_width` is the written half width of its interval, None while it is unknown.
    """
    if standing == "screened":
        return "one seed: unknown"
    many = f"{seeds} race seed{'' if seeds == 1 else 's'}"
    return ", ".join(filter(None, (half_width and f"± {half_width}", many, standing)))


def value_kind(standing: str) -> str:
    """Return in one or two words what the value of an arm with this standing is."""
    return {"champion": "champion", "tied": "tie", "screened": "first seed"}.get(standing, "raced")


def figure_title(standing: str, *, metric: str, lowest: str) -> str:
    """Return the title of the value of a board's first arm; "" for a board without arms."""
    titles = {
        "champion": f"Champion's {metric}",
        "tied": f"{metric} of the first in a tie",
        "screened": f"{lowest.capitalize()} {metric} of a first seed",
        "": metric,
    }
    return titles.get(standing, f"{metric} of the first arm that raced")


def leading_value(standing: str, *, metric: str, lowest: str, value: str) -> str:
    """Return the value of the first arm of a board, with what it is.

    `lowest` is what is wanted of the metric: "lowest" or "highest".
    """
    if standing == "champion":
        return f"champion's {metric} {value}"
    if standing == "screened":
        return f"{lowest} {metric} of a first seed {value}, which proves nothing"
    return f"{metric} {value} of an arm that {_HAS.get(standing, 'raced')}"


_HAS: Final = {"tied": "is tied with others", "racing": "races"}


def _running(finding: Finding) -> str:
    if not finding.looks:
        return f"A race runs. Its first look comes when every arm has run on {finding.seeds} seeds."
    return (
        f"A race runs: {_named(finding.group)} are not told apart after look {finding.looks} of "
        f"{finding.most_looks}."
    )


def _champion(finding: Finding, shown: Callable[[float], str]) -> str:
    beaten = len(finding.behind)
    leader = f"Arm {finding.leader}"
    if not beaten:
        return (
            f"{leader} is the only arm of its race that runs on more than half of the seeds; it "
            "was compared with no other."
        )
    many = f"the {beaten} arms it raced" if beaten > 1 else "the arm it raced"
    parts = [f"{leader} is ahead of {many}, of {finding.arms:,} in the campaign"]
    if finding.rival is not None and finding.estimate is not None and finding.bound is not None:
        parts.append(
            f"by {shown(finding.estimate)} from the nearest, arm {finding.rival} "
            f"(± {shown(finding.bound)}, {finding.seeds} seeds)"
        )
    sentence = ", ".join(parts) + "."
    if finding.dropped:
        sentence += f" {_capital(_named(finding.dropped))} left the race untested to the end."
    if finding.infeasible:
        sentence += f" {_capital(_named(finding.infeasible))} failed on half of the seeds or more."
    return sentence


def _tie(finding: Finding, _: Callable[[float], str]) -> str:
    if len(finding.group) == 1:
        return f"No champion: too few seeds of arm {finding.leader} and its rivals are common."
    sentence = (
        f"No champion: {_named(finding.group)} are not told apart after {finding.seeds} seeds."
    )
    if (seeds := finding.seeds_to_separate) and seeds < MOST_SEEDS_SAID:
        sentence += (
            f" About {seeds:,} seeds would separate the first two, if what lies between them now "
            "is true."
        )
    elif seeds:
        sentence += " What lies between the first two is too small for a race to find."
    return sentence


def _named(arms: Sequence[int]) -> str:
    if len(arms) > MOST_NAMED:
        return f"{len(arms)} arms"
    if len(arms) == 1:
        return f"arm {arms[0]}"
    return f"arms {listed([str(arm) for arm in arms])}"


def listed(names: Sequence[str]) -> str:
    """Return names as in a sentence: "A", "A and B", "A, B and C"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]
