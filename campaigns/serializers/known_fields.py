"""The base of bodies that people write: an unknown field is an error."""

from __future__ import annotations

from typing import Any, Final, TypeVar

from rest_framework import serializers

T = TypeVar("T")

# An answer names at most this many unknown fields: a body may hold a hundred thousand.
MAX_UNKNOWN_FIELDS: Final = 10


class KnownFieldsSerializer(serializers.Serializer[T]):
    """A body whose unknown fields are refused.

    Otherwise a misspelt setting would silently take its default.
    """

    def to_internal_value(self, data: Any) -> Any:
        unknown = sorted(set(data) - set(self.fields)) if isinstance(data, dict) else []
        if unknown:
            known = ", ".join(self.fields)
            raise serializers.ValidationError(
                {
                    name[:100]: [f"There is no such field; known are: {known}."]
                    for name in unknown[:MAX_UNKNOWN_FIELDS]
                }
            )
        return super().to_internal_value(data)
