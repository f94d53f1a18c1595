"""The config that a run's script reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workers.agent.attempt import Attempt
from workers.protocol import Lease


def run_config(attempt: Attempt) -> dict[str, Any]:
    """Return the flat config that the script reads: the lease's, with its budget and data set."""
    lease = attempt.lease
    pinned: Mapping[str, Any] = {
        "time_budget_seconds": lease["time_budget_seconds"],
        "dataset": lease["dataset"]["name"],
        "dataset_sha256": lease["dataset"]["sha256"],
    }
    return {**lease["config"], **pinned}


def max_steps(lease: Lease) -> int | None:
    """Return the number of steps after which the script has only to exit; None without one."""
    steps = lease["config"].get("max_steps")
    return steps if isinstance(steps, int) and not isinstance(steps, bool) and steps > 0 else None
