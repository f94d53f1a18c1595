"""The interval glyph outside of a campaign's board: in lists, comparisons and on task pages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

from django.utils.safestring import SafeString, mark_safe

from campaigns.analysis.comparison import CampaignColumn, Row
from campaigns.charts import glyph
from campaigns.models import Result
from campaigns.standings import arms
from campaigns.standings.champions import Champion
from campaigns.standings.raced import ArmRow
from campaigns.standings.summaries import CampaignSummary
from experiments.metrics import MetricSpec

VERY_FAR: Final = 4 * glyph.FAR


def interval(row: ArmRow) -> glyph.Interval:
    """Return what the glyph of a row of a board shows."""
    return glyph.Interval(row.value, row.half_width, row.screening)


def drawn(intervals: Sequence[glyph.Interval], spec: MetricSpec | None) -> list[SafeString]:
    """Return the glyph of each interval on their common scale; none for unlike metrics (None)."""
    if spec is None:
        return [mark_safe("") for _ in intervals]
    # These rows are in no order of their values, so only what is very far is left out.
    scale = glyph.scale_of(intervals, is_maximised=spec.is_maximised, far=VERY_FAR)
    if scale is None:
        return [mark_safe("") for _ in intervals]
    return [glyph.svg(row, scale) for row in intervals]


def on_summaries(
    summaries: Iterable[CampaignSummary], spec: MetricSpec | None
) -> list[CampaignSummary]:
    """Return the summaries with the glyph of each first arm, if all have the metric `spec`."""
    listed = list(summaries)
    intervals = [
        interval(summary.first) if summary.first else glyph.Interval(summary.best)
        for summary in listed
    ]
    glyphs = drawn(intervals, spec)
    return [replace(row, glyph=image) for row, image in zip(listed, glyphs, strict=True)]


def on_champions(champions: Sequence[Champion], spec: MetricSpec | None) -> list[Champion]:
    """Return the first arms with their glyphs, if all have the metric `spec`."""
    intervals = [
        interval(first.raced) if first.raced else glyph.Interval(first.value) for first in champions
    ]
    glyphs = drawn(intervals, spec)
    return [replace(row, glyph=image) for row, image in zip(champions, glyphs, strict=True)]


def compared(columns: Sequence[Any], spec: MetricSpec | None) -> list[Row]:
    """Return the row of glyphs of a comparison; no row where there is nothing to compare."""
    intervals = [
        interval(column.digest.first)
        if isinstance(column, CampaignColumn) and column.digest.first
        else glyph.Interval(column.best)
        for column in columns
    ]
    if spec is None or sum(row.value is not None for row in intervals) < 2:
        return []
    return [Row("on one scale", "", list(drawn(intervals, spec)))]


def of_result(result: Result | None) -> SafeString:
    """Return where a result lies among the first rows of its campaign's board."""
    if result is None or result.value is None or not result.is_ranked:
        return mark_safe("")
    campaign = result.campaign
    rows = arms.rows(campaign, limit=arms.KEPT_ROWS)
    own = glyph.Interval(result.value)
    is_maximised = campaign.metric_spec.is_maximised
    scale = glyph.scale_of([*map(interval, rows), own], is_maximised=is_maximised)
    if scale is None or len(rows) < 2:
        return mark_safe("")
    return glyph.svg(own, scale, leader=interval(rows[0]))
