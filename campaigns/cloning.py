"""Describing a campaign by another one."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Final

from campaigns.lifecycle import CampaignSpec
from campaigns.models import Campaign

MAX_NAME_LENGTH: Final = 200
_COPY: Final = " (copy)"


def spec_of(campaign: Campaign, **changes: Any) -> CampaignSpec:
    """Return the description that makes this campaign again, with some fields changed.

    The data set is named by its hash. The script is the experiment's of today.
    """
    told = {
        one.name: getattr(campaign, one.name)
        for one in fields(CampaignSpec)
        if hasattr(campaign, one.name)
    }
    name = f"{campaign.name[: MAX_NAME_LENGTH - len(_COPY)]}{_COPY}"
    return CampaignSpec(**told | {"name": name, "dataset": campaign.dataset_id} | changes)
