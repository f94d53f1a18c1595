"""The export of the admin's list of results, as it is filtered, to a file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from django.db.models import Case, F, QuerySet, When
from import_export.fields import Field
from import_export.formats.base_formats import CSV, JSON
from import_export.resources import ModelResource
from tablib import Dataset

from campaigns.exports.rows import CHUNK_ROWS, MEASURED
from campaigns.models import Result
from experiments.metrics import VAL_BPB
from xeenet_site.web.csv_text import csv_lines

RELATED: Final = ("task__campaign", "task__arm", "attempt__worker")


class ResultResource(ModelResource):
    """One row per result: where it came from, what was measured, and its params."""

    campaign = Field(attribute="task__campaign__name", column_name="campaign")
    experiment = Field(attribute="task__campaign__experiment", column_name="experiment")
    campaign_id = Field(attribute="task__campaign_id", column_name="campaign_id")
    task = Field(attribute="task__number", column_name="task")
    arm = Field(attribute="task__arm__number", column_name="arm")
    seed = Field(attribute="task__seed", column_name="seed")
    seed_index = Field(attribute="task__seed_index", column_name="seed_index")
    params = Field(attribute="task__params", column_name="params")
    worker = Field(attribute="attempt__worker__name", column_name="worker")
    metric = Field(attribute="task__campaign__metric", column_name="metric")
    # The column that files have had from the beginning: empty in campaigns of another metric.
    val_bpb = Field(attribute="val_bpb", column_name=VAL_BPB.name)

    class Meta:
        model = Result
        fields = export_order = (
            "campaign_id",
            "campaign",
            "experiment",
            "task",
            "arm",
            "seed",
            "seed_index",
            "params",
            "val_bpb",
            *MEASURED,
            "implausible",
            "worker",
            "created_at",
            "metric",
            "value",
        )

    def filter_export(self, queryset: QuerySet[Result], **_: Any) -> QuerySet[Result]:
        is_val_bpb = When(task__campaign__metric=VAL_BPB.name, then=F("value"))
        return queryset.annotate(val_bpb=Case(is_val_bpb))

    def iter_queryset(self, queryset: QuerySet[Result]) -> Iterator[tuple[Any, ...]]:
        """Yield the values of each result, and no models, which cost several times as much."""
        columns = [field.attribute for field in self.get_export_fields()]
        return queryset.values_list(*columns).iterator(chunk_size=CHUNK_ROWS)

    def export_resource(self, instance: tuple[Any, ...], *_: Any, **__: Any) -> tuple[Any, ...]:
        """Return the values unchanged: import-export would turn every number into a text."""
        return instance


class SafeCSV(CSV):
    """CSV whose cells a spreadsheet does not run as formulas."""

    def export_data(self, dataset: Dataset, **_: Any) -> str:
        rows = ([_plain(cell) for cell in row] for row in dataset)
        return "".join(csv_lines(dataset.headers, rows))


def _plain(cell: Any) -> Any:
    if isinstance(cell, dict):
        return json.dumps(cell)
    return cell.isoformat() if hasattr(cell, "isoformat") else cell


FORMATS: Final = (SafeCSV, JSON)
