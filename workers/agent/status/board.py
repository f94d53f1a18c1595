"""Holds the status: every part of the agent reports to it, and everybody reads from it.

Thread-safe. The log's lines follow from each change at once. Others, like the file for `status`,
hear that something changed.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from workers.agent.status import changes
from workers.agent.status.history import History
from workers.agent.status.living import start_mark
from workers.agent.status.log_lines import lines
from workers.agent.status.model import (
    Delivery,
    EndedTask,
    Ending,
    Fault,
    Identity,
    Pause,
    PausedBy,
    Phase,
    RunningTask,
    SetUp,
    Status,
    Trouble,
)
from workers.protocol import ProgressPoint

log = logging.getLogger("xeenet.agent")


def this_process(version: str, **settings: Any) -> Identity:
    """Return the identity of an agent in this process."""
    pid = os.getpid()
    return Identity(
        version=version, pid=pid, start_mark=start_mark(pid), started_at=time.time(), **settings
    )


class StatusBoard:
    """The status of the agent in this process. Signal handlers must not call it."""

    def __init__(self, identity: Identity | None = None, history: History | None = None) -> None:
        self._status = Status(identity or this_process(""))
        self._history = history
        self._lock = threading.RLock()
        self._listeners: list[Callable[[], None]] = []

    @property
    def status(self) -> Status:
        """The status now. It takes no lock: a status never changes once it is made."""
        return self._status

    def listen(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` after each change, in the thread that reported it."""
        self._listeners.append(listener)

    def identify(self, **settings: Any) -> None:
        """Tell what is known of the agent by now."""
        self._change(changes.identified, replace(self._status.identity, **settings))

    def setting_up(self, step: str) -> None:
        """Name the step of the set-up; "" ends it."""
        self._change(changes.setting_up, step)

    def torch_setup(self, progress: SetUp | None) -> None:
        """Tell how far the set-up of torch is."""
        if progress != self._status.torch_setup:
            self._change(changes.torch_setup, progress)

    def measuring(self, step: str) -> None:
        """Name the step of the measurement of its speed; "" ends it."""
        self._change(changes.measuring, step)

    def measured(self, words: str) -> None:
        """Say how the measurement of its speed ended."""
        self._change(changes.measured, words)

    def idle(self, reason: str, wait_seconds: float | None = None) -> None:
        """Say why there is nothing to do, and in how many seconds the agent asks again."""
        until = None if wait_seconds is None else time.time() + wait_seconds
        self._change(changes.idle, reason, until)

    def started(self, task: RunningTask) -> None:
        """Tell of a claimed task."""
        self._change(changes.started, task)

    def entered(self, lease_id: str, phase: Phase) -> None:
        """Tell how far a task has come."""
        self._change(changes.entered, lease_id, phase, time.time())

    def progressed(self, lease_id: str, point: ProgressPoint) -> None:
        """Tell of a progress point of a running task."""
        self._change(changes.progressed, lease_id, point)

    def ended(self, task: EndedTask) -> None:
        """Tell how a task ended; the history keeps it."""
        if self._history is not None:
            self._history.add(task)
        self._change(changes.ended, task)

    def delivery(self, lease_id: str, how: Delivery, *, verdict: str = "", said: str = "") -> None:
        """Tell how far the result of an ended task has come; the history keeps the end of it."""
        with self._lock:
            former = self._known(lease_id)
            if former is not None and (former.delivery, former.said) == (how, said):
                return
            base = former or EndedTask(lease_id, "", Ending.COMPLETED, time.time())
            changed = replace(base, delivery=how, verdict=verdict, said=said)
            self._change(changes.answered, former, changed)
        if self._history is not None and how in {Delivery.ANSWERED, Delivery.SET_ASIDE}:
            self._history.add(changed)

    def _known(self, lease_id: str) -> EndedTask | None:
        """Return an ended task, of this start or, as the history has it, of a former one."""
        for task in reversed(self._status.ended):
            if task.lease_id == lease_id:
                return task
        return self._history.find(lease_id) if self._history is not None else None

    def to_send(self, count: int) -> None:
        """Tell how many results wait for delivery."""
        if count != self._status.to_send:
            self._change(changes.waiting, count)

    def pause(self, by: PausedBy, reason: str, seconds: float | None = None) -> None:
        """Tell that no task is claimed, why, and for how long; None until somebody ends it."""
        now = time.time()
        until = None if seconds is None else now + seconds
        self._change(changes.paused, Pause(by, reason, now, until))

    def resume(self, by: PausedBy) -> None:
        """Tell that the pause by ``by`` has ended."""
        if self._status.pause_by(by) is not None:
            self._change(changes.resumed, by)

    def trouble(self, source: str, fault: Fault, text: str, advice: str = "") -> None:
        """Tell what is wrong with a part of the agent."""
        self._change(changes.troubled, Trouble(source, fault, text, time.time(), advice))

    def mended(self, source: str) -> None:
        """Tell that a part of the agent works again."""
        if any(trouble.source == source for trouble in self._status.troubles):
            self._change(changes.mended, source)

    def draining(self, how: str) -> None:
        """Tell that the agent is about to end."""
        self._change(changes.draining, how)

    def stopped(self, exit_code: int, words: str = "") -> None:
        """Tell that the agent has ended; the first time counts."""
        if self._status.exit_code is None:
            self._change(changes.stopped, exit_code, words)

    def _change(self, change: Callable[..., Status], *arguments: Any) -> None:
        with self._lock:  # the log has the changes in their order
            before = self._status
            self._status = after = change(before, *arguments)
            for line in lines(before, after, time.time()):
                log.log(line.level, "%s", line.text)
        for listener in self._listeners:
            listener()
