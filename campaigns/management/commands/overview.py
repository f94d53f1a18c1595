"""Print the state of the installation, and what needs attention."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.management.base import BaseCommand

from campaigns.charts import glyph
from campaigns.clock import database_now
from campaigns.health import concerns, health, live_campaigns
from campaigns.management.terminal import forecast_words
from campaigns.standings.champions import Champion, latest_champions
from experiments import metrics
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
        champions = latest_champions()
        for champion, drawn in zip(champions, _glyphs(champions), strict=True):
            result = champion.result
            spec = result.campaign.metric_spec
            value = "–" if champion.value is None else spec.text(champion.value)
            self.stdout.write(
                f"{plain(result.campaign.name)}: {spec.name} {value} {drawn}({champion.worth}; "
                f"task {result.task.name}, {plain(result.device_used)})"
            )
        for concern in concerns(figures, live, now=now, reader=None):
            self.stdout.write(self.style.WARNING(f"! {plain(concern.text)}"))


def _glyphs(champions: Sequence[Champion]) -> list[str]:
    """Return the interval of each first arm on one scale, "" where that says nothing."""
    spec = metrics.common(champion.result.campaign.metric_spec for champion in champions)
    intervals = [
        glyph.Interval(
            champion.value, row.half_width if row else None, row.screening if row else None
        )
        for champion, row in ((champion, champion.raced) for champion in champions)
    ]
    scale = glyph.scale_of(intervals, is_maximised=spec.is_maximised) if spec else None
    if scale is None or len(champions) < 2:
        return [""] * len(champions)
    return [f"[{glyph.text(interval, scale)}] " for interval in intervals]
