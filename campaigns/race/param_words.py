"""What may be claimed of parameters. Pure: names and shares in, a title out.

Both titles name only parameters that account for more of the spread than shuffled values reach
(`campaigns.analysis.chance`), so noise makes neither and they never contradict each other.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final, Protocol

from campaigns.race.words import listed

NOTHING_STANDS_OUT: Final = "No parameter stands out from chance yet"


class Share(Protocol):
    """A parameter's share of the importance, with its uncertainty."""

    @property
    def name(self) -> str: ...

    @property
    def share(self) -> float: ...

    @property
    def low(self) -> float: ...

    @property
    def high(self) -> float: ...

    @property
    def stands_out(self) -> bool: ...


def effects_title(
    named: Sequence[tuple[str, float]], by_chance: float | None, *, metric: str
) -> str:
    """Return the title of the effects. `named` are parameters with the share they explain."""
    if by_chance is None:
        return "Effect of each parameter: too few results to say how much each accounts for"
    if not named:
        return (
            f"No parameter accounts for more of the spread of {metric} than shuffled values reach"
        )
    if len(named) == 1:
        ((name, share),) = named
        return (
            f"{name} alone accounts for {share:.0%} of the spread of {metric}; shuffled values "
            f"reach {by_chance:.0%}"
        )
    shares = listed([f"{name} ({share:.0%})" for name, share in named])
    return (
        f"{shares} each account for more of the spread of {metric} than shuffled values reach "
        f"({by_chance:.0%})"
    )


def top_runs(share: float) -> str:
    """Return the name of the runs nearest the goal, a share of all."""
    return f"best {share:.0%}"


def importance_title(
    shares: Sequence[Share], named: Collection[str], *, good: str, top: str
) -> str:
    """Return the title of the importance; `shares` are the parameters, the largest share first.

    `named` are those that account for more of the spread than chance. `good` is what is wanted ("a
    low val_bpb"), `top` the runs that are told from all ("best 10 %").
    """
    if not named:
        return NOTHING_STANDS_OUT
    standing_out = [share.name for share in shares if share.stands_out and share.name in named]
    if not standing_out:
        who = listed(sorted(named))
        return (
            f"{who} account{'s' if len(named) == 1 else ''} for more of the spread than chance, "
            f"but nothing tells the {top} from the rest"
        )
    first, *followers = shares
    if first.name in standing_out and all(first.low > follower.high for follower in followers):
        return f"{first.name} matters most for {good}: {first.share:.0%}"
    return f"{listed(standing_out)} matter{'s' if len(standing_out) == 1 else ''} for {good}"
