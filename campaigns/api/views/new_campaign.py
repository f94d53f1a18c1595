"""What people call before a campaign runs: what there is, spaces read from text, the preview."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict
from typing import Any

from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.generics import GenericAPIView
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns import steering
from campaigns.api.openapi import errors
from campaigns.api.permissions import IsSignedInOrMayRead
from campaigns.api.requests import body, made, person
from campaigns.api.serializers import CampaignDetailSerializer
from campaigns.api.serializers_requests import (
    CampaignChangesSerializer,
    CampaignSpecSerializer,
    KnownFieldsSerializer,
)
from campaigns.api.views.campaigns import campaign_detail
from campaigns.clock import database_now
from campaigns.design import previews
from campaigns.design.cloning import spec_of
from campaigns.lifecycle import CampaignSpec, check_campaign
from campaigns.models import Campaign, Dataset
from campaigns.search.samplers import SAMPLERS
from campaigns.search.space import InvalidSearchSpace, SearchSpace
from campaigns.search.sweep_files import MAX_TEXT_CHARACTERS, UnreadableSpace, read_space
from experiments import catalog
from workers.api.fields import StrictCharField


class ExperimentSerializer(serializers.Serializer[Any]):
    """A training script of the catalog."""

    name = serializers.CharField()
    title = serializers.CharField()
    description = serializers.CharField()
    metric = serializers.CharField()
    direction = serializers.CharField()
    code_sha256 = serializers.CharField()
    datasets = serializers.ListField(child=serializers.CharField())
    default_search_space = serializers.DictField()


class DatasetSerializer(serializers.Serializer[Any]):
    """A data set that a campaign may train on."""

    name = serializers.CharField()
    sha256 = serializers.CharField()
    size_bytes = serializers.IntegerField()
    is_stored = serializers.BooleanField(help_text="Whether this server gives out its bytes.")


class CatalogSerializer(serializers.Serializer[Any]):
    """What a new campaign can be made of."""

    experiments = ExperimentSerializer(many=True)
    datasets = DatasetSerializer(many=True)
    samplers = serializers.ListField(child=serializers.CharField())


class CatalogView(GenericAPIView[Any]):
    """The experiments with their search spaces, the data sets and the samplers."""

    permission_classes: Any = (IsSignedInOrMayRead,)
    serializer_class = CatalogSerializer

    @extend_schema(
        operation_id="get_catalog",
        tags=["campaigns"],
        responses={200: CatalogSerializer, **errors()},
    )
    def get(self, request: Request) -> Response:
        experiments = [
            {
                "name": one.name,
                "title": one.title,
                "description": one.description,
                "metric": one.metric,
                "direction": one.direction,
                "code_sha256": catalog.script_sha256(one.name),
                "datasets": one.datasets,
                "default_search_space": one.default_search_space,
            }
            for one in catalog.all()
        ]
        answer = {
            "experiments": experiments,
            "datasets": _datasets(),
            "samplers": list(SAMPLERS),
        }
        return Response(CatalogSerializer(answer).data)


def _datasets() -> list[dict[str, Any]]:
    """Return the catalog's data sets, then the others that are stored, by name."""
    stored = {one.sha256: one for one in Dataset.objects.order_by("name")}
    known = {one.sha256: one for one in catalog.all_datasets()}
    return [
        {
            "name": one.name,
            "sha256": sha256,
            "size_bytes": one.size_bytes,
            "is_stored": sha256 in stored and bool(stored[sha256].file),
        }
        # First the catalog's, so that it begins; again, so that its names win.
        for sha256, one in (known | stored | known).items()
    ]


class SpaceTextSerializer(KnownFieldsSerializer[dict[str, Any]]):
    """A search space as somebody wrote it."""

    text = StrictCharField(
        max_length=MAX_TEXT_CHARACTERS,
        trim_whitespace=False,
        help_text="XeeNet's JSON, or a Weights & Biases sweep as YAML or JSON.",
    )


class ReadSpaceSerializer(serializers.Serializer[Any]):
    """The space that was read, ready for a new campaign."""

    search_space = serializers.DictField()
    suggested = serializers.DictField(
        help_text="What else a sweep says of a campaign: name, description, sampler, task_count."
    )
    notes = serializers.ListField(
        child=serializers.CharField(), help_text="What was changed or left out."
    )


class ReadSpaceView(GenericAPIView[Any]):
    """Read a search space from a text; nothing is stored."""

    permission_classes: Any = (IsAuthenticated,)
    serializer_class = ReadSpaceSerializer

    @extend_schema(
        operation_id="read_search_space",
        tags=["campaigns"],
        request=SpaceTextSerializer,
        responses={200: ReadSpaceSerializer, **errors(400, 403)},
    )
    def post(self, request: Request) -> Response:
        steering.must_create(person(request))
        try:
            imported = read_space(body(SpaceTextSerializer, request)["text"])
            space = SearchSpace.parse(imported.space).to_json()
        except UnreadableSpace as error:
            raise ValidationError({"text": [str(error)]}) from error
        except InvalidSearchSpace as error:
            sentences = [
                f"{path or 'search space'} {text}"
                for path, texts in error.errors.items()
                for text in texts
            ]
            raise ValidationError({"text": sentences}) from error
        answer = {
            "search_space": space,
            "suggested": imported.suggested,
            "notes": imported.notes,
        }
        return Response(ReadSpaceSerializer(answer).data)


