"""One run: servers, agents and work on their own PostgreSQL, faults, and the check afterwards.

Needs Django set up on the database of `Lab`'s cluster, with all tables created.
"""

from __future__ import annotations

import asyncio
import os
import platform
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
from django.db import connections
from django_q.tasks import async_task

from campaigns.models import Attempt, AttemptOutcome, ChangeSubject, StateChange, Task, TaskState
from tests.chaos import history
from tests.chaos.faults import InjectedFault, Nemesis, Targets
from tests.chaos.herd import Herd, Wave, wave
from tests.chaos.proxy import Proxy, read_acks
from tests.chaos.report import Report, median_and_worst, recoveries
from tests.chaos.services import (
    START_SECONDS,
    Fleet,
    QCluster,
    Service,
    WebServer,
    WorkerProgram,
)
from tests.chaos.work import make_campaign, make_workers
from tests.postgres import Cluster
from tests.processes import free_port, processes_mentioning, wait_until

CAMPAIGN_TASKS = 50
MOST_OPEN_TASKS = 300
STOP_SECONDS = 60.0
STUCK_SECONDS = 120.0  # give up if no task ends and no result arrives for this long
HERD_IDLE_SECONDS = 30.0  # the average wait that the server sends
HERD_OUTAGE_SECONDS = 20.0
MOST_TIMES_STEADY = 3.0
_TICK_SECONDS = 0.25
_JOBS_SECONDS = 2.0
_MEMORY_SECONDS = 1.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """The size of a run, and how long and often it injects faults."""

    seed: int
    seconds: float  # how long faults are injected; 0: every kind once
    kinds: tuple[str, ...] = ()  # the kinds of faults; empty: all
    period_seconds: float = 5.0
    fleets: int = 3
    agents_per_fleet: int = 10
    worker_programs: int = 2
    tasks_per_second: float = 5.0
    least_tasks: int = 0  # a slow machine gets up to twice the time to reach this number
    herd: int = 0


