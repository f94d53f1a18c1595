"""Waits between retries while the server does not answer."""

from __future__ import annotations

import random


class Backoff:
    """Exponential backoff with jitter. The caller does the waiting, so it can be interrupted."""

    def __init__(self, first_seconds: float = 1.0, most_seconds: float = 30.0) -> None:
        self._usual_first_seconds = first_seconds
        self._first_seconds = first_seconds
        self._most_seconds = most_seconds
        self._failures = 0

    def next_wait(self, retry_after_seconds: float | None = None) -> float:
        """Return the seconds to wait after another failure, at least ``retry_after_seconds``."""
        longest = min(self._most_seconds, self._first_seconds * 2.0 ** min(self._failures, 16))
        self._failures += 1
        wait = random.uniform(0.5, 1.0) * longest
        return max(wait, (retry_after_seconds or 0.0) * random.uniform(1.0, 1.1))

    def reset(self, pace_seconds: float = 0.0) -> None:
        """Start over after a success.

        ``pace_seconds`` is the wait between two calls that the server asked for. Retries after a
        failure must not be more frequent: a thousand idle agents that retry every second while
        their server is away would flood it when it returns.
        """
        self._failures = 0
        self._first_seconds = max(self._usual_first_seconds, pace_seconds)
