"""What people, scripts and machines write is shown as text, whatever it is."""

import pytest
from django.test import Client
from django.urls import reverse
from django.utils.html import escape

from campaigns import lifecycle
from tests import factories
from workers.models import Worker

pytestmark = pytest.mark.django_db

HOSTILE = "<script>alert(1)</script> {{ 7*7 }} {% now 'Y' %} \u202egnp.exe ' onload=\"x\" </pre>"


def hostile_worker() -> Worker:
    return factories.worker(
        HOSTILE[:100],
        hardware={
            "cpu_model": HOSTILE,
            "platform": HOSTILE,
            "notes": [HOSTILE],
            "devices": [HOSTILE],
        },
        pause_reason=HOSTILE,
    )


def test_hostile_text_is_shown_verbatim_on_every_page(client: Client) -> None:
    worker = hostile_worker()
    attempt = factories.leased_task(
        worker, name=HOSTILE, description=HOSTILE, max_failed_attempts=1
    )
    body = factories.failure(message=HOSTILE)
    body["stderr_tail"] = HOSTILE
    lifecycle.submit(worker, attempt.lease_id, body, now=factories.NOW)
    done = factories.completed_task(
        by=worker, name=HOSTILE, description=HOSTILE, search_space=factories.SMALL_SPACE
    )
    paths = {
        reverse("overview"): HOSTILE,
        reverse("campaigns"): HOSTILE,
        reverse("campaign", args=[attempt.task.campaign_id]): HOSTILE,
        reverse("campaign", args=[done.campaign_id]): HOSTILE,
        reverse("campaign-tasks", args=[done.campaign_id]): HOSTILE,
        reverse("task", args=[attempt.task_id]): HOSTILE,
        reverse("task", args=[done.pk]): HOSTILE,
        reverse("workers"): HOSTILE[:100],
        reverse("worker", args=[worker.pk]): HOSTILE,
    }
    for path, text in paths.items():
        page = client.get(path).text
        assert escape(text) in page, path
        assert "<script>alert" not in page, path
        assert 'onload="x"' not in page, path


def test_a_device_name_cannot_bring_html_into_the_chart(client: Client) -> None:
    attempt = factories.leased_task()
    factories.finish(attempt, device_used="<a href='javascript:alert(1)'>cpu</a>")
    page = client.get(attempt.task.campaign.get_absolute_url()).text
    assert "\\u003Ca href" not in page
    assert "\\u0026lt;a href" in page
