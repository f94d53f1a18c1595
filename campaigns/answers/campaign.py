"""One campaign with its progress and best value."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404

from campaigns.answers.shares import share_data
from campaigns.clock import database_now
from campaigns.lifecycle.launch_checks import campaign_warnings
from campaigns.models import Campaign
from campaigns.serializers.campaigns import CampaignDetailSerializer
from campaigns.standings.finding import finding
from campaigns.standings.progress import campaign_progress
from campaigns.standings.summaries import with_best


def campaigns_with_best() -> QuerySet[Campaign]:
    """Return the campaigns with all that their serializers read, in one query.

    Each has its best measured value as `best`.
    """
    campaigns = Campaign.objects.select_related("owner", "dataset", "package")
    return with_best(campaigns.defer("package__source"))


def campaign_detail(pk: int) -> dict[str, Any]:
    """Return one campaign as JSON data. Raises Http404."""
    campaign: Any = get_object_or_404(campaigns_with_best(), pk=pk)
    campaign.progress = campaign_progress(campaign, now=database_now())
    campaign.warnings = campaign_warnings(campaign)
    campaign.shared = share_data(campaign)
    campaign.finding = finding(campaign, campaign.progress)
    data: dict[str, Any] = CampaignDetailSerializer(campaign).data
    return data
