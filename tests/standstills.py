"""How long this machine stood still: no fault of the product in a test that bounds a time."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Final

# A thread that wakes so much too late says that the machine stood still.
LEAST_SECONDS: Final = 0.1
TICK_SECONDS: Final = 0.02


class Standstills:
    """The time in which not even a sleeping thread of this process was let run, while watched.

    What keeps Python's lock counts, too: a test of this process' own computing bounds its CPU time.
    """

    seconds = 0.0

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        over = threading.Event()

        def watch() -> None:
            before = time.monotonic()
            while not over.wait(TICK_SECONDS):
                now = time.monotonic()
                late = now - before - TICK_SECONDS
                before = now
                if late >= LEAST_SECONDS:
                    self.seconds += late

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Assert that the block took less, apart from the time in which this machine stood still."""
    standstills, began = Standstills(), time.monotonic()
    with standstills.watched():
        yield
    took = time.monotonic() - began
    assert took < seconds + standstills.seconds, f"{took:.1f} s, of {seconds:g} s allowed"
