"""Upload and judge training scripts: a verb for each operation of the API."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from campaigns.clock import database_now
from campaigns.management.lookup import say_what_is_refused, script_or_error
from campaigns.models import Package
from campaigns.scripts import steering as script_steering
from campaigns.scripts.source import MAX_SCRIPT_BYTES
from xeenet_site.web.plain_text import plain


class Command(BaseCommand):
    """`manage.py script VERB`."""

    help = (
        "Upload a variation of an experiment's training script; list, read, approve, decline, "
        "withdraw or delete uploaded scripts. No worker gets an uploaded script before its hash is "
        "approved."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        verbs.add_parser("list", help="list the uploaded scripts, newest first")
        command = verbs.add_parser("upload", help="store one .py file for an operator to read")
        command.add_argument("path", type=Path)
        command.add_argument(
            "--experiment", default="train_char_lm", help="what it is a variation of"
        )
        command.add_argument("--name", default="", help="default: the file's name")
        for verb, text in (
            ("show", "print its text, or with --diff its changes to the experiment's own script"),
            ("approve", "allow workers to get exactly these bytes"),
            ("decline", "decline to approve it, and say why"),
            ("withdraw", "give it to no worker from now on; running tasks may finish"),
            ("delete", "delete it; only possible while no campaign uses it"),
        ):
            command = verbs.add_parser(verb, help=text)
            command.add_argument("sha256", help="its hash, or the first letters of it")
            if verb == "show":
                command.add_argument("--diff", action="store_true")
            elif verb == "decline":
                command.add_argument("--reason", required=True, help="shown to the uploader")

    def handle(self, *_args: Any, **options: Any) -> None:
        with say_what_is_refused():
            getattr(self, options["verb"])(options)

    def list(self, _options: dict[str, Any]) -> None:
        """Print a line for each uploaded script."""
        for package in script_steering.uploaded():
            sender = plain(package.uploaded_by.get_username()) if package.uploaded_by else "–"
            standing = package.standing.partition(" ")[0]
            self.stdout.write(
                f"{package.sha256[:12]}  {standing:8}  {package.experiment}  {sender}  "
                f"{plain(package.name)}"
            )

    def upload(self, options: dict[str, Any]) -> None:
        """Store a script."""
        path: Path = options["path"]
        try:
            with path.open("rb") as file:
                # One byte more than allowed: enough to notice that a file is too large.
                source = file.read(MAX_SCRIPT_BYTES + 1)
        except OSError as error:
            raise CommandError(f"Cannot read {path}: {error.strerror}.") from error
        package, is_new = script_steering.upload(
            None,
            name=options["name"] or script_steering.name_of_file(path.name),
            experiment=options["experiment"],
            source=source,
            now=database_now(),
        )
        if not is_new:
            self.stderr.write("These very bytes are here already.")
        self._say(package)

    def show(self, options: dict[str, Any]) -> None:
        """Print a script, or its difference to the experiment's own script."""
        package = script_or_error(options["sha256"])
        lines = (
            script_steering.difference(package)
            if options["diff"]
            else script_steering.lines_of(package)
        )
        for line in lines:
            # Uploads with control characters are refused, but scripts of the catalog and old rows
            # were never checked. Tabs stay.
            self.stdout.write("\t".join(map(plain, line.split("\t"))))

    def approve(self, options: dict[str, Any]) -> None:
        """Allow workers to get it."""
        package = script_or_error(options["sha256"])
        script_steering.approve(None, package, now=database_now())
        self._say(package)

    def withdraw(self, options: dict[str, Any]) -> None:
        """Give it to no worker from now on."""
        package = script_or_error(options["sha256"])
        script_steering.withdraw(None, package, now=database_now())
        self._say(package)

    def decline(self, options: dict[str, Any]) -> None:
        """Decline to approve it, with a reason."""
        package = script_or_error(options["sha256"])
        script_steering.decline(None, package, reason=options["reason"], now=database_now())
        self._say(package)

    def delete(self, options: dict[str, Any]) -> None:
        """Delete it."""
        package = script_or_error(options["sha256"])
        script_steering.delete(None, package, now=database_now())
        self.stdout.write(f"The script {plain(package.name)} is deleted: sha256 {package.sha256}.")

    def _say(self, package: Package) -> None:
        is_judged = package.may_run or package.declined_at is not None
        state = f"is {package.standing}" if is_judged else package.standing
        if package.declined_reason:
            state += f" ({plain(package.declined_reason)})"
        self.stdout.write(
            f"The script {plain(package.name)} {state}: sha256 {package.sha256}. "
            f"Page: {package.get_absolute_url()}"
        )
