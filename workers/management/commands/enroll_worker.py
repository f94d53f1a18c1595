"""Invite a machine to become a worker."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from workers import lifecycle, steering
from workers.joining.lines import in_a_checkout, lines, link, starts_with_token
from xeenet_site.web import addresses


class Command(BaseCommand):
    """`manage.py enroll_worker`."""

    help = "Make a single-use enrolment token (or, with --direct, a worker and its token)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("--name", default="", help="the worker's name (default: the machine's host name)")
        add(
            "--server",
            default="",
            help="the server's address as the machine reaches it (default: this machine's address "
            "in its network, port 8000)",
        )
        add("--direct", action="store_true", help="make the worker and its token now; needs --name")

    def handle(self, *_args: Any, **options: Any) -> None:
        name, server, now = options["name"], options["server"].rstrip("/"), timezone.now()
        if not server:
            server = self._likely_server()
        try:
            lifecycle.check_name(name)
        except lifecycle.WorkerNameReserved as error:
            raise CommandError(str(error)) from error
        if not options["direct"]:
            _, secret = steering.invite(None, now=now, label=name)
            self._say_how_to_join(server, ["--enrol", secret, *(["--name", name] if name else [])])
            self.stdout.write(f"\nOr open this page there:\n\n  {link(server, secret)}")
            return
        if not name:
            raise CommandError("--direct needs --name.")
        try:
            worker, secret = steering.register(None, name, now=now)
        except lifecycle.WorkerNameTaken as error:
            raise CommandError(f"A worker named {name!r} exists; choose another name.") from error
        self.stdout.write(f"Worker {worker.pk}, {worker.name}. Its token is shown only now:\n")
        for title, command in starts_with_token(server, secret):
            self.stdout.write(f"{title}:\n\n  {command}\n")

    def _say_how_to_join(self, server: str, arguments: list[str]) -> None:
        hours = settings.XEENET["ENROLMENT_TOKEN_HOURS"]
        self.stdout.write(f"On the new machine, within {hours:g} hours:")
        for shell in lines(server, arguments):
            install = shell.install.replace("\n", "\n  ")
            self.stdout.write(f"\n{shell.title}:\n\n  {install}\n  {shell.start}")
        self.stdout.write(f"\nIn a checkout:\n\n  {in_a_checkout(server, arguments)}")
        self.stdout.write("\nLater starts need neither server nor token.")

    def _likely_server(self) -> str:
        """Return this machine's address for others, with a warning where there is none."""
        hosts = addresses.lan_addresses()
        if not hosts:
            self.stderr.write(
                "This machine has no address in a network. Give the server's with --server; "
                "127.0.0.1 works on this machine only."
            )
        return f"http://{hosts[0] if hosts else '127.0.0.1'}:8000{settings.BASE_PATH}"
