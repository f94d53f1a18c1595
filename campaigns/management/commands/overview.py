"""Print the state of the installation, and what needs attention."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from campaigns.clock import database_now
from campaigns.health import concerns, health, live_campaigns
from campaigns.management.terminal import forecast_words
from campaigns.standings.champions import latest_champions
from xeenet_site.web.plain_text import plain


class Command(BaseCommand):
    """`manage.py overview`."""

    help = "Print what runs, who is online, the first arms of new campaigns, and what needs help."

    def handle(self, *_args: Any, **_options: Any) -> None:
        now, live = database_now(), live_campaigns()
        figures = health(live, now=now)
        self.stdout.write(
            f"Active campaigns: {figures.active_campaigns}; tasks: {figures.running:,} run, "
            f"{figures.waiting:,} wait, {figures.tasks_per_hour:,} ended in the last hour"
        )
        self.stdout.write(
            f"Workers: {figures.workers}; {figures.online} online, {figures.busy} of them busy, "
            f"{figures.simulating} without torch; {figures.slots} tasks at a time"
        )
        for campaign in live:
            if words := forecast_words(figures.outlook.forecasts[campaign.pk], now=now):
                self.stdout.write(f"{plain(campaign.name)}: {words}")
        for champion in latest_champions():
            result = champion.result
            spec = result.campaign.metric_spec
            value = "–" if champion.value is None else spec.text(champion.value)
            self.stdout.write(
                f"{plain(result.campaign.name)}: {spec.name} {value} ({champion.worth}; "
                f"task {result.task.name}, {plain(result.device_used)})"
            )
        for concern in concerns(figures, live, now=now, reader=None):
            self.stdout.write(self.style.WARNING(f"! {plain(concern.text)}"))
