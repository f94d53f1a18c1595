"""Print how the installation does, and what needs a person."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from campaigns.clock import database_now
from campaigns.health import concerns, health, live_campaigns
from campaigns.standings.champions import latest_champions
from xeenet_site.web.plain_text import plain


class Command(BaseCommand):
    """`manage.py overview`."""

    help = "Print what runs, who is there, what was found last, and what needs attention."

    def handle(self, *_args: Any, **_options: Any) -> None:
        now, live = database_now(), live_campaigns()
        found = health(live, now=now)
        self.stdout.write(
            f"Active campaigns: {found.active_campaigns}; tasks: {found.running:,} run, "
            f"{found.waiting:,} wait, {found.tasks_per_hour:,} ended in the last hour"
        )
        self.stdout.write(
            f"Workers: {found.workers}; {found.online} online, {found.busy} of them busy, "
            f"{found.simulating} without torch"
        )
        for champion in latest_champions():
            result = champion.result
            self.stdout.write(
                f"{result.val_bpb:.4f} leads {plain(result.campaign.name)} "
                f"(task {result.task_id}, {plain(result.device_used)})"
            )
        for concern in concerns(found, live, now=now, reader=None):
            self.stdout.write(self.style.WARNING(f"! {plain(concern.text)}"))
