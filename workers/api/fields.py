"""Serializer fields that accept exact JSON types only: "5" is no 5, and true is no 1.

REST framework's own fields convert values, and a conversion guesses what the sender meant.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, ClassVar, Final

from django.db.models import BigIntegerField
from rest_framework import serializers

# The largest whole number that the database's columns hold.
MAX_BIGINT: Final = BigIntegerField.MAX_BIGINT
SHA256_HEX: Final = re.compile(r"[0-9a-f]{64}")


class StrictIntegerField(serializers.IntegerField):
    """Accepts a JSON whole number; rejects a bool, a text and 5.0."""

    def to_internal_value(self, data: Any) -> int:
        if type(data) is not int:
            self.fail("invalid")
        return data


class StrictFloatField(serializers.FloatField):
    """Accepts a finite JSON number; rejects a bool and a text."""

    def to_internal_value(self, data: Any) -> float:
        if type(data) not in {int, float} or not math.isfinite(data):
            self.fail("invalid")
        return float(data)


class StrictBooleanField(serializers.BooleanField):
    """Accepts true and false; rejects 1, "yes" and "on"."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class StrictCharField(serializers.CharField):
    """Accepts a JSON text; rejects a number."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class Sha256Field(StrictCharField):
    """Accepts a SHA-256 in lower-case hex."""

    default_error_messages: ClassVar = {"not_hex": "Must be a SHA-256 in lower-case hex."}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(trim_whitespace=False, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        text: str = super().to_internal_value(data)
        if not SHA256_HEX.fullmatch(text):
            self.fail("not_hex")
        return text


class StrictUUIDField(serializers.UUIDField):
    """Accepts a UUID as text; rejects a number."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str):
            self.fail("invalid", value=data)
        return super().to_internal_value(data)


class StrictChoiceField(serializers.ChoiceField):
    """Accepts one of the given texts; rejects a number that reads like one of them."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str):
            self.fail("invalid_choice", input=data)
        return super().to_internal_value(data)


class BoundedListField(serializers.ListField):
    """A list whose length is checked before its items, so that a million items cost nothing."""

    def to_internal_value(self, data: Any) -> list[Any]:
        if not isinstance(data, list):
            self.fail("not_a_list", input_type=type(data).__name__)
        if self.max_length is not None and len(data) > self.max_length:
            self.fail("max_length", max_length=self.max_length)
        return super().to_internal_value(data)


class JSONObjectField(serializers.JSONField):
    """Accepts a JSON object of at most `max_bytes` bytes, without converting it."""

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
