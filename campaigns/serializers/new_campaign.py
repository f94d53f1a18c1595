"""The choices for a new campaign, search spaces read from text, and previews."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from campaigns.search.sweep_files import MAX_TEXT_CHARACTERS
from campaigns.serializers.known_fields import KnownFieldsSerializer
from workers.api.fields import StrictCharField


class ExperimentSerializer(serializers.Serializer[Any]):
    """A training script of the catalog."""

    name = serializers.CharField()
    title = serializers.CharField()
    description = serializers.CharField()
    metric = serializers.CharField()
    direction = serializers.CharField()
    code_sha256 = serializers.CharField()
    datasets = serializers.ListField(child=serializers.CharField())
    default_search_space = serializers.DictField()


class DatasetSerializer(serializers.Serializer[Any]):
    """A data set that a campaign may train on."""

    name = serializers.CharField()
    sha256 = serializers.CharField()
    size_bytes = serializers.IntegerField()
    is_stored = serializers.BooleanField(help_text="Whether this server has its bytes.")


class CatalogSerializer(serializers.Serializer[Any]):
    """The choices for a new campaign."""

    experiments = ExperimentSerializer(many=True)
    datasets = DatasetSerializer(many=True)
    samplers = serializers.ListField(child=serializers.CharField())


class SpaceTextSerializer(KnownFieldsSerializer[dict[str, Any]]):
    """A search space as text."""

    text = StrictCharField(
        max_length=MAX_TEXT_CHARACTERS,
        trim_whitespace=False,
        help_text="XeeNet's JSON, or a Weights & Biases sweep as YAML or JSON.",
    )


class ReadSpaceSerializer(serializers.Serializer[Any]):
    """The search space that was read, ready for a new campaign."""

    search_space = serializers.DictField()
    suggested = serializers.DictField(
        help_text="Other settings that a sweep file holds: name, description, sampler, task_count."
    )
    notes = serializers.ListField(
        child=serializers.CharField(), help_text="What was changed or left out in reading."
    )


class PreviewedConfigSerializer(serializers.Serializer[Any]):
    """The config of one of the first tasks."""

    seed = serializers.IntegerField()
    params = serializers.DictField()


class RangeSerializer(serializers.Serializer[Any]):
    """A continuous parameter."""

    name = serializers.CharField()
    width = serializers.FloatField(help_text="In decades if the scale is logarithmic.")
    log = serializers.BooleanField()


class RejectionSerializer(serializers.Serializer[Any]):
    """The points that one constraint rejects."""

    constraint = serializers.CharField(source="text")
    count = serializers.IntegerField()
    share = serializers.FloatField()
    examples = serializers.ListField(child=serializers.DictField())


class SurveySerializer(serializers.Serializer[Any]):
    """The size of the search space, and the part of it that the constraints keep."""

    combinations = serializers.IntegerField(
        help_text="Number of combinations of all parameters but the continuous ones; without "
        "continuous parameters this is the whole grid."
    )
    ranges = RangeSerializer(many=True)
    looked_at = serializers.IntegerField()
    kept = serializers.IntegerField()
    is_exact = serializers.BooleanField(
        help_text="Whether all points were looked at, not only a sample."
    )
    kept_points = serializers.IntegerField()
    rejected_share = serializers.FloatField()
    rejections = RejectionSerializer(many=True)


class ForecastSerializer(serializers.Serializer[Any]):
    """What the tasks cost on the workers that are online now."""

    workers = serializers.IntegerField()
    slots = serializers.IntegerField(help_text="How many tasks these run at a time.")
    overhead_seconds = serializers.FloatField(allow_null=True)
    measured_on = serializers.IntegerField(
        help_text="Number of results that the overhead was measured on."
    )
    compute_seconds = serializers.FloatField()
    duration_seconds = serializers.FloatField(
        allow_null=True, help_text="From now on. Null when nobody can say; `why_not` says why."
    )
    ahead = serializers.IntegerField(
        help_text="So many tasks of other campaigns are handed out before its last one."
    )
    why_not = serializers.CharField(
        allow_blank=True, help_text="In a few words why there is no duration."
    )


class WorkPlanSerializer(serializers.Serializer[Any]):
    """`design.work.WorkPlan`: what a work budget means for the search space."""

    unit = serializers.CharField()
    amount = serializers.FloatField()
    origin = serializers.CharField(
        allow_blank=True,
        help_text="Whose speed turns the work into steps or seconds. Empty where the script does "
        "not say what a step costs.",
    )
    fewest_steps = serializers.IntegerField(help_text="Of the config that gets the fewest.")
    most_steps = serializers.IntegerField(help_text="Of the config that gets the most.")
    infeasible_share = serializers.FloatField(
        help_text="The share of the configs that have no such run; their tasks fail at once."
    )
    seconds = serializers.FloatField(
        allow_null=True, help_text="How long a run should take on today's fleet, on average."
    )


class PreviewSerializer(serializers.Serializer[Any]):
    """What a campaign would run."""

    task_count = serializers.IntegerField()
    kept_runs = serializers.IntegerField(
        help_text="How many of the tasks are kept for the race that begins by itself."
    )
    added_runs = serializers.IntegerField(
        help_text="How many runs that race may add to them: a grid is drawn whole."
    )
    errors = serializers.ListField(child=serializers.CharField())  # type: ignore[assignment]
    warnings = serializers.ListField(child=serializers.CharField())
    configs = PreviewedConfigSerializer(many=True)
    survey = SurveySerializer()
    forecast = ForecastSerializer(allow_null=True)
    work = WorkPlanSerializer(allow_null=True, help_text="Null for a time budget.")
