"""The config that a run's script reads, and the files in which script and config are placed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workers.agent.attempt import Attempt
from workers.agent.tasks.outcomes import log_step
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


def write_inputs(attempt: Attempt, folder: Path, source: bytes) -> tuple[Path, Path]:
    """Write the verified script and its config into the task folder; return both paths."""
    config = run_config(attempt)
    log_step(
        attempt,
        3,
        "config: seed %s, budget %g s, data set %s",
        config.get("seed"),
        config["time_budget_seconds"],
        config["dataset"],
    )
    folder.mkdir(parents=True, exist_ok=True)
    script, config_file = folder / "script.py", folder / "config.json"
    script.write_bytes(source)  # the verified bytes themselves, not a second read of the file
    config_file.write_text(json.dumps(config))
    return script, config_file
