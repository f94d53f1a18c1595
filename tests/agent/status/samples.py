"""States of an agent for the tests of its faces."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from workers.agent.status.model import (
    Delivery,
    EndedTask,
    Ending,
    Identity,
    Metric,
    Phase,
    RunningTask,
    Status,
)

NOW: Final = 1_800_000_000.0
METRIC: Final = Metric("val_bpb", "bits/byte", 4)
WHO: Final = Identity(
    version="0.1.0",
    pid=4711,
    start_mark="boot/1",
    started_at=NOW - 3 * 3600,
    name="attic",
    server="https://lab.example.org",
    tier="T1",
    devices=("cpu",),
    device_name="A processor",
    cpus=8,
    threads=2,
    memory_bytes=4 * 2**30,
)
READY: Final = Status(WHO, setting_up="")


def running(**fields: Any) -> RunningTask:
    """Return a task of 60 s that has trained for 41 s."""
    task = RunningTask(
        lease_id="a" * 32,
        number="3/17",
        campaign_id=3,
        campaign="LR schedule",
        metric=METRIC,
        budget_seconds=60.0,
        claimed_at=NOW - 45,
        params={"n_layers": 4, "lr": 0.003},
        seed=7,
        phase=Phase.TRAINING,
        trained_since=NOW - 41,
        step=410,
        value=3.12,
    )
    return replace(task, **fields)


def ended(lease_id: str = "a" * 32, **fields: Any) -> EndedTask:
    """Return a completed task whose result is on its way."""
    task = EndedTask(
        lease_id=lease_id,
        number="3/17",
        ending=Ending.COMPLETED,
        ended_at=NOW,
        campaign_id=3,
        campaign="LR schedule",
        metric=METRIC,
        value=2.42524,
        seconds=60.2,
        delivery=Delivery.SENDING,
    )
    return replace(task, **fields)
