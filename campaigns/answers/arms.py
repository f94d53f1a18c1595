"""The board of a campaign's arms: its leaderboard."""

from __future__ import annotations

from typing import Any

from rest_framework.exceptions import ValidationError

from campaigns.models import Campaign
from campaigns.serializers.arms import ArmsSerializer
from campaigns.standings import arms, leaderboard
from campaigns.standings.classes import EVERY_CLASS, chosen_class, classes_of


def board_of(
    campaign: Campaign, *, limit: int, offset: int, result_class: str = ""
) -> dict[str, Any]:
    """Return what may be claimed of the arms and a part of their board, as JSON data.

    `result_class` is the slug of a class, EVERY_CLASS, or "" for the class with most results.
    Raises ValidationError for a class that the campaign has no results of.
    """
    check_class(campaign, result_class)
    known = classes_of(campaign)
    spec = campaign.metric_spec
    chosen = chosen_class(campaign, result_class)
    varying, constant = leaderboard.varying_params(campaign)
    shown = arms.rows(campaign, limit=limit, offset=offset, of_class=result_class)
    data: dict[str, Any] = ArmsSerializer(
        {
            "metric": spec.name,
            "unit": spec.unit,
            "direction": spec.direction,
            "verdict": arms.sentence(campaign),
            "result_class": chosen.slug if chosen else EVERY_CLASS,
            "classes": [
                {"name": one.slug, "title": one.words, "results": one.results} for one in known
            ],
            "count": arms.count(campaign, of_class=result_class),
            "rows": [row._asdict() for row in shown],
            "varying_params": varying,
            "constant_params": constant,
        }
    ).data
    return data


def check_class(campaign: Campaign, slug: str) -> None:
    """Raise ValidationError for a class that the campaign has no results of."""
    slugs = [one.slug for one in classes_of(campaign)]
    if slug not in {"", EVERY_CLASS, *slugs}:
        raise ValidationError(
            {"result_class": [f"Must be one of: {', '.join([*slugs, EVERY_CLASS])}."]}
        )
