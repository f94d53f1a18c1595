"""When the rest of a campaign is done."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers


class ProgressForecastSerializer(serializers.Serializer[Any]):
    """`forecast.Forecast`: when the open tasks of a campaign are done, or why nobody can say."""

    eta_seconds = serializers.FloatField(allow_null=True)
    ends_at = serializers.DateTimeField(allow_null=True)
    machines = serializers.IntegerField(
        help_text="The workers online that may run the campaign now."
    )
    slots = serializers.IntegerField(help_text="How many tasks these run at a time.")
    why_not = serializers.CharField(
        allow_blank=True,
        help_text="In a few words why there is no time. Empty when there is one, or nothing is "
        "open.",
    )
    is_stopped = serializers.BooleanField(
        help_text="Tasks wait, none runs, and no worker takes any."
    )
    no_worker_since = serializers.DateTimeField(
        allow_null=True,
        help_text="When the last worker that may run it was heard of, while none is online.",
    )
    is_guess = serializers.BooleanField(
        help_text="Nothing has ended yet: each run is assumed to take its budget."
    )
    seconds_per_task = serializers.FloatField(
        allow_null=True, help_text="For how long a task keeps a worker busy, on average."
    )
    ahead = serializers.IntegerField(
        help_text="So many tasks of other campaigns are handed out before its last one."
    )
