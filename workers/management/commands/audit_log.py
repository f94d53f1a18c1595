"""Print what people did."""

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

    help = "Print what people and the command line did, the last first."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("--person", metavar="TEXT", help="a part of the user name")
        add("--verb", help="such as launch")
        add("--kind", help="of the target: campaign, task, worker, webhook …")
        add("--target", type=int, metavar="N", help="the target's number")
        add("--search", metavar="TEXT", help="a part of the target's name")
        add("--since", type=_instant, metavar="TIME", help="such as 2026-01-31 or 2026-01-31T12:00")
        add("--until", type=_instant, metavar="TIME", help="what was done before it")
        add("--limit", type=int, default=50, help="entries (default 50)")

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
        wanted = {look_ups[name]: options[name] for name in look_ups if options[name] is not None}
        for one in AuditEntry.objects.filter(**wanted)[: max(1, options["limit"])]:
            detail = f": {one.detail}" if one.detail else ""
            # Scripts have no number.
            number = "" if one.target_id is None else f" {one.target_id}"
            line = (
                f"{one.at:%Y-%m-%d %H:%M:%S}  {one.actor_name}  {one.verb}  {one.target_kind}"
                f"{number} {one.target_name}{detail}"
            )
            self.stdout.write(plain(line))


def _instant(text: str) -> dt.datetime:
    """Read an instant in ISO 8601, in the server's time zone unless it names one."""
    at = dt.datetime.fromisoformat(text)
    return at if timezone.is_aware(at) else timezone.make_aware(at)
