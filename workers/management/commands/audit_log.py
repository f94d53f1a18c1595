"""Print the audit log."""

from __future__ import annotations

import datetime as dt
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from workers.models import AuditEntry
from xeenet_site.web.plain_text import plain


class Command(BaseCommand):
    """`manage.py audit_log`."""

    help = "Print what people and the command line did, newest first."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("--person", metavar="TEXT", help="part of the user name")
        add("--verb", help="the action, for example launch")
        add("--kind", help="kind of target: campaign, task, worker, webhook …")
        add("--target", type=int, metavar="N", help="the target's number")
        add("--search", metavar="TEXT", help="part of the target's name")
        add(
            "--since",
            type=_instant,
            metavar="TIME",
            help="only entries from this time on, for example 2026-01-31 or 2026-01-31T12:00",
        )
        add("--until", type=_instant, metavar="TIME", help="only entries before this time")
        add("--limit", type=int, default=50, help="at most so many entries (default 50)")

    def handle(self, *_args: Any, **options: Any) -> None:
        look_ups = {
            "person": "actor_name__icontains",
            "verb": "verb",
            "kind": "target_kind",
            "target": "target_id",
            "search": "target_name__icontains",
            "since": "at__gte",
            "until": "at__lt",
        }
        filters = {look_ups[name]: options[name] for name in look_ups if options[name] is not None}
        for entry in AuditEntry.objects.filter(**filters)[: max(1, options["limit"])]:
            detail = f": {entry.detail}" if entry.detail else ""
            # A script is identified by its hash and has no number; a task has its number in the
            # campaign, which its name ends with.
            has_number = entry.target_id is not None and entry.target_kind != "task"
            number = f" {entry.target_id}" if has_number else ""
            line = (
                f"{entry.at:%Y-%m-%d %H:%M:%S}  {entry.actor_name}  {entry.verb}  "
                f"{entry.target_kind}{number} {entry.target_name}{detail}"
            )
            self.stdout.write(plain(line))


def _instant(text: str) -> dt.datetime:
    """Read an instant in ISO 8601, in the server's time zone unless it names its own."""
    at = dt.datetime.fromisoformat(text)
    return at if timezone.is_aware(at) else timezone.make_aware(at)
