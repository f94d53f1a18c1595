"""The board of a campaign's arms."""

from __future__ import annotations

from typing import Any

from campaigns.models import Campaign
from campaigns.serializers.arms import ArmsSerializer
from campaigns.standings import arms


def board_of(campaign: Campaign, *, limit: int, offset: int) -> dict[str, Any]:
    """Return what may be claimed of the arms and a part of their board, as JSON data."""
    spec = campaign.metric_spec
    data: dict[str, Any] = ArmsSerializer(
        {
            "metric": spec.name,
            "unit": spec.unit,
            "direction": spec.direction,
            "verdict": arms.sentence(campaign),
            "count": arms.count(campaign),
            "rows": [row._asdict() for row in arms.rows(campaign, limit=limit, offset=offset)],
        }
    ).data
    return data
