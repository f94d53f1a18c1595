"""What workers measure of their speed, as in `workers.calibration`, and how people read it."""

from __future__ import annotations

from typing import Any, Final

from rest_framework import serializers

from campaigns.fleet.calibrations import plan_of, source_of
from campaigns.serializers.agents import MAX_FOREIGN_LOAD, MAX_INT32
from workers.api.fields import (
    BoundedListField,
    JSONObjectField,
    StrictCharField,
    StrictChoiceField,
    StrictFloatField,
    StrictIntegerField,
)
from workers.calibration import MAX_CALIBRATION_SHAPES
from workers.models import ISOLATION_CHOICES, Calibration

MAX_PARAMS_BYTES: Final = 4 * 1024
LEAST_STEP_SECONDS: Final = 1e-9
MOST_STEP_SECONDS: Final = 1e6
MOST_BITS_PER_BYTE: Final = 1e3


class MeasuredShapeSerializer(serializers.Serializer[dict[str, Any]]):
    """`calibration.MeasuredShape`."""

    params = JSONObjectField(max_bytes=MAX_PARAMS_BYTES)
    steps = StrictIntegerField(min_value=1, max_value=MAX_INT32)
    step_seconds = StrictFloatField(min_value=LEAST_STEP_SECONDS, max_value=MOST_STEP_SECONDS)
    val_bpb = StrictFloatField(
        allow_null=True,
        min_value=0,
        max_value=MOST_BITS_PER_BYTE,
        help_text="Null when the loss diverged.",
    )

    def validate_params(self, params: dict[str, Any]) -> dict[str, Any]:
        if not all(isinstance(value, int | float | str) for value in params.values()):
            raise serializers.ValidationError("Each param must be a number, a text or a boolean.")
        return params


class CalibrationReportSerializer(serializers.Serializer[dict[str, Any]]):
    """`calibration.CalibrationReport`."""

    experiment = StrictCharField(max_length=100)
    script_sha256 = StrictCharField(max_length=64)
    device = StrictCharField(max_length=50)
    dtype = StrictCharField(max_length=50, allow_blank=True)
    threads = StrictIntegerField(required=False, allow_null=True, min_value=1, max_value=MAX_INT32)
    torch_version = StrictCharField(required=False, allow_blank=True, max_length=50)
    isolation = StrictChoiceField(choices=ISOLATION_CHOICES)
    foreign_load = StrictFloatField(
        required=False,
        allow_null=True,
        min_value=0,
        max_value=MAX_FOREIGN_LOAD,
        help_text="Cores that other programs used meanwhile, on average.",
    )
    shapes = BoundedListField(
        child=MeasuredShapeSerializer(), min_length=1, max_length=MAX_CALIBRATION_SHAPES
    )

    def validate_experiment(self, name: str) -> str:
        try:
            plan_of(name)
        except LookupError as error:
            raise serializers.ValidationError(str(error)) from error
        return name

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if source_of(attrs["experiment"], attrs["script_sha256"]) is None:
            sentence = "The server has no such script of the experiment; update the worker."
            raise serializers.ValidationError({"script_sha256": [sentence]})
        return attrs


class CalibrationReplySerializer(serializers.Serializer[dict[str, Any]]):
    """`calibration.CalibrationReply`."""

    message = serializers.CharField(help_text="What became of it, in one sentence.")


class CalibrationSerializer(serializers.ModelSerializer[Calibration]):
    """One measurement of a worker's speed, for people."""

    speed = serializers.FloatField(
        allow_null=True,
        help_text="How many times as fast as the machine that the catalog records.",
    )
    shapes = MeasuredShapeSerializer(many=True)
    coefficients = serializers.DictField(
        child=serializers.FloatField(),
        help_text="Seconds per unit of each term of the script's cost; empty without a fit.",
    )
    is_held_back = serializers.BooleanField(
        help_text="Whether it keeps the worker from work budgets: flagged, and not admitted."
    )
    reason = serializers.CharField(source="why_held_back", allow_blank=True)
    admitted_by = serializers.CharField(
        source="admitted_by.username", default=None, allow_null=True, read_only=True
    )

    class Meta:
        model = Calibration
        fields = (
            "id",
            "taken_at",
            "experiment",
            "script_sha256",
            "device",
            "dtype",
            "threads",
            "torch_version",
            "isolation",
            "speed",
            "foreign_load",
            "fit_error",
            "value_off",
            "flagged",
            "is_held_back",
            "reason",
            "admitted_at",
            "admitted_by",
            "coefficients",
            "shapes",
        )
        read_only_fields = fields
