"""Read and change single tasks: a verb for each operation of the API."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from rest_framework.utils.encoders import JSONEncoder

from campaigns import steering
from campaigns.analysis import curves
from campaigns.answers.task import task_detail
from campaigns.clock import database_now
from campaigns.exports.bundles import bundle_name, task_bundle
from campaigns.management.lookup import say_what_is_refused, task_name, task_or_error
from campaigns.management.terminal import attempt_line, change_line, task_sentence
from campaigns.models import Task
from campaigns.models.task_names import EXAMPLE


class Command(BaseCommand):
    """`manage.py task VERB`."""

    help = (
        "Show one task, its attempts, journal, learning curve or bundle; retry it, cancel it, "
        "run it again, or admit its implausible result. Use campaign tasks to list tasks, and "
        "campaign enqueue to add one."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        for verb, text in (
            ("show", "print everything about it as JSON"),
            ("attempts", "list its attempts, the first one first"),
            ("journal", "list the changes of state of it and its attempts, the first one first"),
            ("run-again", "add a task with the same params and a new seed"),
            ("retry", "give a failed task one more try"),
            ("cancel", "cancel a pending or running task"),
            ("admit", "rank a result that is shown as implausible after all"),
        ):
            _task(verbs.add_parser(verb, help=text))
        command = _task(verbs.add_parser("curve", help="print its progress points as CSV"))
        command.add_argument(
            "--attempt", type=int, metavar="N", help="only points of this attempt, from 1"
        )
        command = _task(verbs.add_parser("bundle", help="write a zip file that repeats its run"))
        command.add_argument(
            "--out", type=Path, help="file to write (default: named after the task)"
        )
        command.add_argument(
            "--server",
            default=f"http://127.0.0.1:8000{settings.BASE_PATH}",
            help="the address from which the bundle fetches data that only this server has",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        task = task_or_error(options["task"])
        with say_what_is_refused():
            getattr(self, options["verb"].replace("-", "_"))(task, options)

    def show(self, task: Task, _options: dict[str, Any]) -> None:
        """Print the same as the API, as JSON."""
        self.stdout.write(json.dumps(task_detail(pk=task.pk), indent=2, cls=JSONEncoder))

    def attempts(self, task: Task, _options: dict[str, Any]) -> None:
        """Print a line for each attempt."""
        for attempt in task.attempts.select_related("worker", "task").order_by("number"):
            self.stdout.write(attempt_line(attempt))

    def journal(self, task: Task, _options: dict[str, Any]) -> None:
        """Print a line for each change."""
        for change in task.changes.select_related("attempt", "task").order_by("pk"):
            self.stdout.write(change_line(change))

    def curve(self, task: Task, options: dict[str, Any]) -> None:
        """Print the progress points."""
        for line in curves.csv_of(task, attempt=options["attempt"]):
            self.stdout.write(line, ending="")

    def bundle(self, task: Task, options: dict[str, Any]) -> None:
        """Write the zip file."""
        out: Path = options["out"] or Path(f"{bundle_name(task)}.zip")
        server_url = options["server"].rstrip("/")
        content = task_bundle(task, getattr(task, "result", None), server_url=server_url)
        try:
            out.write_bytes(content)
        except OSError as error:
            raise CommandError(f"Cannot write {out}: {error.strerror}") from error
        self.stderr.write(f"Written: {out}")

    def retry(self, task: Task, _options: dict[str, Any]) -> None:
        """Failed → pending."""
        self._change(steering.retry_task, task)

    def cancel(self, task: Task, _options: dict[str, Any]) -> None:
        """Pending or leased → cancelled."""
        self._change(steering.cancel_task, task)

    def admit(self, task: Task, _options: dict[str, Any]) -> None:
        """Rank an implausible result."""
        steering.admit(None, task, now=database_now())
        self.stdout.write(f"The result of task {task.name} counts now.")

    def run_again(self, task: Task, _options: dict[str, Any]) -> None:
        """Add a task with the same params and a new seed."""
        (added,) = steering.run_again(None, task.arm, 1, now=database_now())
        self.stdout.write(task_sentence(added))

    def _change(self, verb: Any, task: Task) -> None:
        verb(None, task, now=database_now())
        task.refresh_from_db(fields=["state"])
        self.stdout.write(task_sentence(task))


def _task(parser: ArgumentParser) -> ArgumentParser:
    parser.add_argument(
        "task", type=task_name, metavar="N/N", help=f"campaign and number, such as {EXAMPLE}"
    )
    return parser