class PreviewedConfigSerializer(serializers.Serializer[Any]):
    """One of the first tasks."""

    seed = serializers.IntegerField()
    params = serializers.DictField()


class RangeSerializer(serializers.Serializer[Any]):
    """A continuous parameter."""

    name = serializers.CharField()
    width = serializers.FloatField(help_text="In decades where the scale is logarithmic.")
    log = serializers.BooleanField()


class RejectionSerializer(serializers.Serializer[Any]):
    """What one constraint rejects."""

    constraint = serializers.CharField(source="text")
    count = serializers.IntegerField()
    share = serializers.FloatField()
    examples = serializers.ListField(child=serializers.DictField())


class SurveySerializer(serializers.Serializer[Any]):
    """The size of the space, and the part of it that the constraints leave."""

    combinations = serializers.IntegerField(
        help_text="Points of what can be counted: the whole grid when there is no range."
    )
    ranges = RangeSerializer(many=True)
    looked_at = serializers.IntegerField()
    kept = serializers.IntegerField()
    is_exact = serializers.BooleanField(help_text="Whether all points were looked at.")
    kept_points = serializers.IntegerField()
    rejected_share = serializers.FloatField()
    rejections = RejectionSerializer(many=True)


class ForecastSerializer(serializers.Serializer[Any]):
    """What the tasks cost on the workers that are online now."""

    workers = serializers.IntegerField()
    overhead_seconds = serializers.FloatField(allow_null=True)
    measured_on = serializers.IntegerField(help_text="Results that the overhead is taken from.")
    compute_seconds = serializers.FloatField()
    duration_seconds = serializers.FloatField(allow_null=True, help_text="Null without a worker.")


class PreviewSerializer(serializers.Serializer[Any]):
    """What a campaign would run."""

    task_count = serializers.IntegerField()
    errors = serializers.ListField(child=serializers.CharField())  # type: ignore[assignment]
    warnings = serializers.ListField(child=serializers.CharField())
    configs = PreviewedConfigSerializer(many=True)
    survey = SurveySerializer()
    forecast = ForecastSerializer(allow_null=True)


class PreviewView(GenericAPIView[Any]):
    """Say what a campaign would run, how large its space is, and what it would cost."""

    permission_classes: Any = (IsAuthenticated,)
    serializer_class = PreviewSerializer

    @extend_schema(
        operation_id="preview_campaign",
        tags=["campaigns"],
        request=CampaignSpecSerializer,
        responses={200: PreviewSerializer, **errors(400, 403)},
    )
    def post(self, request: Request) -> Response:
        steering.must_create(person(request))
        return Response(previewed(body(CampaignSpecSerializer, request), now=database_now()))


def previewed(spec: CampaignSpec, *, now: dt.datetime) -> dict[str, Any]:
    """Return what a campaign would run, as JSON data. Raises InvalidCampaign."""
    space = check_campaign(spec).to_json()
    found = previews.preview(asdict(spec) | {"search_space": space}, now=now)
    data: dict[str, Any] = PreviewSerializer(_preview_data(found)).data
    return data


def _preview_data(found: previews.Preview) -> dict[str, Any]:
    """Return a preview with each config as an object."""
    survey = found.survey
    configs = [
        {"seed": seed, "params": {name: values[number] for name, values in found.rows}}
        for number, seed in enumerate(found.seeds)
    ]
    return {
        "task_count": found.task_count,
        "errors": found.errors,
        "warnings": found.warnings,
        "configs": configs,
        "survey": survey
        and {
            "combinations": survey.combinations,
            "ranges": [
                dict(zip(("name", "width", "log"), one, strict=True)) for one in survey.ranges
            ],
            "looked_at": survey.looked_at,
            "kept": survey.kept,
            "is_exact": survey.is_exact,
            "kept_points": survey.kept_points,
            "rejected_share": survey.rejected_share,
            "rejections": [
                asdict(one) | {"examples": [dict(example) for example in one.examples]}
                for one in survey.rejections
            ],
        },
        "forecast": found.forecast,
    }


class CloneView(GenericAPIView[Campaign]):
    """Make a draft like another campaign; what the body names is changed. It is the caller's."""

    queryset = Campaign.objects.select_related("package").defer("package__source")
    permission_classes: Any = (IsAuthenticated,)

    @extend_schema(
        operation_id="clone_campaign",
        tags=["campaigns"],
        request=CampaignChangesSerializer(partial=True),
        responses={201: CampaignDetailSerializer, **errors(400, 403, 404)},
    )
    def post(self, request: Request, pk: int) -> Response:
        cloned = self.get_object()
        changes = body(CampaignChangesSerializer, request, partial=True)
        campaign = steering.create_campaign(
            person(request),
            spec_of(cloned, **changes),
            now=database_now(),
            detail=f"clone of campaign {cloned.pk}",
        )
        return made(campaign_detail(campaign.pk), at=reverse("api-campaign", args=[campaign.pk]))
