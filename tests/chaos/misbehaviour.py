"""Misbehaving scripts, run as an agent runs them: how much memory and time they cost the agent.

They get the product's own grace period and print a gigabyte. That takes too long for `make test`,
which has shorter versions of these scripts.
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
FLOOD_BUDGET_SECONDS = 300.0  # a flooding script ends by itself long before
KILL_GRACE_SECONDS = 15.0
MOST_SECONDS_OVER = 2.0
MOST_MIB_GROWN = 20.0
_FLOOD = "import sys\nfor _ in range(1024): sys.{}.buffer.write(b'\\x80' * 2**20)"
_STUBBORN = script(IGNORE_SIGTERM, DETACH, "detach(); announce(); time.sleep(60)")
_LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class Misbehaviour:
    """The measurements of one script in one tier."""

    script: str
    tier: str
    # From the end of budget and grace until no process was alive; None: it ended by itself.
    seconds_over: float | None
    grown_mib: float  # the most by which the agent's memory grew

    @property
    def problems(self) -> list[str]:
        """Return the bars that were missed."""
        problems = []
        if self.grown_mib > MOST_MIB_GROWN:
            problems.append(f"the agent grew by {self.grown_mib:.0f} MiB")
        if self.seconds_over is not None and not 0.0 <= self.seconds_over <= MOST_SECONDS_OVER:
            problems.append(f"it was gone {self.seconds_over:.1f} s after budget and grace")
        return [f"{self.script} ({self.tier}): {problem}" for problem in problems]


def misbehave(say: Callable[[str], None]) -> list[Misbehaviour]:
    """Run every script in every isolation tier that works on this machine."""
    tiers = [IsolationTier.T0]
    if isinstance(sandbox := find_working_sandbox(), str):
        say(f"tier T1 is not measured: {sandbox}")
    else:
        tiers.append(IsolationTier.T1)
    measured = []
    for tier in tiers:
        for stream in ("stdout", "stderr"):
            name = f"1 GiB on {stream}, no newline"
            say(f"         {name} ({tier})")
            _, grown = _run(_FLOOD.format(stream), tier, FLOOD_BUDGET_SECONDS)
            measured.append(Misbehaviour(name, tier, None, grown))
        name = "ignores SIGTERM, detaches a child"
        say(f"         {name} ({tier})")
        seconds, grown = _run(_STUBBORN, tier, BUDGET_SECONDS)
        over = seconds - BUDGET_SECONDS - KILL_GRACE_SECONDS
        measured.append(Misbehaviour(name, tier, over, grown))
    return measured


def _run(source: str, tier: IsolationTier, budget_seconds: float) -> tuple[float, float]:
    """Return the seconds until none of its processes was alive, and the agent's growth in MiB."""
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
