"""The OpenAPI document: the token schemes, the shape of errors, and what is left out."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from rest_framework import serializers

from workers.protocol import API_PREFIX, ErrorCode

# Tasks by their id: they keep working for older programs, and new ones are not to begin with them.
_OLD_ADDRESSES: Final = f"{API_PREFIX}tasks/"


def without_old_addresses(endpoints: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Leave out the addresses that newer ones have replaced."""
    return [endpoint for endpoint in endpoints if not endpoint[0].startswith(_OLD_ADDRESSES)]


class ErrorSerializer(serializers.Serializer[dict[str, Any]]):
    """The answer to a request that failed."""

    code = serializers.ChoiceField(choices=[(code.value, code.value) for code in ErrorCode])
    message = serializers.CharField(help_text="One sentence for people.")
    fields = serializers.DictField(  # type: ignore[assignment]
        child=serializers.ListField(child=serializers.CharField()),
        required=False,
        help_text="Only with status 400: sentences about the error, by the path of the field.",
    )


def errors(*statuses: int) -> dict[int, Any]:
    """Return the error answers to document for an operation.

    Always included are 400, which a parameter that no view knows gets everywhere, 401 and 503.
    """
    return dict.fromkeys((400, 401, *statuses, 503), ErrorSerializer)


class _BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    description: ClassVar[str]

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "description": self.description}


class WorkerTokenScheme(_BearerScheme):  # type: ignore[no-untyped-call]
    """The scheme of workers' tokens."""

    target_class = "workers.authentication.WorkerTokenAuthentication"
    name = "workerToken"
    description = "A worker's token (xw_…). It is shown only once, when the worker is enrolled."


class PersonalTokenScheme(_BearerScheme):  # type: ignore[no-untyped-call]
    """The scheme of people's tokens."""

    target_class = "campaigns.tokens.authentication.PersonalTokenAuthentication"
    name = "personalToken"
    description = "A person's token (xp_…), made on the settings page."


class FleetTokenScheme(_BearerScheme):  # type: ignore[no-untyped-call]
    """The scheme of fleets' tokens."""

    target_class = "campaigns.tokens.authentication.FleetTokenAuthentication"
    name = "fleetToken"
    description = "A fleet's token (xf_…), made by operators."
