"""Waiting between tries against a server that does not answer."""

from __future__ import annotations

import random


class Backoff:
    """Exponential waits with jitter, for loops that may be interrupted while they wait."""

    def __init__(self, first_seconds: float = 1.0, most_seconds: float = 30.0) -> None:
        self._usual_first_seconds = first_seconds
        self._first_seconds = first_seconds
        self._most_seconds = most_seconds
        self._failures = 0

    def next_wait(self, retry_after_seconds: float | None = None) -> float:
        """Return the seconds to wait after one more failure, at least what the server asked for."""
        longest = min(self._most_seconds, self._first_seconds * 2.0 ** min(self._failures, 16))
        self._failures += 1
        wait = random.uniform(0.5, 1.0) * longest
        return max(wait, (retry_after_seconds or 0.0) * random.uniform(1.0, 1.1))

    def reset(self, pace_seconds: float = 0.0) -> None:
        """Start over after a success.

        `pace_seconds` is what the server asked the caller to wait between two calls. A failure
        must not make it call more often than that: a thousand idle agents that try every second
        while their server is away are a flood when it returns.
        """
        self._failures = 0
        self._first_seconds = max(self._usual_first_seconds, pace_seconds)
