"""The demo: server, q-cluster and agents as real processes, and one real campaign to watch."""

from __future__ import annotations

import logging
import os
import sys
import time
import webbrowser
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import httpx2
import psutil
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from campaigns import steering
from campaigns.clock import database_now
from campaigns.management import demonstration
from campaigns.management.terminal import ProgressLine, leaderboard_text
from campaigns.models import Campaign, CampaignState
from campaigns.standings import arms
from campaigns.standings.progress import campaign_progress
from workers.joining import here
from xeenet_site.running import pictures, serving
from xeenet_site.running.keeping import Keeper
from xeenet_site.running.processes import Child, Supervisor
from xeenet_site.running.worker_here import SERVER_ONLY_VARIABLES
from xeenet_site.web.plain_text import plain

HOST: Final = "127.0.0.1"
POLL_SECONDS: Final = 1.0
SERVER_START_SECONDS: Final = 60.0
ROWS_SHOWN: Final = 5
# What is not given: a number of tasks from which campaigns race by themselves, or a short campaign.
PLAIN: Final = {"tasks": 10, "budget": 10.0}
RACE: Final = {"tasks": 30, "budget": 3.0}
# The runs that finish a champion's seeds come on top of the campaign's tasks.
MOST_ADDED_RUNS: Final = 12
# Short, so that a viewer who kills an agent soon sees its task run again. Variables that are set
# in the environment take precedence.
DEMO_DURATIONS: Final = {"XEENET_HEARTBEAT_SECONDS": "3", "XEENET_LEASE_SECONDS": "12"}
# With --exit, the demo fails when the campaign takes longer than its budgets plus these.
OVERHEAD_SECONDS_PER_TASK: Final = 45.0
START_UP_SECONDS: Final = 120.0


