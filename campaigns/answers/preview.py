"""What a campaign would run, how large its space is, and what it would cost."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict
from typing import Any

from campaigns.design import previews
from campaigns.lifecycle import CampaignSpec, check_campaign
from campaigns.serializers.new_campaign import PreviewSerializer


def preview_data(spec: CampaignSpec, *, now: dt.datetime) -> dict[str, Any]:
    """Return what a campaign would run, as JSON data. Raises InvalidCampaign."""
    space = check_campaign(spec, now=now).to_json()
    preview = previews.preview(asdict(spec) | {"search_space": space}, now=now)
    data: dict[str, Any] = PreviewSerializer(_by_config(preview)).data
    return data


def _by_config(preview: previews.Preview) -> dict[str, Any]:
    """Return a preview in the shape of `PreviewSerializer`: params by config, not configs by param.

    The page's table has one row per param.
    """
    survey = preview.survey
    configs = [
        {"seed": seed, "params": {name: values[number] for name, values in preview.rows}}
        for number, seed in enumerate(preview.seeds)
    ]
    return {
        "task_count": preview.task_count,
        "kept_runs": preview.kept_runs,
        "added_runs": preview.added_runs,
        "errors": preview.errors,
        "warnings": preview.warnings,
        "configs": configs,
        "survey": survey
        and {
            "combinations": survey.combinations,
            "ranges": [
                {"name": name, "width": width, "log": is_log}
                for name, width, is_log in survey.ranges
            ],
            "looked_at": survey.looked_at,
            "kept": survey.kept,
            "is_exact": survey.is_exact,
            "kept_points": survey.kept_points,
            "rejected_share": survey.rejected_share,
            "rejections": [
                asdict(rejection) | {"examples": [dict(params) for params in rejection.examples]}
                for rejection in survey.rejections
            ],
        },
        "forecast": preview.forecast,
        "work": preview.work,
    }
