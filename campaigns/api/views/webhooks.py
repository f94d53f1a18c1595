"""Endpoints of webhooks: make, edit, switch, test and delete them, and read their deliveries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from django.db.models import Count, Q, QuerySet
from django.shortcuts import get_object_or_404
from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.exceptions import ValidationError
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns.api.bases import GenericAPIView, ListAPIView
from campaigns.api.cursors import Cursor
from campaigns.api.filters import DeliveryFilter, WebhookFilter
from campaigns.api.openapi import errors
from campaigns.api.requests import body, made_with_secret, person
from campaigns.clock import database_now
from campaigns.lifecycle import WrongState
from campaigns.models import Campaign, DeliveryState, Webhook, WebhookDelivery, WebhookEvent
from campaigns.notifications import hooks
from campaigns.notifications.addresses import AddressRefused, NameUnknown
from campaigns.serializers.webhooks import (
    DeliverySerializer,
    NewWebhookSerializer,
    WebhookRequestSerializer,
    WebhookSerializer,
)


class WebhooksView(ListAPIView[Webhook]):
    """List the webhooks that the caller may change, the newest first. POST makes a webhook."""

    queryset = Webhook.objects.none()
    permission_classes: Any = (IsAuthenticated,)
    serializer_class = WebhookSerializer
    filterset_class = WebhookFilter
    pagination_class = Cursor
    cursor_ordering: ClassVar = ("-id",)

    def get_queryset(self) -> QuerySet[Webhook]:
        return _visible(self.request)

    @extend_schema(
        operation_id="list_webhooks",
        tags=["webhooks"],
        responses={200: WebhookSerializer(many=True), **errors(400, 404)},
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        operation_id="create_webhook",
        tags=["webhooks"],
        request=WebhookRequestSerializer,
        responses={201: NewWebhookSerializer, **errors(400, 403, 409)},
    )
    def post(self, request: Request) -> Response:
        data = body(WebhookRequestSerializer, request)
        with _address_errors():
            hook = hooks.create(
                person(request),
                data["url"],
                [WebhookEvent(event) for event in data["events"]],
                campaign=_campaign(data.get("campaign_id")),
                now=database_now(),
            )
        answer = made_with_secret(NewWebhookSerializer(_webhook(request, hook.pk)).data)
        answer["Location"] = reverse("api-webhook", args=[hook.pk])
        return answer


class WebhookView(GenericAPIView[Webhook]):
    """Read, edit or delete one webhook."""

    queryset = Webhook.objects.none()
    permission_classes: Any = (IsAuthenticated,)

    @extend_schema(
        operation_id="get_webhook",
        tags=["webhooks"],
        responses={200: WebhookSerializer, **errors(404)},
    )
    def get(self, request: Request, pk: int) -> Response:
        return Response(WebhookSerializer(_webhook(request, pk)).data)

    @extend_schema(
        operation_id="edit_webhook",
        tags=["webhooks"],
        request=WebhookRequestSerializer(partial=True),
        responses={200: WebhookSerializer, **errors(400, 403, 404)},
    )
    def patch(self, request: Request, pk: int) -> Response:
        hook = _webhook(request, pk)
        data = {"url": hook.url, "events": hook.events, "campaign_id": hook.campaign_id}
        data |= body(WebhookRequestSerializer, request, partial=True)
        with _address_errors():
            hooks.edit(
                person(request),
                hook,
                url=data["url"],
                events=[WebhookEvent(event) for event in data["events"]],
                campaign=_campaign(data["campaign_id"]),
                now=database_now(),
            )
        return Response(WebhookSerializer(_webhook(request, pk)).data)

    @extend_schema(
        operation_id="delete_webhook",
        tags=["webhooks"],
        responses={204: None, **errors(403, 404)},
    )
    def delete(self, request: Request, pk: int) -> Response:
        hooks.delete(person(request), _webhook(request, pk), now=database_now())
        return Response(status=status.HTTP_204_NO_CONTENT)


class WebhookVerbView(GenericAPIView[Webhook]):
    """Base of the verbs that the owner of a webhook, or an operator, may use."""

    queryset = Webhook.objects.none()
    permission_classes: Any = (IsAuthenticated,)

    def change(self, verb: Callable[..., None]) -> Response:
        pk = self.kwargs["pk"]
        verb(person(self.request), _webhook(self.request, pk), now=database_now())
        return Response(WebhookSerializer(_webhook(self.request, pk)).data)


_CHANGED: dict[int, Any] = {200: WebhookSerializer, **errors(403, 404)}


class EnableWebhookView(WebhookVerbView):
    """Enable a webhook: it gets events again, and the deliveries that waited are sent."""

    @extend_schema(
        operation_id="enable_webhook", tags=["webhooks"], request=None, responses=_CHANGED
    )
    def post(self, request: Request, pk: int) -> Response:
        return self.change(hooks.enable)


class DisableWebhookView(WebhookVerbView):
    """Disable a webhook: nothing is sent until it is enabled."""

    @extend_schema(
        operation_id="disable_webhook", tags=["webhooks"], request=None, responses=_CHANGED
    )
    def post(self, request: Request, pk: int) -> Response:
        return self.change(hooks.disable)


class TestWebhookView(WebhookVerbView):
    """Send a test within a minute. The list of deliveries shows whether it arrived."""

    @extend_schema(operation_id="test_webhook", tags=["webhooks"], request=None, responses=_CHANGED)
    def post(self, request: Request, pk: int) -> Response:
        return self.change(hooks.send_test)


class DeliveriesView(ListAPIView[WebhookDelivery]):
    """List the deliveries to a webhook, sent or still to be sent, the latest first."""

    queryset = WebhookDelivery.objects.none()
    permission_classes: Any = (IsAuthenticated,)
    serializer_class = DeliverySerializer
    filterset_class = DeliveryFilter
    pagination_class = Cursor
    cursor_ordering: ClassVar = ("-id",)

    def get_queryset(self) -> QuerySet[WebhookDelivery]:
        hook = get_object_or_404(hooks.visible_to(self.request.user), pk=self.kwargs["pk"])
        return hook.deliveries.all()

    @extend_schema(
        operation_id="list_deliveries",
        tags=["webhooks"],
        responses={200: DeliverySerializer(many=True), **errors(400, 404)},
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)


class SendAgainView(GenericAPIView[WebhookDelivery]):
    """Send a delivery again now, with the full number of tries."""

    queryset = WebhookDelivery.objects.none()
    permission_classes: Any = (IsAuthenticated,)

    @extend_schema(
        operation_id="send_delivery_again",
        tags=["webhooks"],
        request=None,
        responses={200: DeliverySerializer, **errors(403, 404)},
    )
    def post(self, request: Request, pk: int) -> Response:
        visible = WebhookDelivery.objects.filter(webhook__in=hooks.visible_to(request.user))
        delivery = get_object_or_404(visible.select_related("webhook"), pk=pk)
        hooks.send_again(person(request), delivery, now=database_now())
        delivery.refresh_from_db()
        return Response(DeliverySerializer(delivery).data)


def _visible(request: Request) -> QuerySet[Webhook]:
    """Return the webhooks that the caller may see, with `waiting` and `failed` deliveries counted.

    One query.
    """
    deliveries = {
        "waiting": Count("deliveries", filter=Q(deliveries__state=DeliveryState.PENDING)),
        "failed": Count("deliveries", filter=Q(deliveries__state=DeliveryState.FAILED)),
    }
    return hooks.visible_to(request.user).annotate(**deliveries)


def _webhook(request: Request, pk: int) -> Webhook:
    """Return a webhook that the caller may see.

    Raises Http404 for other people's webhooks too, so that nobody learns which exist.
    """
    return get_object_or_404(_visible(request), pk=pk)


def _campaign(pk: int | None) -> Campaign | None:
    if pk is None:
        return None
    campaign = Campaign.objects.filter(pk=pk).first()
    if campaign is None:
        raise ValidationError({"campaign_id": [f"There is no campaign {pk}."]})
    return campaign


@contextmanager
def _address_errors() -> Iterator[None]:
    """Answer a refused address with 400 at the field `url`, and too many webhooks with 409."""
    try:
        yield
    except (AddressRefused, NameUnknown) as error:
        raise ValidationError({"url": [str(error)]}) from error
    except hooks.TooManyWebhooks as error:
        raise WrongState(str(error)) from error
