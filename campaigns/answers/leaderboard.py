"""The rows of a leaderboard."""

from __future__ import annotations

from typing import Any

from rest_framework.exceptions import ValidationError

from campaigns.models import Campaign
from campaigns.standings import board, leaderboard
from campaigns.standings.rows import Row


def rows_of(campaign: Campaign, query: dict[str, Any]) -> list[Row]:
    """Return the leaderboard rows for a query with the fields of `LeaderboardQuerySerializer`.

    Takes `limit` and `offset` out of `query`. Raises ValidationError for a sort that the campaign
    does not have.
    """
    _check_sort(campaign, query["sort"])
    limit, offset = query.pop("limit"), query.pop("offset")
    return board.entries(campaign, board.LeaderboardQuery(**query), limit=limit, offset=offset)


def _check_sort(campaign: Campaign, sort: str) -> None:
    varying, _ = leaderboard.varying_params(campaign)
    sorts = [*leaderboard.SORTS, *(leaderboard.PARAM_PREFIX + name for name in varying)]
    if sort.removeprefix("-") not in sorts:
        raise ValidationError({"sort": [f"Must be one of: {', '.join(sorts)}."]})
