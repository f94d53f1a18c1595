"""Invite a machine to become a worker."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from workers import lifecycle, steering


class Command(BaseCommand):
    """`manage.py enroll_worker`."""

    help = "Make a single-use enrolment token (or, with --direct, a worker and its token)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("--name", default="", help="the worker's name (default: the machine's host name)")
        add(
            "--server",
            default=f"http://127.0.0.1:8000{settings.BASE_PATH}",
            help="the server's address as the machine reaches it",
        )
        add("--direct", action="store_true", help="make the worker and its token now; needs --name")

    def handle(self, *_args: Any, **options: Any) -> None:
        name, server, now = options["name"], options["server"], timezone.now()
        try:
            lifecycle.check_name(name)
        except lifecycle.WorkerNameReserved as error:
            raise CommandError(str(error)) from error
        if not options["direct"]:
            _, secret = steering.invite(None, now=now, label=name)
            name_option = f" --name {name}" if name else ""
            hours = settings.XEENET["ENROLMENT_TOKEN_HOURS"]
            self.stdout.write(f"On the new machine, once, within {hours:g} hours:\n")
            arguments = f"--server {server} --enrol {secret}{name_option}"
            self.stdout.write(f"  xeenet-worker {arguments}")
            self.stdout.write(f"\nIn a checkout:\n\n  python3 dev.py worker {arguments}")
            self.stdout.write("\nLater starts need neither server nor token.")
            return
        if not name:
            raise CommandError("--direct needs --name.")
        try:
            worker, secret = steering.register(None, name, now=now)
        except lifecycle.WorkerNameTaken as error:
            raise CommandError(f"A worker named {name!r} exists; choose another name.") from error
        self.stdout.write(f"Worker {worker.pk}, {worker.name}. Its token is shown only now:\n")
        self.stdout.write(f"  XEENET_WORKER_TOKEN={secret} xeenet-worker --server {server}")
