"""Fields of many answers: the value under its oldest name, and what a task is called."""

from __future__ import annotations

from typing import Any, Final

from rest_framework import fields, serializers

from campaigns.models.task_names import EXAMPLE
from experiments.metrics import VAL_BPB

# What every answer says of the field that names a task.
CALLED: Final = f"The task's campaign and its number there, such as {EXAMPLE}."


class ValBpbField(serializers.FloatField):
    """A value in a campaign whose metric is val_bpb; null in any other.

    `source` is the path to the value, `metric` the path to the name of the campaign's metric.
    """

    def __init__(self, *, metric: str, source: str, **options: Any) -> None:
        super().__init__(source=source, allow_null=True, read_only=True, **options)
        self._metric = metric.split(".")

    def get_attribute(self, instance: Any) -> Any:
        if fields.get_attribute(instance, self._metric) != VAL_BPB.name:
            return None
        return super().get_attribute(instance)
