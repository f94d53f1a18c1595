"""The export of the admin's list of results, as it is filtered, to a file."""

from __future__ import annotations

import json
from typing import Any, Final

from django.db.models import QuerySet
from import_export.fields import Field
from import_export.formats.base_formats import CSV, JSON
from import_export.resources import ModelResource
from tablib import Dataset

from campaigns.exports.rows import MEASURED
from campaigns.models import Result
from experiments.metrics import VAL_BPB
from xeenet_site.web.csv_text import csv_lines

RELATED: Final = ("task__campaign", "task__arm", "attempt__worker")


class ValBpbField(Field):
    """The column that files have had from the beginning: empty in campaigns of another metric."""

    def get_value(self, result: Result) -> float | None:
        return result.value if result.task.campaign.metric == VAL_BPB.name else None


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
    val_bpb = ValBpbField(column_name=VAL_BPB.name)

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
        # Do not load the widest columns, which are not in the file.
        return queryset.select_related(*RELATED).defer(
            "metrics", "task__campaign__search_space", "task__arm__params"
        )

    def export_field(self, field: Field, instance: Result, **_: Any) -> Any:
        """Return the value unchanged: import-export would turn every number into a text."""
        return field.get_value(instance)


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
