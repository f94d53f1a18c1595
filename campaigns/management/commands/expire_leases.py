"""Take back overdue leases now, as the q-cluster does every minute."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from campaigns import lifecycle
from campaigns.clock import database_now


class Command(BaseCommand):
    """`manage.py expire_leases`."""

    help = (
        "Take back overdue leases now, so that other workers can claim their tasks. The q-cluster "
        "does this every minute, and so does each claim."
    )

    def handle(self, *_args: Any, **_options: Any) -> None:
        now, expired = database_now(), 0
        while batch := lifecycle.expire(now=now):
            expired += batch
        finished = lifecycle.finish_done_campaigns(now=now)
        self.stdout.write(f"{expired} leases expired, {finished} campaigns completed.")
