"""What the OpenAPI document has to be told: the token schemes and the shape of errors."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from rest_framework import serializers

from workers.protocol import ErrorCode


class ErrorSerializer(serializers.Serializer[dict[str, Any]]):
    """Every answer that is not a success."""

    code = serializers.ChoiceField(choices=[(c.value, c.value) for c in ErrorCode])
    message = serializers.CharField(help_text="One sentence for people.")
    fields = serializers.DictField(  # type: ignore[assignment]
        child=serializers.ListField(child=serializers.CharField()),
        required=False,
        help_text="Only for 400: what is wrong, by path into the body.",
    )


def errors(*statuses: int) -> dict[int, Any]:
    """Return the documented error answers of an operation; 401 and 503 are in each."""
    return dict.fromkeys((401, *statuses, 503), ErrorSerializer)


class _BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    description: ClassVar[str]

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "description": self.description}


class WorkerTokenScheme(_BearerScheme):  # type: ignore[no-untyped-call]
    """Names the agents' tokens in the document."""

    target_class = "workers.authentication.WorkerTokenAuthentication"
    name = "workerToken"
    description = "A worker's token (xw_…), given once when the worker is enrolled."


class PersonalTokenScheme(_BearerScheme):  # type: ignore[no-untyped-call]
    """Names the researchers' tokens in the document."""

    target_class = "campaigns.tokens.authentication.PersonalTokenAuthentication"
    name = "personalToken"
    description = "A person's token (xp_…)."
