"""The admin's first page: the overview's health figures, and the state of jobs and webhooks."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from django.http import HttpRequest

from campaigns.clock import database_now
from campaigns.health import concerns, health, live_campaigns

FAILED_WITHIN: Final = dt.timedelta(hours=24)


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Return the context of `templates/admin/index.html` with our figures added."""
    # Imported here: django-q2 reads the settings on import, and they name this module.
    from django_q.models import Failure, OrmQ

    from campaigns.models import DeliveryState, WebhookDelivery

    now = database_now()
    live = live_campaigns()
    figures = health(live, now=now)
    pending = WebhookDelivery.objects.filter(state=DeliveryState.PENDING)
    failed = WebhookDelivery.objects.filter(state=DeliveryState.FAILED)
    return context | {
        "health": figures,
        "concerns": concerns(figures, live, now=now, reader=request.user),
        "jobs_failed": Failure.objects.filter(stopped__gte=now - FAILED_WITHIN).count(),
        "jobs_waiting": OrmQ.objects.count(),
        "webhooks_waiting": pending.count(),
        "webhooks_failed": failed.filter(created_at__gte=now - FAILED_WITHIN).count(),
    }
