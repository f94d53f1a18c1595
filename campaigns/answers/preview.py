"""What a campaign would run, how large its space is, and what it would cost."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict
from typing import Any

from campaigns.design import previews
from campaigns.lifecycle import CampaignSpec, check_campaign
from campaigns.serializers.new_campaign import PreviewSerializer


def previewed(spec: CampaignSpec, *, now: dt.datetime) -> dict[str, Any]:
    """Return what a campaign would run, as JSON data. Raises InvalidCampaign."""
    space = check_campaign(spec).to_json()
    found = previews.preview(asdict(spec) | {"search_space": space}, now=now)
    data: dict[str, Any] = PreviewSerializer(_preview_data(found)).data
    return data


def _preview_data(found: previews.Preview) -> dict[str, Any]:
    """Return a preview with each config as an object."""
    survey = found.survey
    configs = [
        {"seed": seed, "params": {name: values[number] for name, values in found.rows}}
        for number, seed in enumerate(found.seeds)
    ]
    return {
        "task_count": found.task_count,
        "errors": found.errors,
        "warnings": found.warnings,
        "configs": configs,
        "survey": survey
        and {
            "combinations": survey.combinations,
            "ranges": [
                dict(zip(("name", "width", "log"), one, strict=True)) for one in survey.ranges
            ],
            "looked_at": survey.looked_at,
            "kept": survey.kept,
            "is_exact": survey.is_exact,
            "kept_points": survey.kept_points,
            "rejected_share": survey.rejected_share,
            "rejections": [
                asdict(one) | {"examples": [dict(example) for example in one.examples]}
                for one in survey.rejections
            ],
        },
        "forecast": found.forecast,
    }
