"""Print the state of the installation, and what needs attention."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from campaigns.clock import database_now
from campaigns.health import concerns, health, live_campaigns
from campaigns.standings.champions import latest_champions
from xeenet_site.web.plain_text import plain


class Command(BaseCommand):
    """`manage.py overview`."""

    help = (
        "Print what runs, which workers are online, the latest leaders, and what needs attention."
    )

    def handle(self, *_args: Any, **_options: Any) -> None:
        now, live = database_now(), live_campaigns()
        figures = health(live, now=now)
        self.stdout.write(
            f"Active campaigns: {figures.active_campaigns}; tasks: {figures.running:,} run, "
            f"{figures.waiting:,} wait, {figures.tasks_per_hour:,} ended in the last hour"
        )
        self.stdout.write(
            f"Workers: {figures.workers}; {figures.online} online, {figures.busy} of them busy, "
            f"{figures.simulating} without torch"
        )
        for champion in latest_champions():
            result = champion.result
            spec = result.campaign.metric_spec
            self.stdout.write(
                f"{spec.name} {spec.text(result.value or 0.0)} leads {plain(result.campaign.name)} "
                f"(task {result.task_id}, {plain(result.device_used)})"
            )
        for concern in concerns(figures, live, now=now, reader=None):
            self.stdout.write(self.style.WARNING(f"! {plain(concern.text)}"))
