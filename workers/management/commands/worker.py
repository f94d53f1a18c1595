"""What the API does with workers and invitations, on the command line."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from workers import fleet, lifecycle, steering
from workers.models import EnrolmentToken, Worker, WorkerState
from xeenet_site.web.plain_text import plain


class Command(BaseCommand):
    """`manage.py worker VERB`."""

    help = (
        "List workers, drain, resume, disable one or give it a new token; list and withdraw "
        "invitations. Made by enroll_worker."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        one = verbs.add_parser("list", help="the fleet, by name")
        one.add_argument("--state", choices=WorkerState.values)
        one.add_argument("--search", default="", metavar="TEXT", help="a part of the name")
        for verb, text in (
            ("show", "what it is and what became of its attempts"),
            ("attempts", "everything it ran, as CSV, the oldest first"),
            ("drain", "let it finish what it holds and claim nothing new"),
            ("resume", "let it claim again"),
            ("disable", "shut it out from its next request on"),
            ("rotate-token", "replace its token; the new one is shown once"),
        ):
            verbs.add_parser(verb, help=text).add_argument("worker", help="its name")
        verbs.add_parser("invitations", help="all of them, the last made first")
        one = verbs.add_parser("withdraw", help="delete an invitation that nobody has used")
        one.add_argument("invitation", type=int, help="its number, from invitations")

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            getattr(self, options["verb"].replace("-", "_"))(options)
        except lifecycle.WorkerError as error:
            raise CommandError(str(error)) from error

    def list(self, options: dict[str, Any]) -> None:
        """Print a line for each."""
        found = Worker.objects.filter(name__icontains=options["search"])
        workers = found.select_related("person").order_by("name")
        if options["state"]:
            workers = workers.filter(state=options["state"])
        for row in fleet.fleet_rows(list(workers), now=timezone.now()):
            self._say(row)

    def show(self, options: dict[str, Any]) -> None:
        """Print a worker with its hardware."""
        worker = _found(options["worker"])
        [row] = fleet.fleet_rows([worker], now=timezone.now())
        self._say(row)
        for name, value in worker.hardware.items():
            self.stdout.write(f"  {plain(name)}: {plain(value)}")

    def attempts(self, options: dict[str, Any]) -> None:
        """Print what its page sends as a file."""
        for line in fleet.attempts_csv(_found(options["worker"])):
            self.stdout.write(line, ending="")

    def drain(self, options: dict[str, Any]) -> None:
        """Active → draining."""
        self._change(steering.drain, options)

    def resume(self, options: dict[str, Any]) -> None:
        """Draining, disabled or paused → active."""
        self._change(steering.resume, options)

    def disable(self, options: dict[str, Any]) -> None:
        """Active or draining → disabled."""
        self._change(steering.disable, options)

    def rotate_token(self, options: dict[str, Any]) -> None:
        """A new token; the old one opens nothing."""
        secret = steering.rotate_token(None, _found(options["worker"]), now=timezone.now())
        self.stderr.write("Its new token, shown this once; the old one opens nothing any more:")
        self.stdout.write(secret)

    def invitations(self, _options: dict[str, Any]) -> None:
        """Print a line for each."""
        now = timezone.now()
        for one in steering.invitations(None):
            if one.used_at is not None:
                state = f"used by {plain(one.worker)}"
            else:
                state = "expired" if one.expires_at <= now else "open"
            label = f" ({plain(one.label)})" if one.label else ""
            until = f"until {one.expires_at:%Y-%m-%d %H:%M}"
            self.stdout.write(f"{one.pk:6}{label}  {state}, {until}")

    def withdraw(self, options: dict[str, Any]) -> None:
        """Make an unused invitation worthless."""
        number = options["invitation"]
        invitation = EnrolmentToken.objects.filter(pk=number).first()
        if invitation is None:
            raise CommandError(f"There is no invitation {number}.")
        steering.withdraw(None, invitation, now=timezone.now())
        self.stdout.write(f"Invitation {number} is withdrawn.")

    def _change(self, verb: Any, options: dict[str, Any]) -> None:
        worker = _found(options["worker"])
        verb(None, worker, now=timezone.now())
        worker.refresh_from_db()
        self.stdout.write(f"Worker {plain(worker.name)} is {worker.state}.")

    def _say(self, row: fleet.FleetRow) -> None:
        worker = row.worker
        presence = "online" if row.is_online else "offline"
        what = plain(worker.device) or "no torch"
        if worker.is_program:
            what = f"program of {plain(worker.program_of)}"
        self.stdout.write(
            f"{worker.pk:6}  {plain(worker.name)}  {worker.state}, {presence}, "
            f"{what}: {row.attempts} attempts within a day, "
            f"{row.failed} failed"
        )


def _found(name: str) -> Worker:
    worker = Worker.objects.filter(name=name).first()
    if worker is None:
        raise CommandError(f"There is no worker named {name!r}; see: manage.py worker list")
    return worker