class Command(BaseCommand):
    """`manage.py demo`."""

    help = "Run a real campaign on this machine: web server, q-cluster, agents, leaderboard."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add(
            "--race",
            action="store_true",
            help="equal work for each run, and a race of the best at the end: about 5 minutes",
        )
        add("--tasks", type=int, help="training runs (default 10, with --race 30)")
        add(
            "--budget",
            type=float,
            help="seconds per run (default 10), with --race those of the reference (default 3)",
        )
        add("--workers", type=int, default=2, help="agents (default 2)")
        add("--port", type=int, default=8000)
        add("--dataset-file", type=Path, help="text to train on (default: TinyShakespeare)")
        add("--exit", action="store_true", help="end with the campaign; 0 if all went well")
        add("--no-open", action="store_true", help="open no browser")
        add(
            "--screenshot",
            type=Path,
            metavar="PNG",
            help="picture of its page at the end",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        usual = RACE if options["race"] else PLAIN
        options |= {name: usual[name] for name in usual if options[name] is None}
        self._check(options)
        # httpx2 logs a line per request, which would break the progress line.
        logging.getLogger("httpx2").setLevel(logging.WARNING)
        # Said at once, as the demo takes minutes; it goes on without the picture.
        if options["screenshot"] and (problem := pictures.missing_program()):
            self._say(f"There will be no picture: {problem}.")
        self._say("Preparing database and static files…")
        serving.migrate()
        serving.collect_static_files()
        choice = demonstration.choose_dataset(
            options["dataset_file"], demonstration.default_cache_folder()
        )
        self._say(choice.sentence)
        os.environ.update({k: v for k, v in DEMO_DURATIONS.items() if k not in os.environ})
        logs = Path(settings.XEENET_HOME) / "logs"
        logs.mkdir(exist_ok=True)
        with Supervisor(logs) as supervisor:
            demo = _Demo(supervisor, options, self._say)
            demo.start_server()
            campaign = demo.launch(choice)
            demo.run(campaign)
        self._say("Stopped: no process of the demo is left.")

    def _check(self, options: dict[str, Any]) -> None:
        if settings.PRODUCTION:
            raise CommandError(
                "The demo makes an administrator and a campaign: it runs only in development. "
                "Unset XEENET_ENV, or use serve."
            )
        for name in ("tasks", "workers", "budget"):
            if options[name] <= 0:
                raise CommandError(f"--{name} must be above 0.")
        picture = options["screenshot"]
        if picture and not picture.absolute().parent.is_dir():
            raise CommandError(f"--screenshot {picture}: there is no folder for it.")
        serving.check_home_writable()
        serving.check_port(HOST, options["port"])

    def _say(self, message: str) -> None:
        self.stdout.write(message)
        self.stdout.flush()


class _Demo:
    """One run of the demo. Its supervisor stops all processes at the end."""

    def __init__(
        self, supervisor: Supervisor, options: dict[str, Any], say: Callable[[str], None]
    ) -> None:
        self._supervisor = supervisor
        self._options = options
        self._say = say
        self._keeper = Keeper(supervisor)
        self._agents: list[Child] = []
        self._url = serving.url_of(HOST, options["port"])
        # The paths of pages have the base path already.
        self._origin = serving.origin_of(HOST, options["port"])
        # Without torch the agents invent values, and everything says so.
        self._simulates = not demonstration.has_torch()

    def start_server(self) -> None:
        """Start web server and q-cluster and wait until pages are served. Raises CommandError."""
        environment = serving.server_environment() | {here.SUPERVISOR_VARIABLE: here.DEMO}
        command = serving.web_command(HOST, self._options["port"])
        web = self._keeper.start("web server", command, environment)
        self._keeper.start("q-cluster", serving.cluster_command(), environment)
        end = time.monotonic() + SERVER_START_SECONDS
        while problem := _page_problem(self._url):
            self._look_after_children(self._say)
            if time.monotonic() > end or problem.startswith("HTTP"):
                raise CommandError(
                    f"No page at {self._url}: {problem}. The web server said last:\n"
                    f"{web.log_tail()}"
                )
            if self._supervisor.wait(POLL_SECONDS):
                return

    def launch(self, choice: demonstration.DatasetChoice) -> Campaign:
        """Create user, workers and campaign, start the agents, and print or open the page."""
        now = database_now()
        user, password = demonstration.ensure_user()
        if leftovers := demonstration.pause_leftovers(user, now=now):
            self._say(f"Paused {leftovers} campaign(s) that an interrupted demo left running.")
        campaign = demonstration.launch_campaign(
            choice,
            owner=user,
            tasks=self._options["tasks"],
            budget_seconds=self._options["budget"],
            races=self._options["race"],
            simulates=self._simulates,
            now=now,
        )
        if self._simulates:
            self._say(f"{demonstration.INVENTED} {demonstration.INSTALL_TORCH}")
        for index in range(1, self._options["workers"] + 1):
            self._start_agent(index)
        page = self._origin + campaign.get_absolute_url()
        self._say(f"Page:    {page}")
        self._say(f"Sign in: {self._url}/login/ as {user.get_username()} with {password}")
        self._say(f"Logs:    {Path(settings.XEENET_HOME) / 'logs'}")
        if not self._options["exit"] and not self._options["no_open"] and _has_display():
            webbrowser.open(page)
        return campaign

    def _start_agent(self, index: int) -> None:
        name = f"demo-agent-{index}"
        token = demonstration.ensure_worker(name, now=database_now())
        environment = {k: v for k, v in os.environ.items() if k not in SERVER_ONLY_VARIABLES}
        environment |= {
            "PYTHONPATH": str(settings.BASE_DIR),
            "PYTHONUNBUFFERED": "1",
            "XEENET_WORKER_TOKEN": token,  # ps shows arguments to everybody, but no environment
        }
        state = Path(settings.XEENET_HOME) / "agents" / name
        command = [sys.executable, "-m", "workers.agent", "--server", self._url]
        if not self._simulates:
            command.append("--no-simulate")
        # Agents and server belong to the same person here, so agents may run the server's code.
        command += ["--state-dir", str(state), "--allow-server-code"]
        # Whoever watches the demonstration waits for its tasks.
        command += ["--threads", str(self._threads_per_agent()), "--priority", "normal"]
        self._agents.append(self._supervisor.start(f"agent {index}", command, environment))

    def _threads_per_agent(self) -> int:
        """Return an equal share of the cores, so that concurrent agents do not compete for them."""
        affinity = getattr(os, "sched_getaffinity", None)
        cores = len(affinity(0)) if affinity else (psutil.cpu_count() or 1)
        return max(1, cores // int(self._options["workers"]))

    def run(self, campaign: Campaign) -> None:
        """Watch the campaign to its end. Then keep serving; with --exit, fail if it went badly."""
        self._watch(campaign)
        if self._supervisor.stop_requested:
            self._interrupted(campaign)
            return
        self._say(f"\n{plain(demonstration.verdict(campaign, now=database_now()))}\n")
        rows, empty = arms.rows(campaign, limit=ROWS_SHOWN), "no arm has a measured value"
        colour = sys.stdout.isatty()
        self._say(leaderboard_text(campaign, rows, colour=colour, empty=empty) + "\n")
        problems = demonstration.shortcomings(campaign, simulates=self._simulates)
        for problem in problems:
            self._say(f"Not as it should be: {problem}.")
        if path := self._options["screenshot"]:
            self._take_picture(campaign, path)
        if not self._options["exit"]:
            self._say(f"Still serving {self._url}, the agents wait for work. Ctrl-C ends.")
            while not self._supervisor.wait(POLL_SECONDS):
                self._look_after_children(self._say)
        elif problems:
            raise CommandError(f"The demo's campaign did not go well: {'; '.join(problems)}.")
        # Stop the agents first: to hand back their tasks they need a running server.
        self._supervisor.stop(self._agents)

    def _take_picture(self, campaign: Campaign, path: Path) -> None:
        """Save the campaign's page as a picture, or say why that is impossible."""
        try:
            pictures.take(self._origin + campaign.get_absolute_url(), path)
        except pictures.NoPicture as error:
            self._say(f"No picture: {error}.")
        else:
            self._say(f"Picture: {path}")

    def _watch(self, campaign: Campaign) -> None:
        """Show progress until the campaign ends or a stop is requested. Raises CommandError."""
        runs = campaign.task_count + (MOST_ADDED_RUNS if self._options["race"] else 0)
        allowed = START_UP_SECONDS + runs * (self._options["budget"] + OVERHEAD_SECONDS_PER_TASK)
        end = time.monotonic() + allowed
        terminal = {CampaignState.COMPLETED, CampaignState.CANCELLED}
        with ProgressLine(campaign.task_count) as line:
            while True:
                self._look_after_children(line.say)
                campaign.refresh_from_db()
                now = database_now()
                progress = campaign_progress(campaign, now=now)
                line.show(progress, arms.leading(campaign), now=now)
                if campaign.state in terminal or self._supervisor.wait(POLL_SECONDS):
                    return
                if not self._options["exit"]:
                    continue
                if not any(agent in self._supervisor.children for agent in self._agents):
                    raise CommandError("Every agent has ended before the campaign was done.")
                if campaign.state == CampaignState.PAUSED:
                    raise CommandError(f"The campaign was paused: {campaign.state_reason}")
                if time.monotonic() > end:
                    raise CommandError(f"The campaign was not done after {allowed:.0f} s.")

    def _look_after_children(self, say: Callable[[str], None]) -> None:
        """Start web server and q-cluster again if they ended, and report agents that ended.

        Raises CommandError when web server or q-cluster cannot be kept alive.
        """
        for child in self._keeper.look_after(say):
            say(
                f"{child.name} ended ({child.how_it_ended()}); a task it held runs again when "
                f"its lease is over. Log: {child.log}"
            )

    def _interrupted(self, campaign: Campaign) -> None:
        """Handle Ctrl-C before the end: pause the campaign, so that it can be resumed."""
        self._say("Stopping…")
        if campaign.state == CampaignState.ACTIVE:
            steering.pause(None, campaign, now=database_now(), reason="The demo was stopped.")
        self._supervisor.stop(self._agents)
        if self._options["exit"]:
            raise CommandError("Stopped before the campaign was done.", returncode=130)


def _page_problem(url: str) -> str:
    """Return why the page cannot be fetched, or "" when it can."""
    try:
        reply = httpx2.get(url, timeout=10.0, follow_redirects=True)
    except httpx2.HTTPError as error:
        return str(error) or type(error).__name__
    return "" if reply.status_code < 400 else f"HTTP {reply.status_code}"


def _has_display() -> bool:
    """Return whether a graphical browser can open here, not a text browser in our terminal."""
    if sys.platform in {"darwin", "win32"}:
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
