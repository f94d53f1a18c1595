"""Which classes of results a campaign has, and which of them its boards show by default."""

from __future__ import annotations

from typing import NamedTuple

from django.db.models import Count

from campaigns.caching import cached_roughly
from campaigns.models import Campaign, ResultClass


class ClassOfCampaign(NamedTuple):
    """A class with the number of the campaign's results in it, and its description in words."""

    pk: int
    results: int
    words: str


def classes_of(campaign: Campaign) -> list[ClassOfCampaign]:
    """Return the classes of the campaign's ranked results, that with most results first."""
    return cached_roughly(campaign, "classes", lambda: _read(campaign))


def default_class(campaign: Campaign) -> int | None:
    """Return the id of the class with most results; None before the first result.

    Of classes with equally many results the oldest.
    """
    classes = classes_of(campaign)
    return classes[0].pk if classes else None


def _read(campaign: Campaign) -> list[ClassOfCampaign]:
    ranked = campaign.results.filter(is_ranked=True, result_class__isnull=False).order_by()
    counts = dict(ranked.values_list("result_class").annotate(results=Count("pk")))
    rows = ResultClass.objects.filter(pk__in=counts).select_related("band")
    classes = [ClassOfCampaign(row.pk, counts[row.pk], str(row)) for row in rows]
    return sorted(classes, key=lambda row: (-row.results, row.pk))
