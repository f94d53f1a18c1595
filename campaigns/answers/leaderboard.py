"""The rows of a leaderboard."""

from __future__ import annotations

from typing import Any

from rest_framework.exceptions import ValidationError

from campaigns.models import Campaign
from campaigns.standings import board, leaderboard
from campaigns.standings.rows import Row


def rows_of(campaign: Campaign, asked: dict[str, Any]) -> list[Row]:
    """Return the rows that `LeaderboardQuerySerializer` let through. Raises ValidationError."""
    _check_sort(campaign, asked["sort"])
    limit, offset, chosen = asked.pop("limit"), asked.pop("offset"), board.LeaderboardQuery(**asked)
    return board.entries(campaign, chosen, limit=limit, offset=offset)


def _check_sort(campaign: Campaign, sort: str) -> None:
    varying, _ = leaderboard.varying_params(campaign)
    sorts = [*leaderboard.SORTS, *(leaderboard.PARAM_PREFIX + name for name in varying)]
    if sort.removeprefix("-") not in sorts:
        raise ValidationError({"sort": [f"Must be one of: {', '.join(sorts)}."]})
