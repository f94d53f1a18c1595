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
    query["sort"] = _known_sort(campaign, query["sort"])
    limit, offset = query.pop("limit"), query.pop("offset")
    return board.entries(campaign, board.LeaderboardQuery(**query), limit=limit, offset=offset)


def _known_sort(campaign: Campaign, sort: str) -> str:
    """Return the sort as `standings.leaderboard` names it: the metric's name is one for "value"."""
    varying, _ = leaderboard.varying_params(campaign)
    sorts = [*leaderboard.SORTS, *(leaderboard.PARAM_PREFIX + name for name in varying)]
    sign, key = ("-", sort[1:]) if sort.startswith("-") else ("", sort)
    metric = campaign.metric_spec.name
    if key == metric:
        return f"{sign}value"
    if key not in sorts:
        raise ValidationError({"sort": [f"Must be one of: {', '.join([*sorts, metric])}."]})
    return sort
