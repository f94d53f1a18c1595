"""List and change workers and invitations on the command line, as the API does."""

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
        "List workers; drain, resume or disable a worker, or replace its token; list and withdraw "
        "invitations. New invitations are made by enroll_worker."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        list_parser = verbs.add_parser("list", help="list the fleet by name")
        list_parser.add_argument("--state", choices=WorkerState.values)
        list_parser.add_argument("--search", default="", metavar="TEXT", help="part of the name")
        for verb, text in (
            ("show", "print a worker with its hardware and its recent attempts"),
            ("attempts", "print all its attempts as CSV, oldest first"),
            ("calibrations", "list what it measured of its speed, newest first"),
            ("admit-calibration", "let it have work budgets although its values are off"),
            ("drain", "let it finish the tasks it holds and claim no new ones"),
            ("resume", "let it claim tasks again"),
            ("disable", "reject its token from its next request on"),
            ("rotate-token", "replace its token; the new one is shown only once"),
        ):
            verbs.add_parser(verb, help=text).add_argument("worker", help="the worker's name")
        verbs.add_parser("invitations", help="list all invitations, newest first")
        withdraw_parser = verbs.add_parser("withdraw", help="delete an unused invitation")
        withdraw_parser.add_argument(
            "invitation", type=int, help="its number, as the list of invitations shows it"
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            getattr(self, options["verb"].replace("-", "_"))(options)
        except lifecycle.WorkerError as error:
            raise CommandError(str(error)) from error

    def list(self, options: dict[str, Any]) -> None:
        """Print a line for each worker."""
        matches = Worker.objects.filter(name__icontains=options["search"])
        workers = matches.select_related("person").order_by("name")
        state = options["state"]
        workers = workers.filter(state=state) if state else workers.present()
        for row in fleet.fleet_rows(list(workers), now=timezone.now()):
            self._print_row(row)

    def show(self, options: dict[str, Any]) -> None:
        """Print a worker with its hardware."""
        worker = _find_worker(options["worker"])
        [row] = fleet.fleet_rows([worker], now=timezone.now())
        self._print_row(row)
        if row.owner_pause:
            self.stdout.write(f"  {row.owner_pause}")
        if row.outdated:
            self.stdout.write(f"  {plain(row.outdated)}")
        for name, value in worker.hardware.items():
            self.stdout.write(f"  {plain(name)}: {plain(value)}")

    def attempts(self, options: dict[str, Any]) -> None:
        """Print the same CSV that the worker's page sends as a file."""
        for line in fleet.attempts_csv(_find_worker(options["worker"])):
            self.stdout.write(line, ending="")

    def calibrations(self, options: dict[str, Any]) -> None:
        """Print a line for each measurement of its speed."""
        for calibration in _find_worker(options["worker"]).calibrations.defer("shapes"):
            load = calibration.foreign_load
            words = [
                f"{calibration.taken_at:%Y-%m-%d %H:%M}",
                f"speed {calibration.speed_text or 'unknown'}",
                plain(f"{calibration.device} {calibration.dtype}"),
                f"{calibration.threads or 'unknown'} threads",
                f"foreign load {'unknown' if load is None else f'{load:.2f}'}",
            ]
            if calibration.flagged:
                words.append("flagged" if calibration.is_held_back else "flagged, admitted")
            self.stdout.write("  ".join(words))

    def admit_calibration(self, options: dict[str, Any]) -> None:
        """Admit a measurement that was flagged."""
        self._change(steering.admit_calibration, options)

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
        """Print a new token; the old one is rejected."""
        secret = steering.rotate_token(None, _find_worker(options["worker"]), now=timezone.now())
        self.stderr.write("The new token, shown only once; the old one no longer works:")
        self.stdout.write(secret)

    def invitations(self, _options: dict[str, Any]) -> None:
        """Print a line for each invitation."""
        now = timezone.now()
        for invitation in steering.invitations(None):
            if invitation.used_at is not None:
                state = f"used by {plain(invitation.worker)}"
            else:
                state = "expired" if invitation.expires_at <= now else "open"
            label = f" ({plain(invitation.label)})" if invitation.label else ""
            until = f"until {invitation.expires_at:%Y-%m-%d %H:%M}"
            self.stdout.write(f"{invitation.pk:6}{label}  {state}, {until}")

    def withdraw(self, options: dict[str, Any]) -> None:
        """Delete an unused invitation, so that nobody can join with it."""
        number = options["invitation"]
        invitation = EnrolmentToken.objects.filter(pk=number).first()
        if invitation is None:
            raise CommandError(f"There is no invitation {number}.")
        steering.withdraw(None, invitation, now=timezone.now())
        self.stdout.write(f"Invitation {number} is withdrawn.")

    def _change(self, verb: Any, options: dict[str, Any]) -> None:
        worker = _find_worker(options["worker"])
        verb(None, worker, now=timezone.now())
        worker.refresh_from_db()
        self.stdout.write(f"Worker {plain(worker.name)} is {worker.state}.")

    def _print_row(self, row: fleet.FleetRow) -> None:
        worker = row.worker
        presence = "online" if row.is_online else "offline"
        machine = plain(worker.device) or "no torch"
        if worker.is_program:
            machine = f"program of {plain(worker.program_of)}"
        self.stdout.write(
            f"{worker.pk:6}  {plain(worker.name)}  {worker.state}, {presence}, "
            f"{machine}: {row.attempts} attempts within a day, "
            f"{row.failed} failed"
        )


def _find_worker(name: str) -> Worker:
    worker = Worker.objects.filter(name=name).first()
    if worker is None:
        raise CommandError(f"There is no worker named {name!r}; see: manage.py worker list")
    return worker
