"""The share of one campaign."""

from __future__ import annotations

from typing import Any

from campaigns.models import Campaign
from campaigns.standings.shares import share_of, share_sentence, turns_now


def share_data(campaign: Campaign) -> dict[str, Any]:
    """Return what is set of its share, and where it stands now. Two queries."""
    share, standing = share_of(campaign), turns_now().get(campaign.pk)
    return {
        "weight": share.weight,
        "place": share.place,
        "account_seconds": share.account,
        "turn": standing.turn if standing else None,
        "turns": standing.of if standing else None,
        "share": standing.share if standing else None,
        "sentence": share_sentence(campaign, standing),
    }
