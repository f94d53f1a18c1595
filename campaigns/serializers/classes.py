"""Classes of results, and their noise floors."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from campaigns.models import NoiseFloor, ResultClass


class ResultClassSerializer(serializers.ModelSerializer[ResultClass]):
    """What the results of a class have in common."""

    words = serializers.CharField(source="__str__", help_text="The class in words, for people.")
    script_sha256 = serializers.CharField(source="package_id")
    dataset_sha256 = serializers.CharField(source="dataset_id")
    band = serializers.CharField(
        source="band.name",
        default=None,
        allow_null=True,
        help_text="Under a time budget: the worker as fast as which all workers of the class are.",
    )

    class Meta:
        model = ResultClass
        fields: Any = (
            "id",
            "words",
            "script_sha256",
            "dataset_sha256",
            "metric",
            "metric_version",
            "budget_kind",
            "budget",
            "cost_model_sha256",
            "eval_is_subset",
            "device_kind",
            "dtype",
            "band",
            "threads",
        )
        read_only_fields = fields


class ClassOfCampaignSerializer(ResultClassSerializer):
    """A class with the number of a campaign's results in it."""

    results = serializers.IntegerField(
        source="result_count", help_text="The campaign's ranked results in it."
    )
    is_default = serializers.BooleanField(help_text="Whether races and noise floors go by it.")

    class Meta(ResultClassSerializer.Meta):
        fields = (*ResultClassSerializer.Meta.fields, "results", "is_default")
        read_only_fields = fields


class NoiseSerializer(serializers.ModelSerializer[NoiseFloor]):
    """How much the results of a class vary between seeds."""

    result_class = ResultClassSerializer()
    campaigns = serializers.IntegerField(help_text="How many campaigns have results in the class.")
    as_of = serializers.DateTimeField(
        allow_null=True, help_text="Null while no arm of the class has a further run."
    )

    class Meta:
        model = NoiseFloor
        fields: Any = ("result_class", "campaigns", "sd", "pairs", "bad_seed_rate", "as_of")
        read_only_fields = fields
        extra_kwargs: Any = {  # noqa: RUF012 as REST framework has it
            "sd": {"help_text": "Standard deviation in the metric's unit; null without a pair."},
            "pairs": {"help_text": "Replicate pairs: two successive seeds of one arm."},
            "bad_seed_rate": {
                "help_text": "The share of runs five s.d. above their arm's median, or without a "
                "value; null without an arm of three runs."
            },
        }
