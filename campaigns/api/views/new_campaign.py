"""Endpoints for preparing a campaign: the catalog, reading search spaces, previews, clones."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns import steering
from campaigns.answers.campaign import campaign_detail
from campaigns.answers.preview import preview_data
from campaigns.api.bases import GenericAPIView
from campaigns.api.openapi import errors
from campaigns.api.permissions import IsSignedInOrMayRead
from campaigns.api.requests import body, made, person
from campaigns.clock import database_now
from campaigns.design.cloning import spec_of
from campaigns.models import Campaign, Dataset
from campaigns.search.samplers import SAMPLERS
from campaigns.search.space import SearchSpace
from campaigns.search.space_json import InvalidSearchSpace
from campaigns.search.sweep_files import UnreadableSpace, read_space
from campaigns.serializers.campaigns import (
    CampaignChangesSerializer,
    CampaignDetailSerializer,
    CampaignSpecSerializer,
)
from campaigns.serializers.new_campaign import (
    CatalogSerializer,
    PreviewSerializer,
    ReadSpaceSerializer,
    SpaceTextSerializer,
)
from experiments import catalog


class CatalogView(GenericAPIView[Any]):
    """Return the choices for a new campaign: experiments, data sets and samplers."""

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
                "name": experiment.name,
                "title": experiment.title,
                "description": experiment.description,
                "metric": experiment.metric,
                "direction": experiment.direction,
                "code_sha256": catalog.script_sha256(experiment.name),
                "datasets": experiment.datasets,
                "default_search_space": experiment.default_search_space,
            }
            for experiment in catalog.all()
        ]
        answer = {
            "experiments": experiments,
            "datasets": _datasets(),
            "samplers": list(SAMPLERS),
        }
        return Response(CatalogSerializer(answer).data)


def _datasets() -> list[dict[str, Any]]:
    """Return the catalog's data sets, then the other stored ones by name."""
    stored = {dataset.sha256: dataset for dataset in Dataset.objects.order_by("name")}
    known = {dataset.sha256: dataset for dataset in catalog.all_datasets()}
    return [
        {
            "name": dataset.name,
            "sha256": sha256,
            "size_bytes": dataset.size_bytes,
            "is_stored": sha256 in stored and bool(stored[sha256].file),
        }
        # The first `known` puts the catalog's data sets first, the last one makes its names win.
        for sha256, dataset in (known | stored | known).items()
    ]


class ReadSpaceView(GenericAPIView[Any]):
    """Read a search space from a text. Nothing is stored."""

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
            raise ValidationError({"text": error.sentences()}) from error
        answer = {
            "search_space": space,
            "suggested": imported.suggested,
            "notes": imported.notes,
        }
        return Response(ReadSpaceSerializer(answer).data)


class PreviewView(GenericAPIView[Any]):
    """Preview a campaign: what it would run, how large its space is, and what it would cost."""

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
        return Response(preview_data(body(CampaignSpecSerializer, request), now=database_now()))


class CloneView(GenericAPIView[Campaign]):
    """Clone a campaign as a draft of the caller. The fields in the body replace the original's."""

    queryset = Campaign.objects.select_related("package").defer("package__source")
    permission_classes: Any = (IsAuthenticated,)

    @extend_schema(
        operation_id="clone_campaign",
        tags=["campaigns"],
        request=CampaignChangesSerializer(partial=True),
        responses={201: CampaignDetailSerializer, **errors(400, 403, 404)},
    )
    def post(self, request: Request, pk: int) -> Response:
        original = self.get_object()
        changes = body(CampaignChangesSerializer, request, partial=True)
        campaign = steering.create_campaign(
            person(request),
            spec_of(original, **changes),
            now=database_now(),
            detail=f"clone of campaign {original.pk}",
        )
        return made(campaign_detail(campaign.pk), at=reverse("api-campaign", args=[campaign.pk]))
