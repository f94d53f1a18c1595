"""How many agents the server wants, and how many of them are missing here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from workers.protocol import FleetDemand, FleetNeed

# A machine with such a device also takes the tasks that run anywhere.
ANY_DEVICE: Final = "any"
DEVICES: Final = ("cpu", "cuda", "mps")


@dataclass(frozen=True)
class Wanted:
    """What the agents that an adapter starts have to do: tasks, workers wanted, workers live."""

    tasks: int  # claimable or leased
    workers: int
    live: int


@dataclass(frozen=True)
class Jobs:
    """The jobs of this fleet that an engine has: those that wait, and those that run."""

    queued: int
    running: int


def wanted_of(demand: FleetDemand, *, slots: int = 1, device: str = "") -> Wanted:
    """Return what is wanted of agents with so many slots each, on machines with this device.

    Without a device it is everything that the server has for this fleet token. With one, only the
    needs that such a machine can serve count.
    """
    if not device:
        tasks = demand["claimable"] + demand["leased"]
        workers, live = demand["wanted_workers"], demand["live_workers"]
    else:
        needs = _needs_for(demand["needs"], device)
        tasks = sum(need["claimable"] + need["leased"] for need in needs)
        workers = sum(need["wanted_workers"] for need in needs)
        live = max((need["live_workers"] for need in needs), default=0)
    return Wanted(tasks, min(workers, -(-tasks // slots), demand["max_live"]), live)


def missing(wanted: Wanted, jobs: Jobs) -> int:
    """Return how many jobs to submit.

    A running job whose agent has not enrolled yet is not live, and a live worker may belong to
    another engine: whichever count is larger is believed, so that no job is submitted twice.
    """
    return max(0, wanted.workers - max(wanted.live, jobs.running) - jobs.queued)


def _needs_for(needs: Sequence[FleetNeed], device: str) -> list[FleetNeed]:
    return [need for need in needs if need["device"] in {device, ANY_DEVICE}]
