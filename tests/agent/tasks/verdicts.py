"""Helpers of the tests of judgements: a run that is judged, real or made up."""

from __future__ import annotations

import dataclasses
import json
import sys
import uuid
from pathlib import Path
from typing import Any

from experiments.metrics import bits_per_byte
from workers.agent.attempt import StopRequest
from workers.agent.running.environment import script_environment
from workers.agent.running.execution import Ending, Execution, Limits, execute
from workers.agent.tasks.judgement import judge
from workers.protocol import Submission

LIMITS = Limits(time_budget_seconds=20.0, kill_grace_seconds=5.0, memory_bytes=2**32)
SOUND: dict[str, Any] = {
    "val_bpb": bits_per_byte(200.0, 100),
    "train_loss": 2.0,
    "steps_completed": 10,
    "wall_time_seconds": 1.0,
    "device_used": "cpu",
    "model_params": 1000,
    "eval_nll_nats": 200.0,
    "eval_bytes": 100,
    "eval_tokens": 100,
    "tokens_trained": 1000,
    "dataset_sha256": "ab" * 32,
    "seed": 42,
    "stop_reason": "time",
}
LINE = json.dumps(SOUND)


def verdict_on(folder: Path, source: str, **limits: Any) -> Submission:
    """Run ``source`` as a script and return what the agent would submit."""
    applied = dataclasses.replace(LIMITS, **limits)
    path = folder / "script.py"
    path.write_text(f"import os, signal, sys\nLINE = {LINE!r}\n{source}\n")
    execution = execute(
        [sys.executable, "-u", str(path)],
        tag=f"test/{uuid.uuid4()}",
        environment=script_environment(folder, folder),
        folder=folder,
        limits=applied,
        stop=StopRequest(),
    )
    return judge(execution, applied)


def ended(**changes: Any) -> Execution:
    """Return a run that ended well, apart from ``changes``."""
    sound: dict[str, Any] = {
        "ending": Ending.EXITED,
        "exit_code": 0,
        "wall_time_seconds": 1.0,
        "result": SOUND,
        "stderr_tail": "",
    }
    return Execution(**(sound | changes))
