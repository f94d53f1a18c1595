"""Serializer fields that take JSON types as they are: no "5" for 5, no true for 1, no 1 for true.

REST framework's own fields convert, and a converted value is a guess at what was meant.
"""

from __future__ import annotations

import json
import math
from typing import Any, ClassVar, Final

from django.db.models import BigIntegerField
from rest_framework import serializers

# The largest whole number that the database's columns hold.
MAX_BIGINT: Final = BigIntegerField.MAX_BIGINT


class StrictIntegerField(serializers.IntegerField):
    """A JSON whole number; a bool, a text or 5.0 is none."""

    def to_internal_value(self, data: Any) -> int:
        if type(data) is not int:
            self.fail("invalid")
        return data


class StrictFloatField(serializers.FloatField):
    """A finite JSON number; a bool or a text is none."""

    def to_internal_value(self, data: Any) -> float:
        if type(data) not in {int, float} or not math.isfinite(data):
            self.fail("invalid")
        return float(data)


class StrictBooleanField(serializers.BooleanField):
    """true or false; 1, "yes" and "on" are not."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class StrictCharField(serializers.CharField):
    """A JSON text; numbers are not."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class StrictUUIDField(serializers.UUIDField):
    """A UUID as text; a number is none."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str):
            self.fail("invalid", value=data)
        return super().to_internal_value(data)


class StrictChoiceField(serializers.ChoiceField):
    """One of the texts given; a number that reads like one is not."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str):
            self.fail("invalid_choice", input=data)
        return super().to_internal_value(data)


class BoundedListField(serializers.ListField):
    """A list whose length is judged before its items are: a million of them cost nothing."""

    def to_internal_value(self, data: Any) -> list[Any]:
        if not isinstance(data, list):
            self.fail("not_a_list", input_type=type(data).__name__)
        if self.max_length is not None and len(data) > self.max_length:
            self.fail("max_length", max_length=self.max_length)
        return super().to_internal_value(data)


class JSONObjectField(serializers.JSONField):
    """A JSON object of at most `max_bytes`, kept as it is."""

    default_error_messages: ClassVar = {
        "not_object": "Must be a JSON object.",
        "too_large": "Is larger than {max_bytes} bytes.",
    }

    def __init__(self, *, max_bytes: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_bytes = max_bytes

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, dict):
            self.fail("not_object")
        if len(json.dumps(data).encode()) > self.max_bytes:
            self.fail("too_large", max_bytes=self.max_bytes)
        return data
