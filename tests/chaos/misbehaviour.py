"""Scripts that misbehave, run as an agent runs them: what they cost it, and how long they last.

With the product's own grace period and a gigabyte of output: too long for `make test`, which has
the same scripts in short.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.agent.runs import (
    DETACH,
    IGNORE_SIGTERM,
    MIB,
    MemorySampler,
    Run,
    find_working_sandbox,
    script,
)
from workers.protocol import IsolationTier

BUDGET_SECONDS = 2.0
FLOOD_BUDGET_SECONDS = 300.0  # it ends by itself long before
KILL_GRACE_SECONDS = 15.0
MOST_SECONDS_OVER = 2.0
MOST_MIB_GROWN = 20.0
_FLOOD = "import sys\nfor _ in range(1024): sys.{}.buffer.write(b'\\x80' * 2**20)"
_STUBBORN = script(IGNORE_SIGTERM, DETACH, "detach(); announce(); time.sleep(60)")
_LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class Misbehaviour:
    """What one script did in one tier."""

    script: str
    tier: str
    seconds_over: (
        float | None
    )  # past budget and grace when nothing was alive; None: it ended itself
    grown_mib: float  # the agent's memory, at most

    @property
    def problems(self) -> list[str]:
        """Return the bars that were not held."""
        found = []
        if self.grown_mib > MOST_MIB_GROWN:
            found.append(f"the agent grew by {self.grown_mib:.0f} MiB")
        if self.seconds_over is not None and not 0.0 <= self.seconds_over <= MOST_SECONDS_OVER:
            found.append(f"it was gone {self.seconds_over:.1f} s after budget and grace")
        return [f"{self.script} ({self.tier}): {problem}" for problem in found]


def misbehave(say: Callable[[str], None]) -> list[Misbehaviour]:
    """Run every script in every tier that works here."""
    tiers = [IsolationTier.T0]
    if isinstance(sandbox := find_working_sandbox(), str):
        say(f"tier T1 is not measured: {sandbox}")
    else:
        tiers.append(IsolationTier.T1)
    found = []
    for tier in tiers:
        for stream in ("stdout", "stderr"):
            name = f"1 GiB on {stream}, no newline"
            say(f"         {name} ({tier})")
            _, grown = _run(_FLOOD.format(stream), tier, FLOOD_BUDGET_SECONDS)
            found.append(Misbehaviour(name, tier, None, grown))
        name = "ignores SIGTERM, detaches a child"
        say(f"         {name} ({tier})")
        seconds, grown = _run(_STUBBORN, tier, BUDGET_SECONDS)
        over = seconds - BUDGET_SECONDS - KILL_GRACE_SECONDS
        found.append(Misbehaviour(name, tier, over, grown))
    return found


def _run(source: str, tier: IsolationTier, budget_seconds: float) -> tuple[float, float]:
    """Return the seconds until nothing of the script was alive, and the MiB the agent grew by."""
    with tempfile.TemporaryDirectory(prefix="xeenet-script-") as folder:
        run, sampler = Run(Path(folder), source, tier), MemorySampler()
        started_at = time.monotonic()
        with sampler:
            run.execute(
                time_budget_seconds=budget_seconds,
                kill_grace_seconds=KILL_GRACE_SECONDS,
                output_bytes=2**31,
            )
        while run.leftovers() and time.monotonic() - started_at < FLOOD_BUDGET_SECONDS:
            time.sleep(_LOOK_SECONDS)
        return time.monotonic() - started_at, sampler.growth_bytes / MIB
