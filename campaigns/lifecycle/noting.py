"""What follows from a stored result, at once or a moment later: charts, races, ends, notifications.

A request that stores a result need not wait for it while the campaign goes on anyway. In a web
server process a thread does it, once for all results of a campaign that came within its interval;
`start` says so. Everywhere else (commands, jobs, tests) it is done at once. What a process that
dies has not noted is noted by jobs: `endings.note_missed_results` and the sweeps beside it.
"""

from __future__ import annotations

import atexit
import datetime as dt
import logging
import os
import threading
from typing import Final

from django.db import InterfaceError, OperationalError, close_old_connections, connection

from campaigns.clock import database_now
from campaigns.lifecycle.endings import note_ended_task
from campaigns.notifications import events

logger = logging.getLogger(__name__)

INTERVAL_SECONDS: Final = 0.2
# Between two tries while the database is away, at most.
LONGEST_WAIT_SECONDS: Final = 5.0
# After so long without results the thread gives its connection back.
_IDLE_SECONDS: Final = 5.0
# So long the end of the process waits for what is not noted yet.
_CLOSING_SECONDS: Final = 5.0
_AWAY: Final = (OperationalError, InterfaceError)


def note_result(campaign_id: int, *, now: dt.datetime) -> None:
    """Note that tasks of the campaign got results; call it after the commit."""
    note_ended_task(campaign_id, now=now)
    # Last: a notification that fails must not cost the rest.
    events.note_new_best(campaign_id, now=now)


def note_soon(campaign_id: int, *, now: dt.datetime) -> None:
    """Do as `note_result`, in the thread of this process if it has one; call it after the commit.

    For a result for which nothing waits: another task of the campaign is open, and no race runs.
    """
    if _noter is None or not _noter.add(campaign_id):
        note_result(campaign_id, now=now)


def start() -> None:
    """Let a thread note results from now on. It begins with the first one, so after a fork."""
    global _noter  # noqa: PLW0603 - one for the process
    if _noter is None:
        _noter = Noter()
        atexit.register(_noter.close)
        os.register_at_fork(after_in_child=_noter.forget)


class Noter:
    """A thread that notes the results of campaigns, each campaign once for many results."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin without campaigns and thread: those of a forked process are its parent's."""
        self._changed = threading.Condition()
        # In the order in which they are noted; a dict, because a set has none.
        self._campaigns: dict[int, None] = {}
        self._thread: threading.Thread | None = None
        self._is_closed = False
        self._is_failing = False

    def add(self, campaign_id: int) -> bool:
        """Let the thread note a campaign's results; return False when it takes none any more."""
        with self._changed:
            if self._is_closed:
                return False
            self._campaigns[campaign_id] = None
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="noter", daemon=True)
                self._thread.start()
            self._changed.notify()
        return True

    def close(self) -> None:
        """Note what is left, and end the thread; return when that is done, or takes too long."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(_CLOSING_SECONDS)

    def _run(self) -> None:
        wait = INTERVAL_SECONDS
        while campaigns := self._next(wait):
            left = self._note(campaigns)
            with self._changed:
                # After those that came meanwhile, so that one which fails does not stop the others.
                self._campaigns |= dict.fromkeys(left)
                if self._is_closed and left:
                    break
            wait = min(2 * wait, LONGEST_WAIT_SECONDS) if left else INTERVAL_SECONDS
        connection.close()

    def _next(self, wait_seconds: float) -> list[int]:
        """Return the campaigns that are due after this time; [] when the thread is to end."""
        with self._changed:
            while not self._campaigns and not self._is_closed:
                if not self._changed.wait(_IDLE_SECONDS):
                    connection.close()
            # More results come; one note does for all of them.
            self._changed.wait_for(lambda: self._is_closed, wait_seconds)
            campaigns, self._campaigns = list(self._campaigns), {}
        return campaigns

    def _note(self, campaigns: list[int]) -> list[int]:
        """Note the results of the campaigns; return those that the database did not let it note."""
        close_old_connections()
        for place, campaign_id in enumerate(campaigns):
            try:
                note_result(campaign_id, now=database_now())
            except _AWAY as error:
                if not self._is_failing:
                    logger.warning("results are not noted yet, trying on: %s", error)
                self._is_failing = True
                return [*campaigns[place + 1 :], campaign_id]
            except Exception:
                # A job notes it, too; it must not keep the others waiting.
                logger.exception("the results of campaign %s were not noted", campaign_id)
        self._is_failing = False
        return []


_noter: Noter | None = None
