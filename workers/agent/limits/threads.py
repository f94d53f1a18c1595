"""How many threads a task gets: as many as there are free cores, and not another number each time.

Under a time budget the number of threads decides how far a run comes. So the number is chosen when
work begins and kept until the machine has looked different for minutes. Pure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

# The machine has to look different for so long before the number changes.
STEADY_SECONDS: Final = 300.0
# A core of which others use less than this counts as free: a desktop at rest uses some of it.
_ROUNDING: Final = 0.5


@dataclass(frozen=True)
class Chosen:
    """The threads of a task by the free cores, and since when these say another number."""

    threads: int
    differs_since: float | None = None


def threads_of_free(free_cores: float | None, slots: int, most: int) -> int:
    """Return the threads of each task when ``slots`` share the free cores; 1 at least.

    With unknown load all cores count as free.
    """
    free = most if free_cores is None else math.floor(free_cores + _ROUNDING)
    return max(1, min(most, free) // max(1, slots))


def choose(before: Chosen | None, wanted: int, now: float) -> Chosen:
    """Return the choice after a look at ``now`` (in seconds) that found ``wanted`` threads."""
    if before is None:
        return Chosen(wanted)
    if wanted == before.threads:
        return replace(before, differs_since=None)
    since = now if before.differs_since is None else before.differs_since
    if now - since >= STEADY_SECONDS:
        return Chosen(wanted)
    return replace(before, differs_since=since)
