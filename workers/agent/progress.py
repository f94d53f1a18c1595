"""Progress points on their way from a script's stderr to the next heartbeat."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from typing import Any

from workers.protocol import MAX_PROGRESS_POINTS_PER_HEARTBEAT, ProgressPoint, is_number


class ProgressBuffer:
    """Numbers a run's points and keeps the newest until a heartbeat has delivered them.

    Thread-safe: the stderr reader writes it, and the heartbeat reads it. When the server is away
    for long, the oldest points are dropped; their numbers stay used, so that the gap is visible.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._points: deque[ProgressPoint] = deque(maxlen=MAX_PROGRESS_POINTS_PER_HEARTBEAT)
        self._next_seq = 0

    def add_line(self, line: Mapping[str, Any] | None) -> None:
        """Keep one progress line of the script; ignore a line that breaks the contract."""
        if line is None or line.get("event") != "progress":
            return
        elapsed, step = line.get("elapsed_seconds"), line.get("step")
        if not _is_duration(elapsed) or not _is_count(step):
            return
        with self._lock:
            self._points.append(
                {
                    "seq": self._next_seq,
                    "elapsed_seconds": elapsed,  # type: ignore[typeddict-item]
                    "step": step,  # type: ignore[typeddict-item]
                    "tokens": line.get("tokens") if _is_count(line.get("tokens")) else None,
                    "train_loss": _number_or_none(line.get("train_loss")),
                    "val_bpb": _number_or_none(line.get("val_bpb")),
                }
            )
            self._next_seq += 1

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


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _number_or_none(value: object) -> float | None:
    if isinstance(value, int) and abs(value) >= 2**63:  # too large for a database column
        return None
    return value if is_number(value) else None  # type: ignore[return-value]
