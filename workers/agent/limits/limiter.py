"""Looks at rules and machine every few seconds, while the agent works, and says what it may do."""

from __future__ import annotations

import datetime as dt
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Protocol

from workers.agent.attempt import Attempt, StopReason
from workers.agent.files import write_new
from workers.agent.grants import Grant
from workers.agent.limits import sensors
from workers.agent.limits.decisions import (
    Decision,
    Defaults,
    Moment,
    Past,
    Pause,
    decide,
    without_rules,
)
from workers.agent.limits.facts import Facts
from workers.agent.limits.load import LoadMeter
from workers.agent.limits.presence import Presence, Seen
from workers.agent.limits.rules import Rules
from workers.agent.limits.rules_file import RulesFile
from workers.agent.limits.words import short
from workers.protocol import MAX_OWNER_PAUSE_SECONDS, OwnerPause

LOOK_SECONDS: Final = 2.0
NOW_FILE_NAME: Final = "limits-now.json"
_TELL_SECONDS: Final = 10.0  # the file of the present decision is written anew at the latest

log = logging.getLogger("xeenet.limits")

Probe = Callable[[Rules], Facts]


class WorkLimits(Protocol):
    """What the agent's loop asks: how many tasks at a time, and whether it may work at all."""

    @property
    def slots(self) -> int:
        """How many tasks may run at a time."""

    @property
    def pause(self) -> Pause | None:
        """Why the agent may not work now; None when it may."""

    def start(self) -> None:
        """Begin to look."""

    def stop(self) -> None:
        """End looking."""


class FixedSlots:
    """No rules: so many tasks at a time, always."""

    pause: Pause | None = None

    def __init__(self, slots: int) -> None:
        self.slots = slots

    def start(self) -> None:
        """Do nothing."""

    def stop(self) -> None:
        """Do nothing."""


class Machine:
    """Reads the facts of this machine; what no rule needs and what costs something is left out."""

    def __init__(self, root: Path) -> None:
        self._load = LoadMeter()
        self._presence = Presence(root)

    def facts(self, rules: Rules) -> Facts:
        """Return the facts of now. It never raises."""
        load = self._load.read()
        needs_helper = rules.present_threads is not None or not rules.on_metered
        seen = self._presence.look() if needs_helper else Seen()
        free_bytes = sensors.free_memory_bytes()
        return Facts(
            foreign_cores=load.foreign_cores,
            free_cores=load.free_cores,
            left_memory_bytes=None if free_bytes is None else free_bytes + self._load.memory_bytes,
            idle_seconds=seen.idle_seconds,
            idle_source=seen.source,
            is_idle_pending=seen.is_pending,
            on_battery=sensors.on_battery(),
            metered=seen.metered,
            temperature=None if rules.max_temperature is None else sensors.temperature(),
        )

    def stop(self) -> None:
        """End the helper in the session."""
        self._presence.stop()


