"""Every paired difference of a race, as rows for files and for the API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from campaigns.models import Campaign
from campaigns.race.strips import Difference, Strip
from campaigns.search.seeds import seed_at
from campaigns.standings.race_strips import RaceView
from xeenet_site.web.csv_text import csv_lines as written

COLUMNS: Final = (
    "campaign",
    "race",
    "arm",
    "compared_with",
    "look",
    "seed_index",
    "seed",
    "state",
    "difference",
    "value",
    "reference_value",
    "metric",
    "unit",
)


def difference_row(campaign: Campaign, d: Difference) -> dict[str, Any]:
    """Return one difference in the metric's unit; null where there is no number."""
    spec = campaign.metric_spec

    def value(sort_key: float | None) -> float | None:
        return None if sort_key is None else spec.value_of(sort_key)

    return {
        "look": d.look,
        "seed_index": d.seed_index,
        "seed": seed_at(campaign.base_seed, d.seed_index),
        "state": str(d.kind),
        "difference": value(d.difference),
        "value": value(d.own),
        "reference_value": value(d.reference),
    }


def csv_lines(campaign: Campaign, view: RaceView) -> Iterator[str]:
    """Yield a CSV file with a line for each arm and seed of a race."""
    return written(COLUMNS, _rows(campaign, view))


def _rows(campaign: Campaign, view: RaceView) -> Iterator[list[Any]]:
    spec = campaign.metric_spec
    for strip in view.order:
        for row in _of_strip(campaign, strip):
            columns = row | {
                "campaign": campaign.pk,
                "race": view.number,
                "arm": strip.arm,
                "compared_with": view.strips.reference,
                "metric": spec.name,
                "unit": spec.unit,
            }
            yield [columns[name] for name in COLUMNS]


def _of_strip(campaign: Campaign, strip: Strip) -> Iterator[dict[str, Any]]:
    return (difference_row(campaign, d) for d in strip.differences)
