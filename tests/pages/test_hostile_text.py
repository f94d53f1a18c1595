"""Text from people, scripts and machines is always shown as text, never run or rendered."""

import csv
import io
import logging
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.db.models import CharField, TextField
from django.test import Client
from django.urls import reverse
from django.utils.html import escape

from campaigns import lifecycle
from tests import factories
from tests.authorisation import table
from tests.authorisation.world import World, make_world
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
        reverse("task", args=attempt.task.name): HOSTILE,
        reverse("task", args=done.name): HOSTILE,
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
    # The chart writes it as text; here it must not end the script element.
    assert "<a href='javascript" not in page
    assert "<a href='javascript" not in page
    assert "\\u003Ca href" in page


# A spreadsheet runs a cell that begins with "=" as a formula; an escape moves a terminal's cursor.
FORMULA = "=cmd()|'/C calc'!A0 \x1b[2J '; DROP TABLE campaigns_task; --" + HOSTILE
# Fields whose values the server writes or checks itself: no row with another value can exist.
OWN_WORDS = {
    "event_key",
    "experiment",
    "from_state",
    "machine_key",
    "metric",
    "params_sha256",
    "password",
    "sampler",
    "secret",
    "submission_digest",
    "to_state",
    "token_hash",
    "url",
}


@pytest.fixture
def hostile_world(settings: Any, tmp_path: Any) -> World:
    """A world in which every text field of every row is hostile."""
    settings.MEDIA_ROOT = tmp_path
    world = make_world()
    factories.completed_task(by=world.attempt.worker, owner=world.campaign.owner, name="n")
    models = [*apps.get_app_config("campaigns").get_models(), User]
    for model in [*models, *apps.get_app_config("workers").get_models()]:
        texts = [
            field
            for field in model._meta.fields
            if isinstance(field, CharField | TextField)
            and not (field.choices or field.primary_key or field.name in OWN_WORDS)
        ]
        for row in model._default_manager.all() if texts else ():
            for field in texts:
                # Unique names need the row's number at the end, after the text was shortened.
                end = f" {row.pk}" if field.unique else ""
                length = (field.max_length or 1_000) - len(end)
                setattr(row, field.attname, FORMULA[:length] + end)
            model._default_manager.bulk_update([row], [f.name for f in texts])
    return world


@pytest.mark.once
@pytest.mark.timeout(300)
def test_no_page_no_file_and_no_view_of_the_admin_runs_a_text(hostile_world: World) -> None:
    client = hostile_world.in_the_browser["superuser"]
    pages_with_text = files = 0
    logging.disable(logging.CRITICAL)
    try:
        for area in ("pages", "admin"):
            for (method, path), row in table.read()[area].items():
                if (
                    method != "GET"
                    or row["superuser"] != table.IN
                    or path.endswith(("login/", "logout/"))
                ):
                    continue
                answer = client.get(hostile_world.address(path), follow=True)
                kind = answer.headers.get("Content-Type", "")
                text = answer.getvalue().decode() if "text" in kind else ""
                if "text/html" in kind:
                    assert "<script>alert" not in text, path
                    assert 'onload="x"' not in text, path
                    pages_with_text += "&lt;script&gt;alert" in text
                elif "text/csv" in kind:
                    cells = [cell for line in csv.reader(io.StringIO(text)) for cell in line]
                    assert not [cell for cell in cells if cell.startswith("=")], path
                    files += 1
    finally:
        logging.disable(logging.NOTSET)
    # The hostile text did reach the pages and files.
    assert pages_with_text > 30
    assert files >= 4
