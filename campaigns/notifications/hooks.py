"""What people do to webhooks: may they, do it, write it down. Pages call this.

Every verb raises PermissionDenied (with a sentence) for who may not.
"""

from __future__ import annotations

import datetime as dt
import secrets
import uuid
from collections.abc import Collection
from typing import Final

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction

from campaigns.models import Campaign, DeliveryState, Webhook, WebhookDelivery, WebhookEvent
from campaigns.notifications.addresses import find_target
from workers import audit, roles

MAX_PER_OWNER: Final = 20


class TooManyWebhooks(Exception):
    """The owner has as many as one may have; the text says so."""


def may_change(user: roles.Person, hook: Webhook) -> bool:
    """Return whether this person may see the webhook's log and change it."""
    return roles.may_change(user, hook.owner_id)


def create(
    actor: User,
    url: str,
    events: Collection[WebhookEvent],
    *,
    campaign: Campaign | None,
    now: dt.datetime,
) -> Webhook:
    """Store a webhook with a new secret; without a campaign it hears of all.

    Raises AddressRefused, NameUnknown and TooManyWebhooks.
    """
    if not roles.may_create(actor):
        raise PermissionDenied("Only researchers and operators may make webhooks.")
    find_target(url)
    if Webhook.objects.filter(owner=actor).count() >= MAX_PER_OWNER:
        raise TooManyWebhooks(f"You have {MAX_PER_OWNER} webhooks; delete one first.")
    # One transaction in every verb here: no act without its entry.
    with transaction.atomic():
        hook = Webhook.objects.create(
            owner=actor,
            campaign=campaign,
            url=url,
            secret=f"xs_{secrets.token_urlsafe(32)}",
            # In the order of the events, whatever was ticked first.
            events=[event.value for event in WebhookEvent if event in events],
            created_at=now,
        )
        audit.record(actor, "create", hook, now=now)
    return hook


def enable(actor: User, hook: Webhook, *, now: dt.datetime) -> None:
    """Tell it of events again; what waited is sent."""
    _switch(actor, hook, "enable", now, is_active=True)


def disable(actor: User, hook: Webhook, *, now: dt.datetime) -> None:
    """Send it nothing until it is enabled."""
    _switch(actor, hook, "disable", now, is_active=False)


def delete(actor: User, hook: Webhook, *, now: dt.datetime) -> None:
    """Remove it with its log."""
    _must_change(actor, hook)
    with transaction.atomic():
        audit.record(actor, "delete", hook, now=now)
        hook.delete()


def send_test(actor: User, hook: Webhook, *, now: dt.datetime) -> None:
    """Write a delivery that carries no news: the first event it wants, marked as a test."""
    _must_change(actor, hook)
    with transaction.atomic():
        WebhookDelivery.objects.create(
            webhook=hook,
            event=hook.events[0],
            event_key=f"test:{uuid.uuid4()}",
            payload={"test": True, "text": "A test from XeeNet: this webhook works."},
            created_at=now,
            next_attempt_at=now,
        )
        audit.record(actor, "send_test", hook, now=now)


def send_again(actor: User, delivery: WebhookDelivery, *, now: dt.datetime) -> None:
    """Make a delivery due now, with all its tries."""
    _must_change(actor, delivery.webhook)
    with transaction.atomic():
        WebhookDelivery.objects.filter(pk=delivery.pk).update(
            state=DeliveryState.PENDING, attempts=0, next_attempt_at=now, delivered_at=None
        )
        audit.record(actor, "send_again", delivery, now=now)


def _switch(actor: User, hook: Webhook, verb: str, now: dt.datetime, *, is_active: bool) -> None:
    _must_change(actor, hook)
    with transaction.atomic():
        Webhook.objects.filter(pk=hook.pk).update(is_active=is_active)
        audit.record(actor, verb, hook, now=now)


def _must_change(actor: User, hook: Webhook) -> None:
    if not may_change(actor, hook):
        raise PermissionDenied("Only the webhook's owner and operators may change it.")
