"""The worker that `serve` runs beside the web server while an operator wants one.

Its process is a child of `serve`: it ends with it, and gives its tasks back before. One that ends
by itself is not started again, because its reason is one that a person has to see.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from django.conf import settings

from workers.joining import here
from xeenet_site.running.processes import Child, Supervisor

# Not passed on to agents: on machines of their own they would not have these either.
SERVER_ONLY_VARIABLES: Final = ("SECRET_KEY", "DATABASE_URL", "DJANGO_SETTINGS_MODULE")
# As the agent's --enrol, which others on this machine would see in the list of processes.
ENROLMENT_VARIABLE: Final = "XEENET_ENROLMENT_TOKEN"
# Longer than an agent takes to end a script and to give its tasks back.
STOP_SECONDS: Final = 30.0


class WorkerHere:
    """Follows the orders of pages; `look` after them and after the child every now and then."""

    def __init__(self, supervisor: Supervisor, url: str, say: Callable[[str], None]) -> None:
        self._supervisor = supervisor
        self._url = url
        self._say = say
        self._child: Child | None = None
        self._kill_at = 0.0
        self._done = -1
        self._report = here.Report()
        self._write(self._report)  # whatever an earlier `serve` left there is over

    def look(self, ended: Iterable[Child]) -> None:
        """Start or stop the worker as the newest order says; `ended` are children that ended."""
        order = here.read_order()
        if self._child is not None and self._child in ended:
            self._note_end(self._child)
        if self._child is not None:
            self._stop_if_unwanted(self._child, order)
        elif order.is_wanted and order.number != self._done:
            self._start(order)
        elif not order.is_wanted and self._report.state:
            self._write(here.Report(order=order.number))

    def _start(self, order: here.Order) -> None:
        self._done = order.number
        log = Path(settings.XEENET_HOME) / "logs" / "worker-here.log"
        environment = {k: v for k, v in os.environ.items() if k not in SERVER_ONLY_VARIABLES}
        environment |= {"PYTHONPATH": str(settings.BASE_DIR), "PYTHONUNBUFFERED": "1"}
        if order.invitation:
            environment[ENROLMENT_VARIABLE] = order.invitation
        command = [sys.executable, "-m", "workers.agent", "--server", self._url]
        command += ["--state-dir", str(here.state_folder()), "--no-simulate", "--log"]
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            log.unlink(missing_ok=True)
            self._child = self._supervisor.start("worker", command, environment, log=log)
        except OSError as error:
            self._write(here.Report("ended", how=str(error), order=order.number))
            return
        started_at = datetime.now(UTC).isoformat(timespec="seconds")
        self._write(here.Report("running", self._child.pid, started_at, order=order.number))
        self._say(f"A worker runs on this machine, as its page wants. Log: {log}")

    def _stop_if_unwanted(self, child: Child, order: here.Order) -> None:
        if order.is_wanted:
            return
        if self._report.state == "running":
            child.terminate()
            self._kill_at = time.monotonic() + STOP_SECONDS
            report = self._report
            self._write(here.Report("stopping", report.pid, report.started_at, order=order.number))
        elif time.monotonic() >= self._kill_at:
            child.kill_and_collect()  # noticed as ended in the next round

    def _note_end(self, child: Child) -> None:
        self._child = None
        if self._report.state == "stopping":
            self._write(here.Report(order=self._report.order))
            self._say("The worker on this machine is stopped.")
            return
        how = child.how_it_ended()
        self._say(f"The worker on this machine ended by itself ({how}). Log: {child.log}")
        report = self._report
        tail = child.log_tail(6)
        self._write(here.Report("ended", 0, report.started_at, how, tail, report.order))

    def _write(self, report: here.Report) -> None:
        self._report = report
        try:
            here.write_report(report)
        except OSError as error:
            self._say(f"Cannot say on the pages what the worker here does: {error}")
