"""The board of a campaign's arms: its leaderboard."""

from __future__ import annotations

from typing import Any

from rest_framework.exceptions import ValidationError

from campaigns.models import Campaign
from campaigns.serializers.arms import ArmsSerializer
from campaigns.standings import arms, leaderboard
from campaigns.standings.classes import EVERY_CLASS, chosen_class, classes_of
from campaigns.standings.paired import paired_rows


def board_of(
    campaign: Campaign,
    *,
    limit: int,
    offset: int,
    result_class: str = "",
    baseline: int | None = None,
) -> dict[str, Any]:
    """Return what may be claimed of the arms and a part of their board, as JSON data.

    `result_class` is the slug of a class, EVERY_CLASS, or "" for the class with most results.
    `baseline` is the number of the arm that EVERY_CLASS shows the differences to, None for that of
    most classes. Raises ValidationError for a class that the campaign has no results of, and for an
    arm that it has not.
    """
    check_class(campaign, result_class)
    check_baseline(campaign, baseline)
    known = classes_of(campaign)
    spec = campaign.metric_spec
    chosen = chosen_class(campaign, result_class)
    varying, constant = leaderboard.varying_params(campaign)
    shown = arms.rows(campaign, limit=limit, offset=offset, of_class=result_class)
    paired = paired_rows(campaign, shown, of_class=result_class, baseline=baseline)
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
            "baseline": paired.baseline,
            "paired": paired.words,
            "rows": [row._asdict() | paired.of(row.arm)._asdict() for row in shown],
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


def check_baseline(campaign: Campaign, arm: int | None) -> None:
    """Raise ValidationError for the number of an arm that the campaign has not."""
    if arm is not None and not campaign.arms.filter(number=arm).exists():
        raise ValidationError({"baseline": [f"This campaign has no arm {arm}."]})
