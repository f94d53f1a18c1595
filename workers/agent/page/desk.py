"""What the page may ask of its agent, and tell it to do.

Nothing here changes how scripts are isolated, which code may run, or with which server the agent
works: those are settings of the command line alone.
"""

from __future__ import annotations

import datetime as dt
import re
import signal
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from workers.agent.limits.limiter import Limiter
from workers.agent.limits.rules import Rules, RulesError, changed, check_machine
from workers.agent.limits.rules_file import load, store
from workers.agent.limits.words import pairs, report_lines
from workers.agent.log_tail import LogTail
from workers.agent.page import rules_view, tasks_view, view
from workers.agent.page.torch_setup import SetUpRefused, TorchSetup
from workers.agent.pauses import Pauses
from workers.agent.running.hardware import usable_memory_bytes
from workers.agent.status import words
from workers.agent.status.board import StatusBoard
from workers.agent.status.history import History
from workers.agent.status.model import Status
from workers.agent.tasks.scripts import CodePolicy

MOST_PAUSE_SECONDS: Final = 7 * 24 * 3600.0
_CLOCK: Final = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)", re.ASCII)


class Refused(Exception):
    """What was asked for is not done; the message says why."""


class Worker(Protocol):
    """What of the agent's loop the page needs."""

    pauses: Pauses

    def drain(self) -> None:
        """Claim nothing more, and let running tasks finish."""

    def stop_now(self) -> None:
        """Give running tasks back at once."""


class Desk:
    """One agent as its page has it. Thread-safe, as far as its parts are."""

    def __init__(
        self,
        root: Path,
        board: StatusBoard,
        history: History,
        limiter: Limiter,
        tail: LogTail,
        machine: Mapping[str, int] | None = None,
    ) -> None:
        self._root = root
        self._board = board
        self._history = history
        self._limiter = limiter
        self._tail = tail
        self._worker: Worker | None = None
        self._policy = CodePolicy()
        self._lacks = ""
        self._torch = TorchSetup(root)
        self._machine = machine or rules_view.machine_sizes()
        self._writing = threading.Lock()

    def attach(self, worker: Worker, policy: CodePolicy, lacks: str = "") -> None:
        """Take the agent, once it has started, with the code that its owner lets it run.

        ``lacks`` says why torch does not work here, or not with the GPU; "" where it does.
        """
        self._worker = worker
        self._policy = policy
        self._lacks = words.safe(words.sentence(lacks))

    def state(self, lines_seen: int = -1) -> dict[str, Any]:
        """Return all that the page draws now; of the log the lines after ``lines_seen``."""
        now, status = time.time(), self._board.status
        rules = rules_view.view(self._rules(), self._limiter.report, self._machine)
        count, lines = self._tail.after(lines_seen)
        return {
            **view.view(status, now, has_worker=self._worker is not None),
            "given": tasks_view.given(status, self._history.tasks(), now),
            "rules": rules,
            "lacks": "" if self._is_setting_up(status) else self._lacks,
            "log": {"count": count, "lines": lines},
        }

    def tasks(self) -> dict[str, Any]:
        """Return what ran here, newest first, and what it may see."""
        who, now = self._board.status.identity, time.time()
        return {
            "tasks": tasks_view.rows(self._history.tasks(), who.server, now),
            "sight": tasks_view.sight(who.tier, self._policy),
        }

    def pause(self, seconds: float | None) -> None:
        """Claim nothing for so many seconds, None until somebody resumes. Raises `Refused`."""
        if seconds is not None and not 0 < seconds <= MOST_PAUSE_SECONDS:
            raise Refused("A pause lasts up to seven days, or until you resume.")
        self._ready().pauses.by_owner(seconds)

    def pause_until(self, clock: str) -> None:
        """Claim nothing until the wall clock shows ``clock``, like 07:00. Raises `Refused`."""
        self.pause(seconds_until(clock, dt.datetime.now().astimezone()))

    def resume(self) -> None:
        """End a pause by hand, of the card, the page or the rules. Raises `Refused`, OSError."""
        rules = self._rules()
        if isinstance(rules, Rules) and rules.paused_until is not None:
            self.change_rules({"pause": "off"})
        if self._worker is not None:
            self._worker.pauses.end_by_owner()

    def drain(self) -> None:
        """Finish what runs, then end. Raises `Refused`."""
        self._ready().drain()

    def stop(self) -> None:
        """End now; running tasks go back to the server."""
        if self._worker is not None:
            self._worker.stop_now()
        else:
            _end_the_start()

    def change_rules(self, texts: Mapping[str, str]) -> None:
        """Set rules by their words, like {"threads": "2"}. Raises `Refused`, OSError."""
        with self._writing:
            try:
                rules = changed(load(self._root), texts, now_seconds=time.time())
                check_machine(rules, usable_memory_bytes())
            except RulesError as error:
                raise Refused(str(error)) from error
            store(self._root, rules)
        self._limiter.look()

    def reset_rules(self) -> None:
        """Take all rules away, also those of a file that cannot be read. Raises OSError."""
        with self._writing:
            store(self._root, Rules())
        self._limiter.look()

    def limits_lines(self) -> list[str]:
        """Return the rules and what they come to now, as `xeenet-worker limits` prints them."""
        rules = self._rules()
        problem = rules if isinstance(rules, str) else ""
        known = Rules() if isinstance(rules, str) else rules
        return report_lines(known, self._limiter.report, problem)

    def set_limits(self, text: str) -> None:
        """Set rules by a line like "threads=2 hours=22:00-07:00". Raises `Refused`, OSError."""
        try:
            texts = pairs(text.split())
        except RulesError as error:
            raise Refused(str(error)) from error
        self.change_rules(texts)

    def plan_setup(self) -> dict[str, Any]:
        """Return what a set-up of torch would do. It takes seconds. Raises `Refused`."""
        try:
            lines, may_start = self._torch.plan()
        except SetUpRefused as error:
            raise Refused(str(error)) from error
        return {"lines": lines, "may_start": may_start}

    def set_up(self) -> None:
        """Begin a set-up of torch beside the agent. Raises `Refused`."""
        try:
            self._torch.start()
        except SetUpRefused as error:
            raise Refused(str(error)) from error

    def _is_setting_up(self, status: Status) -> bool:
        setup = status.torch_setup
        return self._torch.is_running or (setup is not None and setup.is_running)

    def _rules(self) -> Rules | str:
        """Return the rules of the file, or why it cannot be used."""
        try:
            return load(self._root)
        except RulesError as error:
            return str(error)

    def _ready(self) -> Worker:
        if self._worker is None:
            raise Refused("The worker is still setting up.")
        return self._worker


def seconds_until(clock: str, now: dt.datetime) -> float:
    """Return the seconds from ``now`` until its wall clock shows ``clock`` next.

    Raises `Refused` for what is no time of the day.
    """
    match = _CLOCK.fullmatch(clock.strip())
    if match is None:
        raise Refused("Write a time of the day like 07:00.")
    # Without a zone: "until 07:00" means the clock on the wall, also when summer time ends tonight.
    here = now.replace(tzinfo=None)
    end = here.replace(hour=int(match[1]), minute=int(match[2]), second=0, microsecond=0)
    if end <= here:
        end += dt.timedelta(days=1)
    return (end.astimezone() - now).total_seconds()


def _end_the_start() -> None:
    """End an agent that is still setting up, as SIGTERM does: everything it started ends, too."""
    main = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and main is not None:  # wakes it from what it waits for
        signal.pthread_kill(main, signal.SIGTERM)
    else:
        signal.raise_signal(signal.SIGTERM)
