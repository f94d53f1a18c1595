"""The arms of a worker's runs on the boards of their campaigns, for the worker's page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from campaigns.charts import glyph
from campaigns.models import Attempt, Campaign
from campaigns.standings import arms
from campaigns.standings.arm_place import ArmPlace
from campaigns.views.glyphs import interval
from campaigns.views.side_parts import worth_of
from workers.run_places import RunPlace

# The boards of so many campaigns are read for a page; later ones on it have no glyphs.
BOARDS_READ: Final = 5


def places_of(attempts: Sequence[Attempt]) -> dict[int, RunPlace]:
    """Return the places of the ranked runs among these attempts, by the attempt's id.

    An arm beyond the first rows of its board is drawn by the value of the run. The boards are
    cached by the campaigns' revisions.
    """
    runs = [attempt for attempt in attempts if _is_ranked(attempt)]
    campaigns = {attempt.task.campaign_id: attempt.task.campaign for attempt in runs}
    boards = {pk: _Board(campaigns[pk]) for pk in list(campaigns)[:BOARDS_READ]}
    return {
        attempt.pk: boards[attempt.task.campaign_id].place_of(attempt)
        for attempt in runs
        if attempt.task.campaign_id in boards
    }


def _is_ranked(attempt: Attempt) -> bool:
    result = getattr(attempt, "result", None)
    return result is not None and result.is_ranked and result.value is not None


class _Board:
    """The first rows of a campaign's board and their scale."""

    def __init__(self, campaign: Campaign) -> None:
        self._campaign = campaign
        self._rows = arms.rows(campaign, limit=arms.KEPT_ROWS)
        self._of_arm = {row.arm: row for row in self._rows}
        self._scale = glyph.scale_of(
            map(interval, self._rows), is_maximised=campaign.metric_spec.is_maximised
        )

    def place_of(self, attempt: Attempt) -> RunPlace:
        number = attempt.task.arm.number
        row = self._of_arm.get(number)
        own = interval(row) if row else glyph.Interval(attempt.result.value)
        place = ArmPlace(row, None, len(self._rows), None, None)
        leader = interval(self._rows[0]) if self._rows else None
        return RunPlace(
            arm=number,
            url=f"{self._campaign.get_absolute_url()}?open=arm-{number}",
            worth=worth_of(self._campaign, place),
            glyph=glyph.svg(own, self._scale, leader=leader) if self._scale else "",
        )
