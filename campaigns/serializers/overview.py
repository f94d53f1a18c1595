"""The state of the installation, the workers of a campaign, and a campaign's log."""

from __future__ import annotations

from typing import Any, Final

from rest_framework import serializers

from campaigns import history
from campaigns.serializers.forecasts import ProgressForecastSerializer
from campaigns.serializers.values import CALLED, ValBpbField
from campaigns.standings.raced import ArmStanding

EVENTS: Final = 100


class HealthSerializer(serializers.Serializer[Any]):
    """`health.Health`: the installation in numbers."""

    active_campaigns = serializers.IntegerField()
    running = serializers.IntegerField(help_text="Tasks that have a place on a worker.")
    upcoming = serializers.IntegerField(
        help_text="Tasks that a worker holds for a place that is not free yet."
    )
    waiting = serializers.IntegerField(help_text="Pending tasks of active campaigns.")
    waiting_for_measured = serializers.IntegerField(
        help_text="The part of `waiting` in campaigns that accept only measured results."
    )
    tasks_per_hour = serializers.IntegerField()
    workers = serializers.IntegerField()
    online = serializers.IntegerField()
    busy = serializers.IntegerField()
    simulating = serializers.IntegerField(help_text="Online workers without torch.")
    slots = serializers.IntegerField(help_text="How many tasks the online workers run at a time.")


class ConcernSerializer(serializers.Serializer[Any]):
    """One problem that needs a person's attention."""

    text = serializers.CharField()
    url = serializers.CharField(
        allow_blank=True, help_text="The page on which a person can act. Empty if there is none."
    )


class LiveForecastSerializer(ProgressForecastSerializer):
    """When a campaign is done, with its number."""

    campaign_id = serializers.IntegerField()


class ChampionSerializer(serializers.Serializer[Any]):
    """The first arm on a campaign's board, with its first task."""

    campaign_id = serializers.IntegerField(source="result.campaign_id")
    campaign = serializers.CharField(source="result.campaign.name")
    task = serializers.CharField(source="result.task.name", help_text=CALLED)
    task_id = serializers.IntegerField(source="result.task_id")
    metric = serializers.CharField(source="result.campaign.metric_spec.name")
    value = serializers.FloatField(
        help_text="The race value of a champion or of the first in a tie, else that of a first "
        "seed, which proves nothing: see standing."
    )
    val_bpb = ValBpbField(
        metric="result.campaign.metric_spec.name",
        source="value",
        help_text="The same value if the metric is val_bpb.",
    )
    standing = serializers.ChoiceField(choices=[str(standing) for standing in ArmStanding])
    device_used = serializers.CharField(source="result.device_used")
    worker = serializers.CharField(source="result.attempt.worker.name")
    since = serializers.DateTimeField()
    params = serializers.SerializerMethodField()

    def get_params(self, champion: Any) -> dict[str, Any]:
        return dict(champion.params)


class OverviewSerializer(serializers.Serializer[Any]):
    """The installation at a glance."""

    figures = HealthSerializer()
    concerns = ConcernSerializer(many=True)
    forecasts = serializers.ListField(
        child=LiveForecastSerializer(), help_text="When each live campaign is done."
    )
    live_campaigns = serializers.ListField(
        child=serializers.IntegerField(), help_text="The numbers of active and paused campaigns."
    )
    champions = ChampionSerializer(many=True)


class ContributionSerializer(serializers.Serializer[Any]):
    """One worker's share of a campaign."""

    worker_id = serializers.IntegerField(source="worker.pk")
    worker = serializers.CharField(source="worker.name")
    is_online = serializers.BooleanField()
    running = serializers.IntegerField()
    completed = serializers.IntegerField()
    failures = serializers.DictField(
        child=serializers.IntegerField(),
        help_text="Failed attempts by failure class, the most frequent first.",
    )
    lost = serializers.IntegerField()
    median_seconds = serializers.FloatField(allow_null=True)
    compute_seconds = serializers.FloatField()
    best_value = serializers.FloatField(source="best", allow_null=True)
    best_val_bpb = ValBpbField(
        metric="spec.name",
        source="best",
        help_text="The same value if the campaign's metric is val_bpb.",
    )


class ContributionsSerializer(serializers.Serializer[Any]):
    """Every worker that took a task of the campaign, most results first."""

    results = ContributionSerializer(many=True)


class LogQuerySerializer(serializers.Serializer[dict[str, Any]]):
    """Which part of the log to return."""

    before = serializers.CharField(
        required=False,
        max_length=100,
        help_text="Only older events. Take the value from `next` of the previous page.",
    )

    def validate_before(self, value: str) -> history.Position:
        position = history.Position.parse(value)
        if position is None:
            raise serializers.ValidationError("Not a position in the log; follow `next`.")
        return position


class EventSerializer(serializers.Serializer[Any]):
    """One line of a campaign's log."""

    at = serializers.DateTimeField()
    who = serializers.CharField(
        allow_blank=True, help_text="A person or a worker. Empty for the server itself."
    )
    what = serializers.CharField()
    detail = serializers.CharField(allow_blank=True)
    task = serializers.CharField(
        source="task.name", default=None, allow_null=True, help_text=CALLED
    )
    task_id = serializers.IntegerField(source="task.pk", default=None, allow_null=True)
    task_number = serializers.IntegerField(source="task.number", default=None, allow_null=True)


class LogSerializer(serializers.Serializer[Any]):
    """A page of the log, the latest event first."""

    next = serializers.CharField(
        allow_null=True, help_text="The address of the page with older events."
    )
    results = EventSerializer(many=True)
