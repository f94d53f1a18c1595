"""A thousand agents return at once: jitter in the waits that the server sends spreads them.

The tests run in virtual time, with the real waits of agents and server. `make chaos` does the same
with real servers.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from campaigns.answers.leases import idle_wait_seconds
from tests.chaos.herd import Wave, arrivals_in_theory, wave

AGENTS = 1_000
PEAK = 3.0
SEED = int(os.environ.get("XEENET_CHAOS_SEED", "") or random.randrange(10_000))


def wave_after(outage_seconds: float, idle_seconds: float, idle_wait: Callable[[], float]) -> Wave:
    """Simulate one outage, after ten waits in which the agents have reached their steady pace."""
    random.seed(SEED)  # the jitter of agents and server
    outage = (10 * idle_seconds, 10 * idle_seconds + outage_seconds)
    end = outage[1] + 100.0
    arrivals = arrivals_in_theory(AGENTS, outage, end, idle_wait, random.Random(SEED))
    return wave(
        AGENTS,
        arrivals,
        outage,
        since=5 * idle_seconds,
        idle_seconds=idle_seconds,
        moment_seconds=0.5,
    )


@pytest.mark.parametrize("idle_seconds", [3.0, 30.0])
@pytest.mark.parametrize("outage_seconds", [2.0, 10.0, 20.0, 60.0, 600.0])
def test_after_an_outage_the_busiest_moment_has_at_most_three_times_the_steady_load(
    outage_seconds: float, idle_seconds: float, settings: Any
) -> None:
    settings.XEENET = settings.XEENET | {"IDLE_WAIT_SECONDS": idle_seconds}
    returned = wave_after(outage_seconds, settings.XEENET["IDLE_WAIT_SECONDS"], idle_wait_seconds)
    assert returned.ratio <= PEAK, f"XEENET_CHAOS_SEED={SEED}: {returned}"


def test_agents_started_in_step_fall_out_of_it_by_the_jitter_of_the_servers_waits(
    settings: Any,
) -> None:
    idle_seconds = settings.XEENET["IDLE_WAIT_SECONDS"]
    assert wave_after(0.0, idle_seconds, idle_wait_seconds).ratio <= PEAK / 2
    assert wave_after(0.0, idle_seconds, lambda: idle_seconds).ratio > PEAK


def test_agents_started_in_step_without_a_server_come_back_apart(settings: Any) -> None:
    random.seed(SEED)
    arrivals = arrivals_in_theory(AGENTS, (0.0, 20.0), 60.0, idle_wait_seconds, random.Random(SEED))
    after = Counter(int(2 * at) for at in arrivals if at >= 20.0)
    steady_per_second = AGENTS / settings.XEENET["IDLE_WAIT_SECONDS"]
    assert 2 * max(after.values()) <= PEAK * steady_per_second, f"XEENET_CHAOS_SEED={SEED}"
