"""Importance of parameters, and the panels of the analysis."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers


class ImportanceQuerySerializer(serializers.Serializer[dict[str, Any]]):
    """Of which results."""

    device = serializers.CharField(
        default="", max_length=100, help_text="Only of what was measured on it."
    )


class ParameterImportanceSerializer(serializers.Serializer[Any]):
    """`importance.ParameterImportance`: shares of 1."""

    name = serializers.CharField()
    share = serializers.FloatField(help_text="The estimate; all shares sum to 1.")
    low = serializers.FloatField(help_text="The middle 90 % of resamples begins here.")
    high = serializers.FloatField(help_text="The middle 90 % of resamples ends here.")
    by_chance = serializers.FloatField(
        help_text="The most that shuffled results gave, on the scale of the estimate."
    )
    stands_out = serializers.BooleanField(help_text="Whether the estimate is above chance.")


class ImportanceSerializer(serializers.Serializer[Any]):
    """How much each parameter tells the best results from all."""

    method = serializers.CharField()
    results = serializers.IntegerField(help_text="Ranked results that were read.")
    used = serializers.IntegerField(help_text="Of them used; a random sample where fewer.")
    needed = serializers.IntegerField(help_text="With fewer results there are no estimates.")
    target_quantile = serializers.FloatField(help_text="The share of results that counts as best.")
    resamples = serializers.IntegerField()
    shuffles = serializers.IntegerField()
    warnings = serializers.ListField(child=serializers.CharField())
    parameters = ParameterImportanceSerializer(many=True)
    status = serializers.ChoiceField(
        choices=["current", "behind", "pending"],
        help_text="A background job computes it. pending: not yet, ask again; behind: newer "
        "results came in since, and it is being computed anew.",
    )
    computed_at = serializers.DateTimeField(
        allow_null=True, help_text="null while nothing had to be computed."
    )


class PanelEntrySerializer(serializers.Serializer[Any]):
    """One panel of the analysis, and where its data is."""

    key = serializers.CharField()
    name = serializers.CharField()
    url = serializers.CharField()


class AnalysisSerializer(serializers.Serializer[Any]):
    """The panels, and what they can be asked about."""

    panels = PanelEntrySerializer(many=True)
    devices = serializers.ListField(child=serializers.CharField())
    parameters = serializers.ListField(child=serializers.CharField())


class PanelQuerySerializer(ImportanceQuerySerializer):
    """Of which results, and about which parameters."""

    x = serializers.CharField(
        default="", max_length=200, help_text="Of slice and contour: the parameter to show."
    )
    y = serializers.CharField(
        default="", max_length=200, help_text="Of contour: the second parameter."
    )


class ChoiceSerializer(serializers.Serializer[Any]):
    """What else the panel can show."""

    name = serializers.CharField(help_text="Of the query: x or y.")
    label = serializers.CharField()  # type: ignore[assignment]
    options = serializers.ListField(child=serializers.CharField())
    chosen = serializers.CharField()


class PanelSerializer(serializers.Serializer[Any]):
    """A finding with the data that its charts draw."""

    key = serializers.CharField()
    title = serializers.CharField(help_text="What was found.")
    empty = serializers.CharField(
        allow_blank=True, help_text="Why there is nothing to draw yet, and what to do."
    )
    columns = serializers.ListField(child=serializers.CharField())
    rows = serializers.ListField(
        child=serializers.ListField(child=serializers.JSONField(allow_null=True))
    )
    notes = serializers.ListField(child=serializers.CharField())
    warnings = serializers.ListField(child=serializers.CharField())
    choices = ChoiceSerializer(many=True)
