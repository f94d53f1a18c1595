"""What researchers send: a campaign, more tasks, params of their own, an ask."""

from __future__ import annotations

from typing import Any, Final, TypeVar

from rest_framework import serializers

from campaigns.lifecycle import CampaignSpec
from campaigns.models import HEX_SHA256_LENGTH, MAX_BUDGET_SECONDS, MAX_SEED
from workers.api.fields import (
    JSONObjectField,
    StrictBooleanField,
    StrictCharField,
    StrictChoiceField,
    StrictFloatField,
    StrictIntegerField,
    StrictUUIDField,
)
from workers.models import ISOLATION_CHOICES
from workers.protocol import MAX_LEASES_PER_CLAIM

T = TypeVar("T")

MAX_SEARCH_SPACE_BYTES: Final = 64 * 1024
MAX_PARAMS_BYTES: Final = 16 * 1024
MIN_BUDGET_SECONDS: Final = 0.1
MAX_ATTEMPTS: Final = 100
# An answer names this many misspelt fields; a body may hold a hundred thousand.
MAX_UNKNOWN_FIELDS: Final = 10


class KnownFieldsSerializer(serializers.Serializer[T]):
    """A body in which a key that is not known is refused.

    A misspelt setting must not run as its default.
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


class CampaignChangesSerializer(KnownFieldsSerializer[dict[str, Any]]):
    """The fields of `lifecycle.CampaignSpec`: shape only; whether they make sense is judged there.

    With ``partial=True`` those that make a clone differ from its original.
    """

    name = StrictCharField(max_length=200)
    experiment = StrictCharField(max_length=100)
    task_count = StrictIntegerField(min_value=1)
    time_budget_seconds = StrictFloatField(
        min_value=MIN_BUDGET_SECONDS, max_value=MAX_BUDGET_SECONDS
    )
    base_seed = StrictIntegerField(required=False, min_value=0, max_value=MAX_SEED)
    search_space = JSONObjectField(
        required=False,
        allow_null=True,
        max_bytes=MAX_SEARCH_SPACE_BYTES,
        help_text="Parameters and constraints; null or absent takes the experiment's.",
    )
    sampler = StrictCharField(required=False, max_length=50)
    dataset = StrictCharField(
        required=False,
        allow_blank=True,
        max_length=100,
        help_text="A name or a sha256; empty takes the experiment's first.",
    )
    description = StrictCharField(required=False, allow_blank=True, max_length=10_000)
    allow_simulated = StrictBooleanField(required=False)
    max_failed_attempts = StrictIntegerField(required=False, min_value=1, max_value=MAX_ATTEMPTS)
    max_lost_attempts = StrictIntegerField(required=False, min_value=1, max_value=MAX_ATTEMPTS)
    script = StrictCharField(
        required=False,
        allow_blank=True,
        max_length=HEX_SHA256_LENGTH,
        help_text="The sha256 of an uploaded script; empty takes the experiment's own.",
    )
    required_isolation = StrictChoiceField(
        required=False,
        choices=ISOLATION_CHOICES,
        help_text="Only workers that hold scripts back so well get its tasks.",
    )


class CampaignSpecSerializer(CampaignChangesSerializer):
    """A whole description: what is sent becomes a `lifecycle.CampaignSpec`."""

    def to_internal_value(self, data: Any) -> Any:
        return CampaignSpec(**super().to_internal_value(data))


class ReasonSerializer(serializers.Serializer[dict[str, Any]]):
    """Why a person does it, for the others to read."""

    reason = StrictCharField(required=False, allow_blank=True, max_length=500)


class AddTasksSerializer(KnownFieldsSerializer[dict[str, Any]]):
    """How many more tasks the sampler makes."""

    count = StrictIntegerField(min_value=1)


class RaiseAttemptsSerializer(KnownFieldsSerializer[dict[str, Any]]):
    """How often each task may fail and be lost from now on; what is absent stays."""

    max_failed_attempts = StrictIntegerField(required=False, min_value=1, max_value=MAX_ATTEMPTS)
    max_lost_attempts = StrictIntegerField(required=False, min_value=1, max_value=MAX_ATTEMPTS)


class PointSerializer(KnownFieldsSerializer[dict[str, Any]]):
    """A point of the search space that a person or an outside optimiser chose."""

    params = JSONObjectField(
        max_bytes=MAX_PARAMS_BYTES, help_text="A value for each parameter of the search space."
    )
    seed = StrictIntegerField(
        required=False,
        min_value=0,
        max_value=MAX_SEED,
        help_text="Absent, the campaign's seeds go on.",
    )


class AskSerializer(PointSerializer):
    """What is asked for: waiting tasks, or a new one with the asker's params."""

    claim_id = StrictUUIDField(
        required=False, help_text="Sent again, it brings the same leases; absent, it is made up."
    )
    count = StrictIntegerField(default=1, min_value=1, max_value=MAX_LEASES_PER_CLAIM)
    params = JSONObjectField(
        required=False,
        max_bytes=MAX_PARAMS_BYTES,
        help_text="Make a task with these params and lease it; absent, what waits is leased.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "params" in attrs and attrs["count"] != 1:
            raise serializers.ValidationError({"count": ["Given params make one task: ask for 1."]})
        if "seed" in attrs and "params" not in attrs:
            raise serializers.ValidationError({"seed": ["Waiting tasks have seeds; send params."]})
        return attrs
