"""The board of arms on a campaign's page in the admin."""

from __future__ import annotations

from typing import Final

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from campaigns.models import Campaign
from campaigns.standings import arms
from campaigns.standings.raced import ArmRow
from experiments.metrics import MetricSpec

ROWS_SHOWN: Final = 20


def leaderboard_table(campaign: Campaign) -> SafeString:
    """Return what may be claimed of the campaign's arms, and the first rows of their board."""
    spec = campaign.metric_spec
    rows = arms.rows(campaign, limit=ROWS_SHOWN)
    body = format_html_join(
        "",
        "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
        (_cells(row, spec) for row in rows),
    )
    return format_html(
        '<p>{}</p><table id="leaderboard"><thead><tr><th>rank</th><th>arm</th><th>standing</th>'
        "<th>{}</th><th>±</th><th>race seeds</th></tr></thead><tbody>{}</tbody></table>"
        '<p><a href="{}#board">The whole board</a></p>',
        arms.sentence(campaign),
        f"{spec.name} ({spec.unit})",
        body,
        campaign.get_absolute_url(),
    )


def _cells(row: ArmRow, spec: MetricSpec) -> tuple[object, ...]:
    return (
        "" if row.rank is None else row.rank,
        row.arm,
        row.standing,
        "–" if row.value is None else spec.text(row.value),
        "" if row.half_width is None else spec.text(row.half_width),
        row.seeds,
    )
