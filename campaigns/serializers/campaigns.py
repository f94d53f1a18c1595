"""Campaigns: in lists, with their progress, as they are described and changed."""

from __future__ import annotations

from typing import Any, Final

from rest_framework import serializers

from campaigns.lifecycle import CampaignSpec
from campaigns.models import (
    HEX_SHA256_LENGTH,
    MAX_BUDGET_SECONDS,
    MAX_MIN_EFFECT,
    MAX_RACE_SEEDS,
    MAX_SEED,
    MAX_TRIES,
    MAX_WORK,
    MIN_BUDGET_SECONDS,
    BudgetKind,
    Campaign,
    PackageOrigin,
    WorkUnit,
)
from campaigns.race.look import FEWEST_COMMON
from campaigns.serializers.agents import DatasetReferenceSerializer
from campaigns.serializers.forecasts import ProgressForecastSerializer
from campaigns.serializers.known_fields import KnownFieldsSerializer
from campaigns.serializers.shares import ShareSerializer
from campaigns.serializers.values import ValBpbField
from experiments.metrics import Direction
from workers.api.fields import (
    JSONObjectField,
    StrictBooleanField,
    StrictCharField,
    StrictChoiceField,
    StrictFloatField,
    StrictIntegerField,
)
from workers.models import ISOLATION_CHOICES

MAX_SEARCH_SPACE_BYTES: Final = 64 * 1024


class CampaignSerializer(serializers.ModelSerializer[Campaign]):
    """One campaign of a list."""

    owner = serializers.CharField(source="owner.username", default=None, allow_null=True)
    code_sha256 = serializers.CharField(source="package_id")
    script_origin = serializers.ChoiceField(source="package.origin", choices=PackageOrigin.choices)
    script_may_run = serializers.BooleanField(
        source="package.may_run",
        help_text="False while an uploaded script has no approval: no task is handed out.",
    )
    required_isolation = serializers.ChoiceField(choices=ISOLATION_CHOICES)
    dataset = DatasetReferenceSerializer()
    metric = serializers.CharField(
        source="metric_spec.name",
        help_text="What its results are ranked by; the launch pins it.",
    )
    direction = serializers.ChoiceField(
        source="metric_spec.direction", choices=[(word.value, word.value) for word in Direction]
    )
    unit = serializers.CharField(source="metric_spec.unit")
    budget_kind = serializers.ChoiceField(choices=BudgetKind.choices)
    time_budget_seconds = serializers.FloatField(
        help_text="The budget; of a work budget the guard of its longest run on the reference."
    )
    work_unit = serializers.ChoiceField(
        choices=WorkUnit.choices, allow_blank=True, help_text="Empty for a time budget."
    )
    best_value = serializers.FloatField(
        source="best",
        allow_null=True,
        help_text="The lowest value of a first seed (highest, if the metric is maximised), in the "
        "unit of the metric: it proves nothing, see the leaderboard. Null while there is none.",
    )
    best_val_bpb = ValBpbField(
        metric="metric_spec.name",
        source="best",
        help_text="The same value if the metric is val_bpb.",
    )

    class Meta:
        model = Campaign
        fields: Any = (
            "id",
            "name",
            "description",
            "owner",
            "state",
            "state_reason",
            "experiment",
            "code_sha256",
            "script_origin",
            "script_may_run",
            "required_isolation",
            "dataset",
            "sampler",
            "base_seed",
            "shares_seeds",
            "task_count",
            "kept_runs",
            "undrawn_tasks",
            "drawing_since",
            "races_automatically",
            "min_effect",
            "race_seeds",
            "asked_at",
            "budget_kind",
            "time_budget_seconds",
            "work_unit",
            "work_amount",
            "allow_simulated",
            "max_failed_attempts",
            "max_lost_attempts",
            "metric",
            "direction",
            "unit",
            "best_value",
            "best_val_bpb",
            "created_at",
            "launched_at",
            "finished_at",
        )
        read_only_fields = fields


class ProgressSerializer(serializers.Serializer[Any]):
    """`progress.CampaignProgress`: how far a campaign is."""

    pending = serializers.IntegerField()
    leased = serializers.IntegerField()
    completed = serializers.IntegerField()
    failed = serializers.IntegerField()
    cancelled = serializers.IntegerField()
    kept = serializers.IntegerField(
        help_text="Runs kept for the race that begins by itself; they are in the total."
    )
    undrawn = serializers.IntegerField(
        help_text="Tasks of a large launch that are being made; they are in the total."
    )
    total = serializers.IntegerField()
    done = serializers.IntegerField()
    fraction = serializers.FloatField()
    simulated = serializers.IntegerField()
    diverged = serializers.IntegerField()
    implausible = serializers.IntegerField(
        help_text="Measured, but better than models reach on this data set: not counted."
    )
    no_value = serializers.IntegerField(
        help_text="Tasks that ended without a value: they failed, diverged, or had too small a "
        "budget."
    )
    compute_seconds = serializers.FloatField()
    tasks_per_hour = serializers.FloatField(
        allow_null=True,
        help_text="What the workers do that are online now; of a campaign that stands still, what "
        "they did while it ran.",
    )
    eta_seconds = serializers.FloatField(allow_null=True)
    forecast = ProgressForecastSerializer()
    failure_classes = serializers.DictField(child=serializers.IntegerField())


