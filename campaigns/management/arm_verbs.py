"""The verbs of single arms in `manage.py campaign`: again, note."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from campaigns import steering
from campaigns.answers.notes import note_data
from campaigns.clock import database_now
from campaigns.lifecycle import MOST_TIMES_AGAIN
from campaigns.management.lookup import campaign_or_error
from campaigns.management.terminal import task_sentence
from campaigns.models import Arm, Campaign, Task
from xeenet_site.web.plain_text import plain


def add_arm_verbs(verbs: Any, numbered: Callable[[ArgumentParser], ArgumentParser]) -> None:
    """Add the verbs to a command's subparsers; `numbered` adds the campaign's number to one."""
    command = numbered(verbs.add_parser("again", help="run one arm on further seeds"))
    command.add_argument("arm", type=int, help="number of the arm")
    command.add_argument(
        "--times", type=int, default=1, metavar="N", help=f"1 to {MOST_TIMES_AGAIN} (default 1)"
    )
    command = numbered(verbs.add_parser("note", help="print or write the note on an arm or task"))
    subject = command.add_mutually_exclusive_group(required=True)
    subject.add_argument("--arm", type=int, metavar="N", help="number of the arm")
    subject.add_argument("--task", type=int, metavar="N", help="number of the task")
    command.add_argument("--text", help='write this instead of printing it; "" empties it')


class ArmVerbs(BaseCommand):
    """What the verbs of `add_arm_verbs` do, each with the parsed options."""

    def again(self, options: dict[str, Any]) -> None:
        """Add tasks of an arm on its next seeds."""
        arm = _of(campaign_or_error(options["campaign"]), "arm", options["arm"])
        for task in steering.run_again(None, arm, options["times"], now=database_now()):
            self.stdout.write(task_sentence(task))

    def note(self, options: dict[str, Any]) -> None:
        """Print the note on an arm or a task, or replace it."""
        kind = "task" if options["arm"] is None else "arm"
        subject = _of(campaign_or_error(options["campaign"]), kind, options[kind])
        if options["text"] is not None:
            steering.write_note(None, subject, options["text"], now=database_now())
            self.stdout.write(f"The note on {kind} {subject.number} is saved.")
            return
        note = note_data(subject)
        if not note["text"]:
            self.stdout.write(f"There is no note on {kind} {subject.number}.")
            return
        for line in note["text"].split("\n"):
            self.stdout.write(plain(line))
        self.stdout.write(f"({plain(note['author'])}, {note['edited_at'][:16]})")


def _of(campaign: Campaign, kind: str, number: int) -> Any:
    """Return the arm or task with this number. Raises CommandError."""
    rows: Any = campaign.arms if kind == "arm" else campaign.tasks
    subject: Arm | Task | None = rows.select_related("note").filter(number=number).first()
    if subject is None:
        raise CommandError(f"Campaign {campaign.pk} has no {kind} {number}.")
    subject.campaign = campaign
    return subject
