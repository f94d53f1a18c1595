"""Progress points on their way from a script's stderr to the next heartbeat."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from workers.protocol import MAX_PROGRESS_POINTS_PER_HEARTBEAT, ProgressPoint, is_number


class ProgressBuffer:
    """Numbers a run's points and keeps the newest until a heartbeat has delivered them.

    Thread-safe: the stderr reader writes it, and the heartbeat reads it. When the server is away
    for long, the oldest points are dropped; their numbers stay used, so that the gap is visible.
    Lines that break the contract are counted, so that somebody can be told why there is no curve.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._points: deque[ProgressPoint] = deque(maxlen=MAX_PROGRESS_POINTS_PER_HEARTBEAT)
        self._next_seq = 0
        self.last_step = 0
        self._unusable_lines = 0
        self._first_problem = ""
        # Called with each point, in the thread that reads stderr.
        self.on_point: Callable[[ProgressPoint], None] | None = None

    def add_line(self, line: Mapping[str, Any] | None) -> None:
        """Keep one progress line of the script; only count one that breaks the contract."""
        if line is None or line.get("event") != "progress":
            return
        elapsed, step = line.get("elapsed_seconds"), _count(line.get("step"))
        problem = ""
        if not _is_duration(elapsed):
            problem = "elapsed_seconds must be a number of at least 0"
        elif step is None:
            problem = "step must be a whole number"
        with self._lock:
            if problem or step is None:
                self._unusable_lines += 1
                self._first_problem = self._first_problem or problem
                return
            point: ProgressPoint = {
                "seq": self._next_seq,
                "elapsed_seconds": elapsed,  # type: ignore[typeddict-item]
                "step": step,
                "tokens": _count(line.get("tokens")),
                "train_loss": _number_or_none(line.get("train_loss")),
                "val_bpb": _number_or_none(line.get("val_bpb")),
            }
            self._points.append(point)
            self._next_seq += 1
            self.last_step = step
        if self.on_point is not None:
            self.on_point(point)

    def problem(self) -> str:
        """Say why there is no learning curve although there was progress; "" otherwise."""
        with self._lock:
            if self._next_seq or not self._unusable_lines:
                return ""
            count, reason = self._unusable_lines, self._first_problem
        return f"no learning curve: {count:,} progress line(s) could not be used, {reason}"

    def pending(self) -> list[ProgressPoint]:
        """Return the points that no heartbeat has delivered yet, oldest first."""
        with self._lock:
            return list(self._points)

    def delivered(self, points: list[ProgressPoint]) -> None:
        """Forget ``points``, which the server has taken."""
        if not points:
            return
        last = points[-1]["seq"]
        with self._lock:
            while self._points and self._points[0]["seq"] <= last:
                self._points.popleft()


def _is_duration(value: object) -> bool:
    return _number_or_none(value) is not None and value >= 0  # type: ignore[operator]


def _count(value: object) -> int | None:
    """Return a counter as a whole number, also one written as 10.0; None for anything else."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63:
        return value
    return None


def _number_or_none(value: object) -> float | None:
    if isinstance(value, int) and abs(value) >= 2**63:  # too large for a database column
        return None
    return value if is_number(value) else None  # type: ignore[return-value]
