"""The spares of this agent: a long-lived thread for each slot keeps one, while one is wanted.

The kernel ends what a thread has started, where that asked for it, with the thread. So a slot's
thread lives as long as the agent. Spares exist on Linux only. Without one a task starts cold: that
takes seconds of its budget, but nothing else.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from workers.agent.attempt import StopReason, StopRequest
from workers.agent.backoff import Backoff
from workers.agent.running.memory_left import available_bytes
from workers.agent.running.spare import READY_SECONDS, Spare, SpareFailed, SpareRecipe

_MIB: Final = 1024 * 1024
# A spare takes about 250 MiB, with a CUDA build of torch up to 1 GiB. It is a comfort: it must not
# push anything out of memory.
LEAST_TO_START_BYTES: Final = 2048 * _MIB
LEAST_TO_KEEP_BYTES: Final = 1024 * _MIB
IDLE_SECONDS: Final = 30 * 60.0
_LOOK_SECONDS: Final = 5.0
_LITTLE_MEMORY: Final = f"less than {LEAST_TO_START_BYTES // _MIB:,} MiB of memory are left"
_RETRY_SECONDS: Final = (60.0, 3600.0)  # after a spare that failed, first and longest
_TAKE_SECONDS: Final = 20.0  # for a spare whose import is under way: no longer than a cold start

log = logging.getLogger("xeenet.spares")


@dataclass(frozen=True)
class SpareSettings:
    """Where spares work and what they are made of; ``recipe`` returns None where none can be."""

    work: Path
    tag_prefix: str
    recipe: Callable[[], SpareRecipe | None]
    available_bytes: Callable[[], int | None] = available_bytes
    idle_seconds: float = IDLE_SECONDS


class Spares:
    """Thread-safe. ``why_cold`` says why tasks start cold now, "" when they do not.

    ``on_change`` is called when that changes. ``stuck_tags`` are those of spares that could not be
    killed.
    """

    def __init__(self, settings: SpareSettings) -> None:
        self.why_cold = "" if sys.platform == "linux" else "spares exist on Linux only"
        self.on_change: Callable[[str], None] = lambda _: None
        self.stuck_tags: set[str] = set()
        self._settings = settings
        self._slots: list[_Slot] = []
        self._wanted = 0
        self._data: Path | None = None
        self._is_closed = False
        self.changed = threading.Condition()

    @property
    def ready(self) -> list[Spare]:
        """The spares that have imported torch and that nobody has taken."""
        with self.changed:
            return [slot.spare for slot in self._slots if slot.spare is not None]

    def want(self, count: int, data: Path | None = None) -> None:
        """Keep as many spares from now on; more that are there already stay.

        ``data`` is the data set of a task that is claimed already.
        """
        with self.changed:
            if self._is_closed or sys.platform != "linux" or (count, data) == self._now():
                return
            self._wanted, self._data = count, data
            while len(self._slots) < count:
                self._slots.append(_Slot(self, self._settings, len(self._slots)))
            for slot in self._slots:
                slot.wake.set()

    def rest(self) -> None:
        """End all spares, and start none until one is wanted again: the owner wants the machine."""
        with self.changed:
            self._wanted, self._data = 0, None
            for slot in self._slots:
                slot.rest()

    def close(self) -> None:
        """End all spares for good. Returns when they are gone, or cannot be killed."""
        with self.changed:
            self._is_closed = True
        self.rest()
        for slot in self._slots:
            slot.close()
        for slot in self._slots:
            slot.join(READY_SECONDS)

    def take(
        self,
        recipe: SpareRecipe,
        fits: Callable[[Spare], bool],
        stop: StopRequest,
        seconds: float = _TAKE_SECONDS,
    ) -> Spare | None:
        """Return a spare that can take a task of this recipe, now its caller's; None without any.

        ``fits`` says whether it can have the task's data. Waits for one whose import is under way:
        that began earlier than a cold start would.
        """
        end = time.monotonic() + seconds
        with self.changed:
            while True:
                for slot in self._slots:
                    if (spare := slot.spare) is None:
                        continue
                    slot.spare = None
                    if spare.is_usable(recipe) and fits(spare):
                        return spare
                    slot.discard(spare)
                is_coming = any(slot.is_starting for slot in self._slots)
                left = end - time.monotonic()
                if not is_coming or left <= 0 or stop.requested:
                    return None
                self.changed.wait(min(left, 0.2))

    def may_start(self) -> bool:
        """Return whether a slot's thread should start a spare now."""
        with self.changed:
            held = sum(slot.spare is not None or slot.is_starting for slot in self._slots)
            return held < self._wanted and not self._is_closed

    def data(self) -> Path | None:
        """Return the data set of the task that is claimed already, None without such a task."""
        return self._data

    def note(self, why_cold: str) -> None:
        """Tell whoever shows it why tasks start cold, "" when they do not."""
        if why_cold != self.why_cold:
            self.why_cold = why_cold
            self.on_change(why_cold)

    def end(self, spare: Spare, *, keeps_folder: bool = False) -> None:
        """End a spare, and note when it cannot be killed."""
        if spare.end(keeps_folder=keeps_folder):
            log.warning("a spare could not be killed: its task slot waits for that")
            self.stuck_tags.add(spare.tag)

    def _now(self) -> tuple[int, Path | None]:
        return self._wanted, self._data


