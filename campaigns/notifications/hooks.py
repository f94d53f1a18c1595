"""What people do to webhooks: each verb checks the permission, acts and writes the audit log.

Pages, API and commands call these verbs. Each raises PermissionDenied (with a sentence) for a
person who may not. An actor of None is the command line on the server, which may do everything.
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
from django.db.models import QuerySet

from campaigns.models import Campaign, DeliveryState, Webhook, WebhookDelivery, WebhookEvent
from campaigns.notifications.addresses import find_target
from workers import audit
from xeenet_site.web import roles

MAX_PER_OWNER: Final = 20


class TooManyWebhooks(Exception):
    """The owner has the largest allowed number of webhooks; the text says so."""


def may_change(user: roles.Person, hook: Webhook) -> bool:
    """Return whether this person may see the webhook's log and change it."""
    return roles.may_change(user, hook.owner_id)


def visible_to(user: roles.Person) -> QuerySet[Webhook]:
    """Return the webhooks this person may see and change: their own, operators all."""
    hooks = Webhook.objects.select_related("owner", "campaign")
    return hooks if roles.may_operate(user) else hooks.filter(owner_id=getattr(user, "pk", None))


def create(
    owner: User,
    url: str,
    events: Collection[WebhookEvent],
    *,
    campaign: Campaign | None,
    now: dt.datetime,
    by_command_line: bool = False,
) -> Webhook:
    """Store a webhook with a new secret; without a campaign it is told of all campaigns.

    Raises AddressRefused, NameUnknown and TooManyWebhooks.
    """
    if not roles.may_create(owner):
        raise PermissionDenied("Only researchers and operators may make webhooks.")
    find_target(url)
    # One transaction in every verb here: no change without its audit entry. The lock on the owner
    # makes concurrent calls respect the limit.
    with transaction.atomic():
        User.objects.select_for_update().get(pk=owner.pk)
        if Webhook.objects.filter(owner=owner).count() >= MAX_PER_OWNER:
            raise TooManyWebhooks(
                f"{owner} has {MAX_PER_OWNER} webhooks, and more are not allowed; delete one first."
            )
        hook = Webhook.objects.create(
            owner=owner,
            campaign=campaign,
            url=url,
            secret=f"xs_{secrets.token_urlsafe(32)}",
            events=_in_order(events),
            created_at=now,
        )
        audit.record(None if by_command_line else owner, "create", hook, now=now)
    return hook


def edit(
    actor: User | None,
    hook: Webhook,
    *,
    url: str,
    events: Collection[WebhookEvent],
    campaign: Campaign | None,
    now: dt.datetime,
) -> None:
    """Change the webhook's address, events or campaign; its secret and log stay.

    Raises AddressRefused and NameUnknown.
    """
    _must_change(actor, hook)
    if url != hook.url:
        # An unchanged address was checked before, and is checked again before each delivery.
        find_target(url)
    with transaction.atomic():
        hook.url, hook.events, hook.campaign = url, _in_order(events), campaign
        hook.save(update_fields=["url", "events", "campaign"])
        audit.record(actor, "edit", hook, now=now)


def _in_order(events: Collection[WebhookEvent]) -> list[str]:
    """Return the events in the order of `WebhookEvent`."""
    return [event.value for event in WebhookEvent if event in events]


def enable(actor: User | None, hook: Webhook, *, now: dt.datetime) -> None:
    """Send it events again; deliveries that waited are sent."""
    _switch(actor, hook, "enable", now, is_active=True)


def disable(actor: User | None, hook: Webhook, *, now: dt.datetime) -> None:
    """Send it no events until it is enabled."""
    _switch(actor, hook, "disable", now, is_active=False)


def delete(actor: User | None, hook: Webhook, *, now: dt.datetime) -> None:
    """Remove it with its log."""
    _must_change(actor, hook)
    with transaction.atomic():
        audit.record(actor, "delete", hook, now=now)
        hook.delete()


def send_test(actor: User | None, hook: Webhook, *, now: dt.datetime) -> None:
    """Write a test delivery: the first event it wants, marked as a test."""
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


def send_again(actor: User | None, delivery: WebhookDelivery, *, now: dt.datetime) -> None:
    """Make a delivery due now, with all of its tries again."""
    _must_change(actor, delivery.webhook)
    with transaction.atomic():
        WebhookDelivery.objects.filter(pk=delivery.pk).update(
            state=DeliveryState.PENDING, attempts=0, next_attempt_at=now, delivered_at=None
        )
        audit.record(actor, "send_again", delivery, now=now)


def _switch(
    actor: User | None, hook: Webhook, verb: str, now: dt.datetime, *, is_active: bool
) -> None:
    _must_change(actor, hook)
    with transaction.atomic():
        Webhook.objects.filter(pk=hook.pk).update(is_active=is_active)
        audit.record(actor, verb, hook, now=now)


def _must_change(actor: User | None, hook: Webhook) -> None:
    if actor is not None and not may_change(actor, hook):
        raise PermissionDenied("Only the webhook's owner and operators may change it.")
