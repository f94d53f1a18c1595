"""Serve XeeNet: web server and q-cluster in the foreground, until Ctrl-C stops both."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from workers.joining import here
from xeenet_site import first_account
from xeenet_site.running import serving
from xeenet_site.running.keeping import Keeper
from xeenet_site.running.processes import Supervisor
from xeenet_site.running.worker_here import WorkerHere

POLL_SECONDS = 0.5
# How often `serve` says that it is still starting.
STILL_STARTING_SECONDS = 10.0


class Command(BaseCommand):
    """`manage.py serve`."""

    help = (
        "Run the web server and the q-cluster in the foreground; Ctrl-C stops both. One that ends "
        "by itself is started again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--workers", type=int, default=1, help="web server processes")
        parser.add_argument("--no-migrate", action="store_true", help="leave the tables alone")

    def handle(self, *_args: Any, **options: Any) -> None:
        host, port = options["host"], options["port"]
        if options["workers"] < 1:
            raise CommandError("--workers must be at least 1.")
        serving.check_home_writable()
        serving.check_port(host, port)
        if not options["no_migrate"]:
            self._say("Looking at the database…")
            serving.migrate(self._say)
        serving.collect_static_files(self._say)
        environment = serving.server_environment(host)
        supervised = {here.SUPERVISOR_VARIABLE: here.SERVE}
        # The folder of the request counts must outlive the processes that write into it.
        with serving.metrics_environment(options["workers"]) as counted, Supervisor() as supervisor:
            self._say("Starting the web server and the q-cluster…")
            keeper = Keeper(supervisor)
            web = serving.web_command(host, port, workers=options["workers"])
            keeper.start("web server", web, environment | counted | supervised)
            keeper.start("q-cluster", serving.cluster_command(), environment)
            self._wait_for_answer(supervisor, keeper, host, port)
            worker = WorkerHere(supervisor, serving.url_of(host, port), self._say)
            while not supervisor.wait(POLL_SECONDS):
                worker.look(keeper.look_after(self._say))
        self._say("Stopped.")

    def _wait_for_answer(
        self, supervisor: Supervisor, keeper: Keeper, host: str, port: int
    ) -> None:
        """Say where XeeNet is served as soon as it answers."""
        started = said_at = time.monotonic()
        while not serving.answers(host, port):
            if supervisor.wait(POLL_SECONDS):
                return
            keeper.look_after(self._say)
            now = time.monotonic()
            if now - said_at >= STILL_STARTING_SECONDS:
                said_at = now
                self._say(f"Still starting after {now - started:.0f} s…")
        url = serving.url_of(host, port)
        self._say(f"XeeNet serves {url} (Ctrl-C ends)")
        for address in serving.urls_for_others(host, port):
            self._say(f"From other machines: {address}")
        if address := first_account.address(url):
            self._say(f"Nobody has an account yet. Make the first one here: {address}")

    def _say(self, sentence: str) -> None:
        self.stdout.write(sentence)
        self.stdout.flush()
