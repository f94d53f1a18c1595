"""How long an agent works: until a time of its own, and so long without work."""

from __future__ import annotations

import math
import time
from typing import Final

from workers.agent.status.words import span

# At the end, to deliver results and to say good-bye; of a short life no more than this share.
_RESERVE_SECONDS: Final = 10.0
_RESERVE_SHARE: Final = 0.1


class Lifetime:
    """Counts from its making, by the monotonic clock; None sets no bound. For one thread."""

    def __init__(
        self, most_seconds: float | None = None, idle_seconds: float | None = None
    ) -> None:
        most = math.inf if most_seconds is None else most_seconds
        self._most_seconds = most
        self._ends_at = time.monotonic() + most
        self._idle_seconds = math.inf if idle_seconds is None else idle_seconds
        self._idle_since: float | None = None
        # A task must be over by then.
        self.tasks_end_by = self._ends_at - (
            0.0 if most == math.inf else min(_RESERVE_SECONDS, _RESERVE_SHARE * most)
        )

    @property
    def is_over(self) -> bool:
        """Whether the agent should have ended by now."""
        return time.monotonic() >= self._ends_at

    def room(self, wait_seconds: float = 0.0) -> float:
        """Return the seconds that a task may take which begins in ``wait_seconds``."""
        return self.tasks_end_by - time.monotonic() - wait_seconds

    def exhaust(self) -> None:
        """Begin no task any more: the server may have none that is short enough."""
        self.tasks_end_by = min(self.tasks_end_by, time.monotonic())

    def patience(self) -> float:
        """Return for how many seconds an agent without work still waits."""
        idle = 0.0 if self._idle_since is None else time.monotonic() - self._idle_since
        return max(0.0, min(self._idle_seconds - idle, self.room()))

    def why_over(self, *, is_idle: bool) -> str:
        """Return why the agent ends now, "" while it works on. ``is_idle``: it has no work now."""
        now = time.monotonic()
        if not is_idle:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = now
        if self.is_over or (is_idle and now >= self.tasks_end_by):
            return f"no time is left of the {span(self._most_seconds)} it may live"
        if self._idle_since is not None and now - self._idle_since >= self._idle_seconds:
            return f"nothing ran here for {span(self._idle_seconds)}"
        return ""
