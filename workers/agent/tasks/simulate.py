"""Simulated metrics for machines without torch: invented, and only good for testing the system.

Every submission made from them says ``simulated: true``, and the server never ranks it.
"""

from __future__ import annotations

import hashlib
import json
import random
import time
from typing import Any, Final

from experiments import catalog
from experiments.metrics import bits_per_byte
from workers.agent.attempt import Attempt
from workers.agent.status.model import Phase
from workers.agent.tasks.outcomes import RunOutcome, stopped
from workers.protocol import Lease, Outcome

MAX_SIMULATED_SECONDS: Final = 1.0
_BUDGET_SHARE: Final = 1 / 20
_NATS_AT_START: Final = 4.2  # about ln(65): an untrained model over TinyShakespeare's characters


def simulate(attempt: Attempt) -> RunOutcome:
    """Return an invented result, for machines without torch."""
    budget = attempt.lease["time_budget_seconds"]
    attempt.enter(Phase.TRAINING)
    started_at = time.monotonic()
    attempt.begin()
    if attempt.stop.wait(simulated_seconds(budget)):
        return stopped(attempt)
    return RunOutcome(
        submission={
            "outcome": Outcome.COMPLETED,
            "metrics": simulated_metrics(attempt.lease),
            "simulated": True,
            "wall_time_seconds": round(time.monotonic() - started_at, 3),
            "message": "simulated: this worker has no torch",
        }
    )


def simulated_seconds(time_budget_seconds: float) -> float:
    """Return how many seconds a simulated run takes: short, but long enough to be seen running."""
    return min(MAX_SIMULATED_SECONDS, time_budget_seconds * _BUDGET_SHARE)


def simulated_metrics(lease: Lease) -> dict[str, Any]:
    """Return a result line that fits the lease's contract, the same line for the same config."""
    config = lease["config"]
    text = json.dumps(config, sort_keys=True, default=str)
    rng = random.Random(hashlib.sha256(text.encode()).digest())
    eval_bytes = _eval_bytes(lease)
    eval_nll_nats = rng.uniform(1.7, 2.6) * eval_bytes
    layers, width = _count(config, "n_layers", 2), _count(config, "d_model", 64)
    steps = _count(config, "max_steps", rng.randrange(200, 2_000))
    batch_tokens = _count(config, "batch_size", 32) * _count(config, "context_length", 128)
    return {
        "val_bpb": round(bits_per_byte(eval_nll_nats, eval_bytes), 6),
        "train_loss": round(min(_NATS_AT_START, eval_nll_nats / eval_bytes * 0.97), 6),
        "steps_completed": steps,
        "wall_time_seconds": simulated_seconds(lease["time_budget_seconds"]),
        "device_used": "simulated",
        "model_params": layers * (4 * width * width + 2 * width * _count(config, "d_ff", 256)),
        "eval_nll_nats": eval_nll_nats,
        "eval_bytes": eval_bytes,
        "eval_tokens": eval_bytes,
        "tokens_trained": steps * batch_tokens,
        "dataset": lease["dataset"]["name"],
        "dataset_sha256": lease["dataset"]["sha256"],
        "seed": _count(config, "seed", 0),
        "stop_reason": "simulated",
    }


def _eval_bytes(lease: Lease) -> int:
    """Return the denominator that an honest run over this data set would have."""
    size_bytes = lease["dataset"]["size_bytes"]
    try:
        return max(1, catalog.get(lease["code_package_ref"]).eval_bytes_allowed(size_bytes)["full"])
    except catalog.UnknownExperiment:
        return max(1, size_bytes // 10)


def _count(config: dict[str, Any], key: str, default: int) -> int:
    value = config.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else default