class CampaignDetailSerializer(CampaignSerializer):
    """One campaign with its search space and its progress."""

    search_space = serializers.DictField()
    cost_model = serializers.DictField(
        allow_null=True,
        help_text="What turns the work into steps, or only into expected seconds, pinned by the "
        "launch: seconds for each unit of the script's terms, and whose speed it is. Null before, "
        "for a time budget, and where the script does not say what a step costs.",
    )
    share = ShareSerializer(source="shared")
    progress = ProgressSerializer()
    finding = serializers.CharField(
        allow_blank=True,
        help_text="What to know first: the script refuses the configs, or all tasks failed. Empty "
        "while nothing of that kind is known.",
    )
    warnings = serializers.ListField(
        child=serializers.CharField(),
        help_text="What to look at: params that differ from the experiment's, and why a draft "
        "cannot be launched.",
    )

    class Meta(CampaignSerializer.Meta):
        fields = (
            *CampaignSerializer.Meta.fields,
            *("search_space", "cost_model", "share", "progress", "finding", "warnings"),
        )
        read_only_fields = fields


class CampaignChangesSerializer(KnownFieldsSerializer[dict[str, Any]]):
    """The fields of `lifecycle.CampaignSpec`. Here only their shape is checked.

    With ``partial=True`` these are the fields in which a clone differs from its original.
    """

    name = StrictCharField(max_length=200)
    experiment = StrictCharField(max_length=100)
    task_count = StrictIntegerField(min_value=1)
    time_budget_seconds = StrictFloatField(
        required=False,
        allow_null=True,
        min_value=MIN_BUDGET_SECONDS,
        max_value=MAX_BUDGET_SECONDS,
        help_text="Of a time budget, which needs it. A work budget has none.",
    )
    budget_kind = StrictChoiceField(
        required=False,
        choices=BudgetKind.choices,
        help_text="Whether a run is over after so many seconds (time, the default) or after so "
        "much work, which gives the same value on any machine (work).",
    )
    work_unit = StrictChoiceField(
        required=False,
        allow_blank=True,
        choices=WorkUnit.choices,
        help_text="Of a work budget. The default is seconds, on the reference worker.",
    )
    work_amount = StrictFloatField(
        required=False,
        allow_null=True,
        max_value=MAX_WORK,
        help_text="How much work of that unit each run is; a work budget needs it.",
    )
    base_seed = StrictIntegerField(required=False, min_value=0, max_value=MAX_SEED)
    search_space = JSONObjectField(
        required=False,
        allow_null=True,
        max_bytes=MAX_SEARCH_SPACE_BYTES,
        help_text="Parameters and constraints. The default is the experiment's search space.",
    )
    sampler = StrictCharField(required=False, max_length=50)
    dataset = StrictCharField(
        required=False,
        allow_blank=True,
        max_length=100,
        help_text="A name or a sha256. The default is the experiment's first data set.",
    )
    description = StrictCharField(required=False, allow_blank=True, max_length=10_000)
    allow_simulated = StrictBooleanField(required=False)
    max_failed_attempts = StrictIntegerField(required=False, min_value=1, max_value=MAX_TRIES)
    max_lost_attempts = StrictIntegerField(required=False, min_value=1, max_value=MAX_TRIES)
    script = StrictCharField(
        required=False,
        allow_blank=True,
        max_length=HEX_SHA256_LENGTH,
        help_text="The sha256 of an uploaded script. The default is the experiment's own.",
    )
    required_isolation = StrictChoiceField(
        required=False,
        choices=ISOLATION_CHOICES,
        help_text="Only workers that isolate scripts at least this well get its tasks.",
    )
    races_automatically = StrictBooleanField(
        required=False,
        allow_null=True,
        help_text="Whether the best arms race when all have run. The default is yes from 30 tasks "
        "on, unless simulated results are allowed.",
    )
    min_effect = StrictFloatField(required=False, min_value=0, max_value=MAX_MIN_EFFECT)
    race_seeds = StrictIntegerField(
        required=False,
        min_value=FEWEST_COMMON,
        max_value=MAX_RACE_SEEDS,
        help_text="How many seeds each arm may run in a race that a person starts.",
    )


class CampaignSpecSerializer(CampaignChangesSerializer):
    """The description of a new campaign; its validated data is a `lifecycle.CampaignSpec`."""

    def to_internal_value(self, data: Any) -> Any:
        return CampaignSpec(**super().to_internal_value(data))


class ReasonSerializer(serializers.Serializer[dict[str, Any]]):
    """Why a person does this. Everybody can read the reason."""

    reason = StrictCharField(required=False, allow_blank=True, max_length=500)


class AddTasksSerializer(KnownFieldsSerializer[dict[str, Any]]):
    """How many more tasks the sampler draws."""

    count = StrictIntegerField(min_value=1)


class RaiseAttemptsSerializer(KnownFieldsSerializer[dict[str, Any]]):
    """How often each task may fail and be lost from now on. An absent limit stays as it is."""

    max_failed_attempts = StrictIntegerField(required=False, min_value=1, max_value=MAX_TRIES)
    max_lost_attempts = StrictIntegerField(required=False, min_value=1, max_value=MAX_TRIES)


class RaceOptionsSerializer(KnownFieldsSerializer[dict[str, Any]]):
    """How the campaign's arms race. An absent option stays as it is."""

    races_automatically = StrictBooleanField(
        required=False, help_text="Whether the best arms race when all have run."
    )
    min_effect = StrictFloatField(
        required=False,
        min_value=0,
        max_value=MAX_MIN_EFFECT,
        help_text="A race ends as a tie when what lies between the first two is surely smaller.",
    )
