"""A metric beside val_bpb, of which more is better. It lives in the tests only.

Code that takes name, unit, direction or decimals from anywhere but the campaign's spec says
something wrong about it.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from campaigns.models import Task
from experiments import catalog, metrics
from experiments.metrics import Direction, MetricSpec
from tests import factories
from workers.protocol import Submission

EXPERIMENT = "char_lm_speed"
# Of the runs in a campaign of it: the best is neither the first nor the last.
SPEEDS = (400.0, 300.5, 640.0, 512.25)


def _per_second(tokens: int, seconds: float) -> float:
    return tokens / seconds


TOKENS_PER_SECOND = MetricSpec(
    name="tokens_per_second",
    version=3,
    title="tokens trained per second",
    unit="tokens/s",
    direction=Direction.MAXIMIZE,
    decimals=1,
    counters=("tokens_trained", "wall_time_seconds"),
    formula=_per_second,
    low=0.0,
    high=1e9,
    tolerance=0.1,
    usual=(0.0, 100_000.0),
)


def register(patch: pytest.MonkeyPatch) -> None:
    """Add the metric, and an experiment that is ranked by it, until the patch is undone."""
    original = catalog.get("train_char_lm")
    key = (TOKENS_PER_SECOND.name, TOKENS_PER_SECOND.version)
    patch.setitem(metrics._METRICS, key, TOKENS_PER_SECOND)
    patch.setitem(
        catalog._EXPERIMENTS,
        EXPERIMENT,
        dataclasses.replace(original, name=EXPERIMENT, metric_spec=TOKENS_PER_SECOND),
    )


def completed(task: Task, speed: float, **changes: Any) -> Submission:
    """Return the submission of a run with this many tokens per second, and a val_bpb beside it."""
    seconds = 8.0
    line = {"tokens_per_second": speed, "wall_time_seconds": seconds}
    line |= {"tokens_trained": round(seconds * speed)}
    return factories.completed(task, **(line | changes))
