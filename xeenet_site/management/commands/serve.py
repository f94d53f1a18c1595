"""Serve XeeNet: web server and q-cluster in the foreground, until Ctrl-C stops both."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from xeenet_site.running import serving
from xeenet_site.running.processes import Supervisor

POLL_SECONDS = 0.5


class Command(BaseCommand):
    """`manage.py serve`."""

    help = "Run the web server and the q-cluster in the foreground; Ctrl-C stops both."

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
            serving.migrate()
        serving.collect_static_files()
        environment = serving.server_environment()
        # The folder of the request counts must outlive the processes that write into it.
        with serving.metrics_environment(options["workers"]) as counted, Supervisor() as supervisor:
            web = serving.web_command(host, port, workers=options["workers"])
            supervisor.start("web server", web, environment | counted)
            supervisor.start("q-cluster", serving.cluster_command(), environment)
            self.stdout.write(f"XeeNet serves {serving.url_of(host, port)} (Ctrl-C ends)")
            self.stdout.flush()
            while not supervisor.wait(POLL_SECONDS):
                for child in supervisor.newly_ended():
                    raise CommandError(
                        f"The {child.name} ended by itself ({child.how_it_ended()}); its last "
                        "lines are above. Everything was stopped."
                    )
        self.stdout.write("Stopped.")
