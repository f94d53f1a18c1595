"""Importance of parameters, and the panels of the analysis."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers


class ImportanceQuerySerializer(serializers.Serializer[dict[str, Any]]):
    """Which results to analyse."""

    device = serializers.CharField(
        default="", max_length=100, help_text="Only results that were measured on this device."
    )


class ParameterImportanceSerializer(serializers.Serializer[Any]):
    """`importance.ParameterImportance`: the importance of one parameter, as shares of 1."""

    name = serializers.CharField()
    share = serializers.FloatField(help_text="The estimate. All shares sum to 1.")
    low = serializers.FloatField(help_text="Lower end of the middle 90 % of the resamples.")
    high = serializers.FloatField(help_text="Upper end of the middle 90 % of the resamples.")
    by_chance = serializers.FloatField(
        help_text="The highest estimate from shuffled results, on the same scale."
    )
    stands_out = serializers.BooleanField(help_text="Whether the estimate is above chance.")


class ImportanceSerializer(serializers.Serializer[Any]):
    """How much each parameter distinguishes the best results from all results."""

    method = serializers.CharField()
    results = serializers.IntegerField(help_text="Number of ranked results that were read.")
    used = serializers.IntegerField(
        help_text="Number of results that were used: all of them, or a random sample."
    )
    needed = serializers.IntegerField(help_text="With fewer results there are no estimates.")
    target_quantile = serializers.FloatField(
        help_text="The share of results that is told from all of them."
    )
    resamples = serializers.IntegerField()
    shuffles = serializers.IntegerField()
    warnings = serializers.ListField(child=serializers.CharField())
    parameters = ParameterImportanceSerializer(many=True)
    status = serializers.ChoiceField(
        choices=["current", "behind", "pending"],
        help_text="A background job computes the estimates. current: up to date. behind: newer "
        "results exist, and a job computes new estimates. pending: there are no estimates yet; "
        "ask again.",
    )
    computed_at = serializers.DateTimeField(
        allow_null=True, help_text="Null while no job has computed estimates."
    )


class PanelEntrySerializer(serializers.Serializer[Any]):
    """One panel of the analysis, and the address of its data."""

    key = serializers.CharField()
    name = serializers.CharField()
    url = serializers.CharField()


class AnalysisSerializer(serializers.Serializer[Any]):
    """The panels of a campaign, and the devices and parameters that they can be narrowed to."""

    panels = PanelEntrySerializer(many=True)
    devices = serializers.ListField(child=serializers.CharField())
    parameters = serializers.ListField(child=serializers.CharField())


class PanelQuerySerializer(ImportanceQuerySerializer):
    """Which results to analyse, and which parameters to show."""

    x = serializers.CharField(
        default="", max_length=200, help_text="For slice and contour: the parameter to show."
    )
    y = serializers.CharField(
        default="", max_length=200, help_text="For contour: the second parameter."
    )


class ChoiceSerializer(serializers.Serializer[Any]):
    """A query parameter of the panel with its possible values."""

    name = serializers.CharField(help_text="The query parameter: x or y.")
    label = serializers.CharField()  # type: ignore[assignment]
    options = serializers.ListField(child=serializers.CharField())
    chosen = serializers.CharField()


class PanelSerializer(serializers.Serializer[Any]):
    """A finding with the data of its charts."""

    key = serializers.CharField()
    title = serializers.CharField(help_text="The finding, in one sentence.")
    empty = serializers.CharField(
        allow_blank=True,
        help_text="Why there is nothing to draw yet, and what to do. Empty if there is data.",
    )
    columns = serializers.ListField(child=serializers.CharField())
    rows = serializers.ListField(
        child=serializers.ListField(child=serializers.JSONField(allow_null=True))
    )
    notes = serializers.ListField(child=serializers.CharField())
    warnings = serializers.ListField(child=serializers.CharField())
    choices = ChoiceSerializer(many=True)
