"""The classes of a campaign's results and the noise of a class, for the API and the commands."""

from __future__ import annotations

from typing import Any

from django.db.models import Exists, OuterRef
from django.shortcuts import get_object_or_404

from campaigns.models import Campaign, NoiseFloor, Result, ResultClass
from campaigns.serializers.classes import ClassOfCampaignSerializer, NoiseSerializer
from campaigns.standings import classes


def classes_data(campaign: Campaign) -> list[dict[str, Any]]:
    """Return the classes of the campaign as JSON data, that with most results first."""
    found = classes.classes_of(campaign)
    rows = ResultClass.objects.select_related("band").in_bulk([row.pk for row in found])
    for place, row in enumerate(found):
        of_class: Any = rows[row.pk]
        of_class.result_count, of_class.is_default = row.results, place == 0
    ordered = [rows[row.pk] for row in found]
    return [dict(row) for row in ClassOfCampaignSerializer(ordered, many=True).data]


def noise_data(pk: int) -> dict[str, Any]:
    """Return the noise floor of a class as JSON data; raises Http404 without such a class."""
    of_class = get_object_or_404(ResultClass.objects.select_related("band"), pk=pk)
    stored = NoiseFloor.objects.filter(result_class=of_class).first()
    floor: Any = stored or NoiseFloor(result_class=of_class)
    floor.result_class = of_class
    here = Result.objects.filter(campaign=OuterRef("pk"), result_class=of_class, is_ranked=True)
    floor.campaigns = Campaign.objects.filter(Exists(here)).count()
    data: dict[str, Any] = NoiseSerializer(floor).data
    return data