class _Slot(threading.Thread):
    """Starts the spares of one slot, and ends those that are not to be used any more."""

    def __init__(self, spares: Spares, settings: SpareSettings, number: int) -> None:
        super().__init__(name=f"spare-{number}", daemon=True)
        self.spare: Spare | None = None  # ready; guarded by `Spares.changed`
        self.is_starting = False
        self.wake = threading.Event()
        self._spares = spares
        self._settings = settings
        self._request = StopRequest()
        self._discarded: list[Spare] = []
        self._backoff = Backoff(*_RETRY_SECONDS)
        self._retry_at = 0.0
        self._is_closed = False
        self.start()

    def run(self) -> None:
        """Look after the spare until `close`."""
        while not self._is_closed:
            try:
                self._look()
            except Exception:  # a bug must not end warm starts for good
                log.exception("a spare was lost, trying on")
                self._retry_at = time.monotonic() + self._backoff.next_wait()
            self.wake.wait(_LOOK_SECONDS)
            self.wake.clear()
        self._end_discarded()

    def rest(self) -> None:
        """Give up the spare, also one that is being started. Call with the lock."""
        self._request.request(StopReason.OWNER)
        self._request = StopRequest()
        if self.spare is not None:
            self.discard(self.spare)
            self.spare = None

    def close(self) -> None:
        """End the thread."""
        self._is_closed = True
        self.wake.set()

    def discard(self, spare: Spare) -> None:
        """Let the thread end a spare that nobody uses. Call with the lock."""
        self._discarded.append(spare)
        self.wake.set()

    def _look(self) -> None:
        self._end_discarded()
        with self._spares.changed:
            spare = self.spare
        if spare is not None and (reason := self._why_not_keep(spare)):
            log.debug("a spare is replaced: %s", reason)
            with self._spares.changed:
                if self.spare is spare:  # not taken meanwhile
                    self.spare = None
                    self.discard(spare)
            self._end_discarded()
        if time.monotonic() >= self._retry_at:
            self._start()

    def _end_discarded(self) -> None:
        with self._spares.changed:
            discarded, self._discarded = self._discarded, []
        for spare in discarded:
            self._spares.end(spare)

    def _why_not_keep(self, spare: Spare) -> str:
        """Return why a spare is not kept, "" when it is."""
        left = self._settings.available_bytes()
        if left is not None and left < LEAST_TO_KEEP_BYTES:
            self._spares.note(_LITTLE_MEMORY)
            return "memory"
        if time.monotonic() - (spare.ready_at or 0.0) > self._settings.idle_seconds:
            return "it was idle for long"
        recipe = self._settings.recipe()
        return "" if recipe is not None and spare.is_usable(recipe) else "torch or limits changed"

    def _start(self) -> None:
        """Start a spare and wait until it is ready, if one is wanted."""
        with self._spares.changed:
            if self.spare is not None or not self._spares.may_start():
                return
            self.is_starting, stop = True, self._request
            data = self._spares.data()
        spare: Spare | None = None
        try:
            recipe = self._settings.recipe()
            left = self._settings.available_bytes()
            if recipe is None:
                return
            if left is not None and left < LEAST_TO_START_BYTES:
                self._spares.note(_LITTLE_MEMORY)
                return
            name = f"spare-{uuid.uuid4().hex}"
            folder, tag = self._settings.work / name, self._settings.tag_prefix + name
            spare = Spare(recipe, folder, tag, data)
            spare.wait(stop)
        except (OSError, SpareFailed) as problem:
            if spare is not None:
                self._spares.end(spare)
            if not stop.requested:
                self._retry_at = time.monotonic() + self._backoff.next_wait()
                self._spares.note(str(problem))
        else:
            self._backoff.reset()
            self._spares.note("")
            with self._spares.changed:
                self.spare = spare
                if stop.requested:  # in the last moment
                    self.spare = None
                    self.discard(spare)
        finally:
            with self._spares.changed:
                self.is_starting = False
                self._spares.changed.notify_all()