class Lab:
    """One run; its files are in one folder."""

    def __init__(self, plan: Plan, database: Cluster, folder: Path, say: Say) -> None:
        self._plan = plan
        self._say = say
        self._folder = folder
        ports = [free_port(), free_port()]
        self._acks = folder / "acks.jsonl"
        self._proxy = Proxy(ports, self._acks)
        environment = dict(os.environ)
        self._webs = [
            WebServer(f"web-{n}", port, environment, folder) for n, port in enumerate(ports)
        ]
        self._clusters = [QCluster(f"jobs-{n}", environment, folder) for n in range(2)]
        self._fleets: list[Fleet] = []
        self._programs: list[WorkerProgram] = []
        self._database = database
        self._first_megabytes: dict[int, float] = {}
        self._most_megabytes = 0.0
        self._most_grown = 0.0
        self._made_tasks = 0
        self._due: dict[str, float] = {}

    def run(self) -> Report:
        """Start everything, inject faults, repair, wait until all tasks end, check and report."""
        try:
            with self._proxy:
                nemesis = self._set_up()
                started_at = time.monotonic()
                self._break_things(nemesis)
                seconds = time.monotonic() - started_at
                self._say(f"{seconds:6.1f} s  mending everything, waiting for the last tasks")
                nemesis.heal()
                unfinished = self._finish(nemesis)
                dead = [
                    f"{service.name} ended by itself"
                    for service in self._services()
                    if not service.pid
                ]
                waves = [self._let_a_herd_return()] if self._plan.herd else []
                unended = self._stop()
            return self._report(nemesis, seconds, [*unfinished, *dead, *unended], waves)
        finally:
            for service in self._services():
                service.kill()

    @property
    def _most_seconds_to_hand_over(self) -> float:
        """The bar for handing over a dead agent's task: one lease and one poll."""
        times = ("XEENET_LEASE_SECONDS", "XEENET_IDLE_WAIT_SECONDS")
        return sum(float(os.environ[name]) for name in times)

    def _services(self) -> list[Service]:
        return [*self._webs, *self._clusters, *self._fleets, *self._programs]

    def _set_up(self) -> Nemesis:
        plan = self._plan
        ((_, probe_token),) = make_workers("probe", 1)
        for service in [*self._webs, *self._clusters]:
            service.start()
        self._feed(0.0)
        for web in self._webs:
            web.wait_until_it_answers()
        for number in range(plan.fleets):
            workers = make_workers(f"fleet-{number}", plan.agents_per_fleet)
            simulate = number > 0  # the agents of the first fleet run real scripts
            name = f"fleet-{number}"
            self._fleets.append(
                Fleet(name, self._proxy.url, workers, self._folder, simulate=simulate)
            )
        for number in range(plan.worker_programs):
            ((name, token),) = make_workers(f"program-{number}", 1)
            self._programs.append(WorkerProgram(name, self._proxy.url, token, self._folder))
        agents: list[Fleet] = [*self._fleets, *self._programs]
        for agent in agents:
            agent.start()
        working = (
            Attempt.objects.exclude(outcome=AttemptOutcome.RUNNING).values("worker").distinct()
        )
        busy = plan.fleets * plan.agents_per_fleet // 2
        wait_until(lambda: working.count() >= busy, "agents at work", START_SECONDS)
        targets = Targets(
            proxy=self._proxy,
            webs=self._webs,
            clusters=self._clusters,
            fleets=agents,
            database=self._database,
            probe_token=probe_token,
            lease_seconds=float(os.environ["XEENET_LEASE_SECONDS"]),
        )
        return Nemesis(targets, plan.seed, plan.kinds)

    def _break_things(self, nemesis: Nemesis) -> None:
        plan, started_at = self._plan, time.monotonic()
        once_each = [] if plan.seconds else nemesis.in_random_order()
        next_fault = plan.period_seconds
        while True:
            elapsed = time.monotonic() - started_at
            if self._is_over(elapsed) if plan.seconds else not once_each:
                return
            self._work(elapsed)
            nemesis.tick()
            if elapsed >= next_fault:
                next_fault = elapsed + plan.period_seconds
                kind = once_each.pop() if once_each else nemesis.draw()
                self._print_fault(elapsed, nemesis.inject(kind))
            time.sleep(_TICK_SECONDS)

    def _is_over(self, elapsed: float) -> bool:
        enough = self._made_tasks >= self._plan.least_tasks or elapsed >= 2 * self._plan.seconds
        return elapsed >= self._plan.seconds and enough

    def _print_fault(self, elapsed: float, fault: InjectedFault) -> None:
        done = Task.objects.exclude(state__in=[TaskState.PENDING, TaskState.LEASED]).count()
        back = ""
        if fault.back_after_seconds is not None:
            back = f", back after {fault.back_after_seconds:.2f} s"
        self._say(f"{elapsed:6.1f} s  {done:>5} of {self._made_tasks} tasks  {fault.kind}{back}")

    def _work(self, elapsed: float) -> None:
        """Do what continues during faults: launch campaigns, queue jobs, measure agents' memory."""
        self._feed(elapsed)
        if self._is_due("jobs", _JOBS_SECONDS):
            # More often than by their schedules, and once per cluster, so that both run at once.
            for _ in self._clusters:
                async_task("campaigns.jobs.expire_leases")
            async_task("campaigns.jobs.finish_campaigns")
        if self._is_due("memory", _MEMORY_SECONDS):
            self._look_at_memory()

    def _is_due(self, what: str, seconds: float) -> bool:
        now = time.monotonic()
        if now < self._due.get(what, 0.0):
            return False
        self._due[what] = now + seconds
        return True

    def _feed(self, elapsed: float) -> None:
        """Launch the next campaign if it is due and not too many tasks are open."""
        if self._made_tasks > elapsed * self._plan.tasks_per_second:
            return
        if Task.objects.open().count() > MOST_OPEN_TASKS:
            return
        make_campaign(CAMPAIGN_TASKS, f"campaign at {elapsed:.0f} s", params={"work_seconds": 0.2})
        self._made_tasks += CAMPAIGN_TASKS

    def _look_at_memory(self) -> None:
        for service in self._programs or self._fleets[:1]:
            if (pid := service.pid) is None:
                continue
            try:
                megabytes = psutil.Process(pid).memory_info().rss / 1e6
            except psutil.Error:
                continue
            if " ended: " in service.last_log():  # it has finished a task, so all code is loaded
                first = self._first_megabytes.setdefault(pid, megabytes)
                self._most_grown = max(self._most_grown, megabytes - first)
            self._most_megabytes = max(self._most_megabytes, megabytes)

    def _finish(self, nemesis: Nemesis) -> list[str]:
        """Wait until every task has ended and every outbox is empty; return a sentence if not.

        It waits as long as there is progress: slowness is no violation, a standstill is.
        """
        agents = [*self._fleets, *self._programs]
        left, give_up_at = (0, 0), time.monotonic() + STUCK_SECONDS
        while time.monotonic() < give_up_at:
            before = left
            left = Task.objects.open().count(), sum(agent.waiting_results() for agent in agents)
            if left == (0, 0):
                return []
            if left != before:
                give_up_at = time.monotonic() + STUCK_SECONDS
            nemesis.tick()
            time.sleep(_TICK_SECONDS)
        problem = f"for {STUCK_SECONDS:.0f} s {left[0]} tasks stayed open"
        return [f"{problem}, and {left[1]} results waited in outboxes"]

    def _let_a_herd_return(self) -> Wave:
        """Let many idle agents poll; cut off the server for a while; measure how they return."""
        for service in [*self._fleets, *self._programs]:
            service.stop()
        self._say(f"         {self._plan.herd} agents poll, lose the server and come back")
        for web in self._webs:
            web.stop()
            web.environment["XEENET_IDLE_WAIT_SECONDS"] = str(HERD_IDLE_SECONDS)
            web.start()
        tokens = [token for _, token in make_workers("herd", self._plan.herd)]
        for web in self._webs:
            web.wait_until_it_answers()
        self._proxy.arrivals.clear()
        herd = Herd(self._proxy.port, tokens, HERD_IDLE_SECONDS)
        began, steady_seconds = time.monotonic(), 2 * HERD_IDLE_SECONDS
        seconds = steady_seconds + HERD_OUTAGE_SECONDS + 2 * HERD_IDLE_SECONDS
        running = threading.Thread(target=lambda: asyncio.run(herd.run(seconds)))
        running.start()
        time.sleep(steady_seconds)
        refused_at = time.monotonic()
        self._proxy.refuse()
        time.sleep(HERD_OUTAGE_SECONDS)
        self._proxy.accept()
        outage = (refused_at - began, time.monotonic() - began)
        running.join()
        arrivals = [at - began for at in self._proxy.arrivals]
        return wave(
            self._plan.herd,
            arrivals,
            outage,
            since=HERD_IDLE_SECONDS,
            idle_seconds=HERD_IDLE_SECONDS,
            moment_seconds=1.0,
        )

    def _stop(self) -> list[str]:
        """Stop agents, clusters and servers, in this order; return sentences on what was left."""
        connections.close_all()
        order: list[Service] = [*self._fleets, *self._programs, *self._clusters, *self._webs]
        stubborn = [
            f"{service.name} had to be killed"
            for service in order
            if not service.stop(STOP_SECONDS)
        ]
        left = [f"a process is left: {line}" for line in processes_mentioning(self._folder)]
        stale = [
            f"a stale task folder is left: {folder}"
            for agent in [*self._fleets, *self._programs]
            for state in agent.state_folders
            for folder in state.glob("work/*")
        ]
        return stubborn + left + stale

    def _report(
        self, nemesis: Nemesis, seconds: float, problems: list[str], waves: list[Wave]
    ) -> Report:
        findings = history.check(read_acks(self._acks))
        lost = StateChange.objects.filter(
            subject=ChangeSubject.ATTEMPT, to_state=AttemptOutcome.LOST
        )
        given_back = {
            str(lease_id): at for lease_id, at in lost.values_list("attempt__lease_id", "at")
        }
        handed_over, slow = [], []
        for killed in nemesis.killed:
            for lease_id in killed.lease_ids & given_back.keys():
                again_at = given_back[lease_id].timestamp()
                handed_over.append(again_at - killed.at)
                away = sum(fault.overlap(killed.at, again_at) for fault in nemesis.injected)
                if handed_over[-1] > self._most_seconds_to_hand_over + away:
                    slow.append(
                        f"lease {lease_id}: {handed_over[-1]:.1f} s after its agent's death, of "
                        f"which the service was away for {away:.1f} s"
                    )
        median, worst = median_and_worst(handed_over)
        return Report(
            seed=self._plan.seed,
            machine=f"{os.cpu_count()} cores, {platform.system()}, {self._database.version}",
            load=os.getloadavg()[2],
            seconds=seconds,
            agents=self._plan.fleets * self._plan.agents_per_fleet + self._plan.worker_programs,
            tasks=Task.objects.count(),
            attempts=Attempt.objects.count(),
            acknowledged=findings.acknowledged,
            expiries=lost.count(),
            late=Attempt.objects.filter(outcome=AttemptOutcome.LATE).count(),
            requests=sum(self._proxy.statuses.values()),
            lost=findings.lost,
            doubled=findings.doubled,
            violations=[
                *problems,
                *nemesis.missed,
                *slow,
                *[str(wave) for wave in waves if wave.kept_up and wave.ratio > MOST_TIMES_STEADY],
                *findings.broken,
                *self._proxy.bad_answers,
            ],
            recoveries=recoveries(
                [(fault.kind, fault.back_after_seconds) for fault in nemesis.injected]
            ),
            handed_over_median_seconds=median,
            handed_over_worst_seconds=worst,
            agent_megabytes=self._most_megabytes,
            agent_megabytes_grown=self._most_grown,
            waves=waves,
        )