class Limiter:
    """Follows the owner's rules. ``overrides`` are rules of the command line, which outrank them.

    Made early in a start, so that the load is known when the first task begins.
    """

    def __init__(
        self,
        root: Path,
        defaults: Defaults,
        overrides: Mapping[str, Any],
        *,
        probe: Probe | None = None,
        now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        # Whoever shows what is allowed: the decision, and the rules in short words.
        self.on_change: Callable[[Decision, tuple[str, ...]], None] | None = None
        self._words: tuple[str, ...] = ()
        self._root = root
        self._defaults = defaults
        self._overrides = dict(overrides)
        self._file = RulesFile(root)
        self._machine = None if probe is not None else Machine(root)
        self._probe = probe or self._machine.facts  # type: ignore[union-attr]
        self._now, self._seconds = now, seconds
        self._past = Past()
        self._looking = threading.Lock()
        self._decision: Decision | None = None
        self._facts = Facts()
        self._problem = ""
        self._waited_for_load = False
        self._told: tuple[str, float] = ("", 0.0)
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def decision(self) -> Decision:
        """What the agent may do, as of the last look."""
        return self._decision or self.look()

    @property
    def slots(self) -> int:
        """How many tasks may run at a time."""
        return self.decision.slots

    @property
    def pause(self) -> Pause | None:
        """Why the agent may not work now; None when it may."""
        return self.decision.pause

    @property
    def report(self) -> dict[str, Any]:
        """The present decision and what led to it, as plain values of JSON."""
        return describe(self.decision, self._facts, self._overrides)

    def grant(self) -> Grant:
        """Return what a task that begins now may use."""
        decision = self.look()
        if self._facts.free_cores is None and not self._waited_for_load:
            self._waited_for_load = True  # a machine that never tells must not cost it each time
            self._stopped.wait(1.0)
            decision = self.look()
        return Grant(decision.threads, decision.memory_bytes, decision.priority)

    def start(self) -> None:
        """Look, and go on looking in a thread until `stop`."""
        self.look()
        self._thread = threading.Thread(target=self._look_on, name="limits", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End looking."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(LOOK_SECONDS)
        if self._machine is not None:
            self._machine.stop()
        (self._root / NOW_FILE_NAME).unlink(missing_ok=True)

    def look(self) -> Decision:
        """Read rules and facts, and decide anew."""
        with self._looking:
            self._file.read()
            if self._file.problem != self._problem:
                self._problem = self._file.problem
                if self._problem:
                    log.error("the rules of before stay in force: %s", self._problem)
            words: tuple[str, ...] = ()
            if self._file.rules is None:
                decision = without_rules(self._defaults, self._file.problem)
            else:
                rules = replace(self._file.rules, **self._overrides)
                self._facts = self._probe(rules)
                moment = Moment(self._now(), self._seconds())
                decision, self._past = decide(
                    rules, self._facts, self._defaults, self._past, moment
                )
                words = short(rules)
            before, self._decision = (self._decision, self._words), decision
            self._words = words
            _log_change(before[0], decision)
            if self.on_change is not None and (decision, words) != before:
                self.on_change(decision, words)
            self._tell(decision)
            return decision

    def _look_on(self) -> None:
        while not self._stopped.wait(LOOK_SECONDS):
            try:
                self.look()
            except Exception:  # a bug must not end the owner's rules
                log.exception("a look at the owner's rules failed, trying on")

    def _tell(self, decision: Decision) -> None:
        """Write the decision into the state folder, for `limits` and other readers."""
        values = self.report
        # Not those that change with each look: the facts, and the end of a presence.
        rule = None if decision.pause is None else decision.pause.rule
        key, written_at = json.dumps({**values, "facts": None, "pause": rule}), self._told[1]
        if key == self._told[0] and self._seconds() - written_at < _TELL_SECONDS:
            return
        self._told = (key, self._seconds())
        text = json.dumps({"pid": os.getpid(), "at": self._now().timestamp(), **values}, indent=2)
        try:
            temporary = self._root / "limits-now.tmp"
            write_new(temporary, text, mode=0o600)
            temporary.replace(self._root / NOW_FILE_NAME)
        except OSError as error:
            log.debug("the present limits are not written: %s", error)


def describe(decision: Decision, facts: Facts, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return a decision and what led to it as plain values of JSON."""
    pause = decision.pause
    return {
        "slots": decision.slots,
        "threads": decision.threads,
        "why_threads": decision.why_threads,
        "memory_mib": decision.memory_bytes // 2**20,
        "priority": str(decision.priority),
        "pause": None
        if pause is None
        else {
            "rule": pause.rule,
            "reason": pause.reason,
            "until": None if pause.until is None else pause.until.isoformat(),
        },
        "notes": list(decision.notes),
        "facts": facts.as_values(),
        "from_command_line": sorted(overrides),
    }


def told_to_server(pause: Pause | None, now: dt.datetime) -> OwnerPause | None:
    """Return what the server hears of a pause by the owner's rules: for how long, and no reason.

    The reason says what the person at the machine does, which is nobody's business.
    """
    if pause is None:
        return None
    if pause.until is None:
        return {"seconds": None}
    seconds = max(0.0, (pause.until - now).total_seconds())
    return {"seconds": seconds if seconds <= MAX_OWNER_PAUSE_SECONDS else None}


def give_back(attempts: Iterable[Attempt], pause: Pause) -> None:
    """Stop the runs that would not be done soon; their tasks go back to the server."""
    for attempt in attempts:
        if not attempt.stop.requested and attempt.seconds_left() > pause.finish_seconds:
            attempt.stop.request(StopReason.OWNER, pause.in_words())


def _log_change(before: Decision | None, after: Decision) -> None:
    """Log how many threads a task gets, and which rules have no effect.

    The state of the agent tells of pauses.
    """
    if after.why_threads and (before is None or before.threads != after.threads):
        log.info("tasks get %d thread(s): %s", after.threads, after.why_threads)
    new_notes = [note for note in after.notes if before is None or note not in before.notes]
    for note in new_notes:
        log.warning("%s", note)
