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

    Data set and uploaded script are named by their hash; a script of the catalog is today's.
    """
    told = {
        one.name: getattr(campaign, one.name)
        for one in fields(CampaignSpec)
        if hasattr(campaign, one.name)
    }
    name = f"{campaign.name[: MAX_NAME_LENGTH - len(_COPY)]}{_COPY}"
    pinned = {
        "dataset": campaign.dataset_id,
        "script": campaign.package_id if campaign.package.is_uploaded else "",
    }
    return CampaignSpec(**told | pinned | {"name": name} | changes)
