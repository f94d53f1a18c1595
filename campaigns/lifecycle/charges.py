"""What this process handed out of each campaign and has not written to the accounts yet.

An account changes with nearly every claim, and a row that all claims wait for would take them one
after the other. So a claim's charges are summed here after its commit, count at once for the claims
of this process, and are folded into the rows a few times a second. A process that is killed loses
what it had not folded: a few tasks' worth of fairness, nothing else.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections.abc import Mapping
from typing import Final

from django.db import DatabaseError, transaction
from django.db.models import F

from campaigns.models import Campaign, Share

logger = logging.getLogger(__name__)

FOLDED_EVERY_SECONDS: Final = 0.2


class Charges:
    """Virtual seconds by campaign; any thread may call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._folds = threading.Lock()
        self._summed: dict[int, float] = {}
        # What is being written: it counts until the rows have it.
        self._writing: dict[int, float] = {}
        self._folded_at = time.monotonic()

    def add(self, charges: Mapping[int, float]) -> None:
        """Charge campaigns; write the sums to their rows if that was not done lately."""
        with self._lock:
            for campaign, seconds in charges.items():
                self._summed[campaign] = self._summed.get(campaign, 0.0) + seconds
        if time.monotonic() - self._folded_at >= FOLDED_EVERY_SECONDS:
            self.fold()

    def outstanding(self) -> Mapping[int, float]:
        """Return what is to be added to the accounts that the rows have."""
        with self._lock:
            outstanding = dict(self._summed)
            for campaign, seconds in self._writing.items():
                outstanding[campaign] = outstanding.get(campaign, 0.0) + seconds
        return outstanding

    def fold(self) -> None:
        """Write the sums to the rows, unless a thread does; what cannot be written is lost."""
        if not self._folds.acquire(blocking=False):
            return
        try:
            with self._lock:
                self._writing, self._summed = self._summed, {}
            self._folded_at = time.monotonic()
            if self._writing:
                _write(self._writing)
        except DatabaseError:
            logger.exception("the accounts of %d campaigns were not charged", len(self._writing))
        finally:
            with self._lock:
                self._writing = {}
            self._folds.release()

    def clear(self) -> None:
        """Forget everything, as a process that is killed does."""
        with self._lock:
            self._summed.clear()


def _write(charges: Mapping[int, float]) -> None:
    # In the order of their keys, so that two processes cannot wait for each other.
    with transaction.atomic():
        for campaign, seconds in sorted(charges.items()):
            row = Share.objects.filter(pk=campaign)
            if not row.update(account=F("account") + seconds):
                Share.objects.make(Campaign.objects.filter(pk=campaign))
                row.update(account=F("account") + seconds)


# Of this process.
CHARGES: Final = Charges()
atexit.register(CHARGES.fold)
