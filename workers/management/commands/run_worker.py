"""Run a worker agent on the server's own machine; it is enrolled automatically."""

from __future__ import annotations

import socket
from argparse import REMAINDER, ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from workers import steering
from workers.agent import cli
from workers.agent.state import StateFolder, StateFolderError


class Command(BaseCommand):
    """`manage.py run_worker`."""

    help = (
        "Run the agent (the same as xeenet-worker) against the server on this machine. The first "
        "start enrols it. Arguments after -- are passed to the agent."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("--server", default=f"http://127.0.0.1:8000{settings.BASE_PATH}")
        add(
            "--name",
            default=socket.gethostname(),
            help="the worker's name (default: the host name)",
        )
        add("agent_arguments", nargs=REMAINDER, help="-- followed by options of xeenet-worker")

    def handle(self, *_args: Any, **options: Any) -> None:
        name = options["name"]
        folder = Path(settings.XEENET_HOME) / "agents" / name
        if folder.parent != Path(settings.XEENET_HOME) / "agents" or name in {"", ".", ".."}:
            raise CommandError(f"{name!r} cannot be a folder's name; choose another --name.")
        arguments = ["--server", options["server"], "--state-dir", str(folder), "--name", name]
        try:
            enrolled = StateFolder(folder).load_credentials() is not None
        except StateFolderError as error:
            raise CommandError(str(error)) from error
        if not enrolled:
            _, secret = steering.invite(None, now=timezone.now(), label=name)
            arguments += ["--enrol", secret]
        extra = [word for word in options["agent_arguments"] if word != "--"]
        if status := cli.main([*arguments, *extra]):
            raise SystemExit(status)
