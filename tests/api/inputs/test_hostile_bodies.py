"""Hostile bodies for every endpoint with a body: refused, never a 5xx, nothing stored."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import transaction
from django.db.models import Model
from django.utils import timezone
from drf_spectacular.generators import SchemaGenerator
from rest_framework.test import APIClient

from campaigns.models import (
    Attempt,
    Campaign,
    Note,
    Package,
    PersonalToken,
    ProgressPoint,
    Race,
    Result,
    Task,
    Webhook,
)
from tests import factories
from tests.clients import agent_client, researcher_client, signed_in_client
from tests.hostile import HOSTILE_BODIES
from workers.models import Calibration, EnrolmentToken, Worker
from xeenet_site.web import roles

pytestmark = pytest.mark.django_db
STORED: tuple[type[Model], ...] = (
    Attempt,
    Calibration,
    Campaign,
    EnrolmentToken,
    Note,
    Package,
    PersonalToken,
    ProgressPoint,
    Race,
    Result,
    Task,
    Webhook,
    Worker,
)
# Every authenticated request updates these fields, also when its body is refused.
PRESENCE_FIELDS = {"last_seen_at", "last_used_at"}
# Each of these replaces each value of a valid body.
HOSTILE_VALUES: tuple[Any, ...] = (
    None,
    True,
    "1.5",
    -1.5,
    1e308,
    2**63 - 1,
    [None],
    {"": None},
    "x" * 20_000,
    "\u202e<script>{{ 1 }}{% x %}'; DROP TABLE--\x1b[31m",
)

# Content types that a careless client sends, each with a body of its type.
WRONG_TYPES: dict[str, bytes] = {
    "text/plain": b'{"name": "n"}',
    "application/x-www-form-urlencoded": b"name=n",
    "multipart/form-data; boundary=b": b'--b\r\nContent-Disposition: form-data; name="n"\r\n\r\nn',
    "application/xml": b"<n/>",
    "application/json; charset=utf-16": '{"name": "n"}'.encode("utf-16"),
}
MAX_CPU_SECONDS = 0.1

Endpoint = Callable[[], tuple[APIClient, str, str, dict[str, Any]]]


def enrol() -> tuple[APIClient, str, str, dict[str, Any]]:
    body = {
        "enrolment_token": "xe_unknown",
        "name": "n",
        "hardware": {"devices": ["cpu"], "cpu_count": 1},
        "agent_version": "1",
    }
    return APIClient(), "post", "/api/v1/workers/enrol", body


def claim() -> tuple[APIClient, str, str, dict[str, Any]]:
    body = {
        "claim_id": "3f2b8c1e-8d4a-4b6e-9c57-0a1b2c3d4e5f",
        "boot_id": "3f2b8c1e-8d4a-4b6e-9c57-0a1b2c3d4e5f",
        "count": 1,
        "simulate": False,
        "hardware": {"devices": ["cpu"], "ram_bytes": 1, "notes": ["n"]},
        "agent_version": "1",
        "scripts": ["a" * 64],
        "runs_server_code": False,
    }
    return agent_client()[0], "post", "/api/v1/leases/claim", body


def heartbeat() -> tuple[APIClient, str, str, dict[str, Any]]:
    client, worker = agent_client()
    attempt = factories.leased_task(worker, now=timezone.now())
    point = {"seq": 0, "elapsed_seconds": 1.0, "step": 1, "tokens": 1, "train_loss": 1.0}
    lease = {"lease_id": str(attempt.lease_id), "progress": [point | {"val_bpb": 3.0}]}
    body = {"boot_id": "3f2b8c1e-8d4a-4b6e-9c57-0a1b2c3d4e5f", "leases": [lease]}
    return client, "post", "/api/v1/heartbeat", body


def result() -> tuple[APIClient, str, str, dict[str, Any]]:
    client, worker = agent_client()
    attempt = factories.leased_task(worker, now=timezone.now())
    body = {**factories.completed(attempt.task), "failure_class": None, "message": ""}
    return client, "put", f"/api/v1/leases/{attempt.lease_id}/result", body


def release() -> tuple[APIClient, str, str, dict[str, Any]]:
    client, worker = agent_client()
    attempt = factories.leased_task(worker, now=timezone.now())
    return client, "post", f"/api/v1/leases/{attempt.lease_id}/release", {"reason": "r"}


def calibrate() -> tuple[APIClient, str, str, dict[str, Any]]:
    report: Any = factories.calibration_report(places=[0, 6])
    return agent_client()[0], "post", "/api/v1/workers/me/calibration", report


def create() -> tuple[APIClient, str, str, dict[str, Any]]:
    body = {
        "name": "n",
        "experiment": "train_char_lm",
        "task_count": 1,
        "time_budget_seconds": 1.5,
        "base_seed": 1,
        "search_space": {
            "parameters": [
                {"name": "lr", "type": "float", "low": 0.1, "high": 1.0, "log": True},
                {"name": "layers", "type": "int", "low": 1, "high": 9, "step": 2},
                {"name": "schedule", "type": "choice", "values": ["cosine", 1]},
            ],
            "constraints": ["layers > 1"],
        },
        "sampler": "random",
        "dataset": "",
        "description": "d",
        "allow_simulated": False,
        "max_failed_attempts": 1,
        "max_lost_attempts": 1,
    }
    return researcher_client()[0], "post", "/api/v1/campaigns", body


def pause() -> tuple[APIClient, str, str, dict[str, Any]]:
    client, owner = researcher_client()
    campaign = factories.active_campaign(1, owner=owner)
    return client, "post", f"/api/v1/campaigns/{campaign.pk}/pause", {"reason": "r"}


def cancel() -> tuple[APIClient, str, str, dict[str, Any]]:
    client, owner = researcher_client()
    campaign = factories.active_campaign(1, owner=owner)
    return client, "post", f"/api/v1/campaigns/{campaign.pk}/cancel", {"reason": "r"}


def preview() -> tuple[APIClient, str, str, dict[str, Any]]:
    client, method, url, body = create()
    # Unlike creation, a preview computes samples and a forecast: keep its space small.
    body["search_space"] = {"parameters": body["search_space"]["parameters"][:1]}
    names = ("name", "experiment", "task_count", "time_budget_seconds", "search_space")
    return client, method, f"{url}/preview", {name: body[name] for name in names}


def clone() -> tuple[APIClient, str, str, dict[str, Any]]:
    client, method, url, _ = create()
    return client, method, f"{url}/{factories.campaign().pk}/clone", {"name": "n", "base_seed": 1}


def enqueue() -> tuple[APIClient, str, str, dict[str, Any]]:
    client, owner = researcher_client()
    campaign = factories.active_campaign(1, owner=owner)
    body = {"params": {"lr": 0.001, "d_model": 64}, "seed": 7}
    return client, "post", f"/api/v1/campaigns/{campaign.pk}/tasks", body


def ask() -> tuple[APIClient, str, str, dict[str, Any]]:
    client, method, url, body = enqueue()
    claim_id = "3f2b8c1e-8d4a-4b6e-9c57-0a1b2c3d4e5f"
    url = url.replace("/tasks", "/ask")
    return client, method, url, body | {"claim_id": claim_id, "count": 1}


def read_space() -> tuple[APIClient, str, str, dict[str, Any]]:
    return researcher_client()[0], "post", "/api/v1/search-spaces/read", {"text": "a: 1"}


def add_tasks() -> tuple[APIClient, str, str, dict[str, Any]]:
    client, method, url, _ = enqueue()
    return client, method, url.replace("/tasks", "/add-tasks"), {"count": 1}


def start_race() -> tuple[APIClient, str, str, dict[str, Any]]:
    client, owner = researcher_client()
    campaign = factories.active_campaign(2, owner=owner)
    body = {"arms": [0, 1], "seeds": 3, "min_effect": 0.01}
    return client, "post", f"/api/v1/campaigns/{campaign.pk}/race", body


def run_again() -> tuple[APIClient, str, str, dict[str, Any]]:
    client, owner = researcher_client()
    campaign = factories.active_campaign(2, owner=owner)
    return client, "post", f"/api/v1/campaigns/{campaign.pk}/arms/0/again", {"times": 2}


def note_on_arm() -> tuple[APIClient, str, str, dict[str, Any]]:
    client, owner = researcher_client()
    campaign = factories.active_campaign(2, owner=owner)
    body = {"text": "worth a second look", "edits": 0}
    return client, "put", f"/api/v1/campaigns/{campaign.pk}/arms/0/note", body


def note_on_task() -> tuple[APIClient, str, str, dict[str, Any]]:
    client, method, url, body = note_on_arm()
    return client, method, url.replace("/arms/", "/tasks/"), body


def race_options() -> tuple[APIClient, str, str, dict[str, Any]]:
    client, method, url, _ = start_race()
    body = {"races_automatically": True, "min_effect": 0.01}
    return client, method, f"{url}-options", body


def plan_race() -> tuple[APIClient, str, str, dict[str, Any]]:
    race = factories.decided_race()
    body = {"delta": 0.1, "power": 0.8}
    return researcher_client()[0], "post", f"/api/v1/campaigns/{race.campaign_id}/plan", body


def raise_attempts() -> tuple[APIClient, str, str, dict[str, Any]]:
    client, method, url, _ = enqueue()
    body = {"max_failed_attempts": 9, "max_lost_attempts": 9}
    return client, method, url.replace("/tasks", "/raise-attempts"), body


def upload() -> tuple[APIClient, str, str, dict[str, Any]]:
    body = {"name": "n", "experiment": "train_char_lm", "source": "import json\n"}
    return researcher_client()[0], "post", "/api/v1/scripts", body


def decline() -> tuple[APIClient, str, str, dict[str, Any]]:
    client, method, url, body = upload()
    sha256 = client.post(url, body).json()["sha256"]
    operator, _ = researcher_client(factories.user(role=roles.OPERATOR))
    return operator, method, f"{url}/{sha256}/decline", {"reason": "no"}


def create_webhook() -> tuple[APIClient, str, str, dict[str, Any]]:
    body = {"url": "https://8.8.8.8/", "events": ["new_best"], "campaign_id": None}
    return researcher_client()[0], "post", "/api/v1/webhooks", body


def edit_webhook() -> tuple[APIClient, str, str, dict[str, Any]]:
    client, _, url, body = create_webhook()
    webhook = client.post(url, body).json()
    return client, "patch", f"{url}/{webhook['id']}", body


def create_token() -> tuple[APIClient, str, str, dict[str, Any]]:
    return signed_in_client()[0], "post", "/api/v1/account/tokens", {"name": "n"}


def invite() -> tuple[APIClient, str, str, dict[str, Any]]:
    client, _ = researcher_client(factories.user(role=roles.OPERATOR))
    return client, "post", "/api/v1/invitations", {"label": "l"}


ENDPOINTS: tuple[Endpoint, ...] = (
    enrol,
    claim,
    heartbeat,
    result,
    release,
    calibrate,
    create,
    pause,
    cancel,
    preview,
    clone,
    enqueue,
    ask,
    add_tasks,
    raise_attempts,
    start_race,
    race_options,
    run_again,
    note_on_arm,
    note_on_task,
    plan_race,
    upload,
    decline,
    read_space,
    create_webhook,
    edit_webhook,
    create_token,
    invite,
)


def stored() -> list[Any]:
    """Every row that a body could create or change."""
    rows: list[Any] = []
    for model in STORED:
        fields = [f.name for f in model._meta.fields if f.name not in PRESENCE_FIELDS]
        rows.append(list(model._default_manager.order_by("pk").values(*fields)))
    return rows


@pytest.fixture(autouse=True)
def _without_a_log_and_a_limit(settings: Any) -> Iterator[None]:
    """Do not log: a line for each of thousands of refusals costs as much as the refusals."""
    settings.XEENET = {**settings.XEENET, "CALIBRATIONS_PER_MINUTE": 0}
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def test_every_operation_that_takes_a_body_is_among_the_endpoints() -> None:
    document = SchemaGenerator().get_schema(request=None, public=True)
    taken = {
        (method, _without_numbers(path))
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if "requestBody" in operation
    }

    tested = set()
    for endpoint in ENDPOINTS:
        _, method, url, _ = endpoint()
        tested.add((method, _without_numbers(url)))
    assert tested == taken


def _without_numbers(path: str) -> str:
    return re.sub(r"/({\w+}|[0-9a-f-]{36,64}|\d+)(?=/|$)", "/*", path)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_hostile_body_is_refused_and_nothing_is_stored(endpoint: Endpoint) -> None:
    client, method, url, _ = endpoint()
    before = stored()

    for name, (body, _) in HOSTILE_BODIES.items():
        answer = client.generic(method.upper(), url, body, content_type="application/json")

        assert answer.status_code in {400, 413}, name
        assert answer.json()["code"] in {"invalid", "payload_too_large"}, name
    for content_type, body in WRONG_TYPES.items():
        answer = client.generic(method.upper(), url, body, content_type=content_type)

        assert answer.status_code in {400, 415}, content_type
    assert stored() == before


def test_no_hostile_body_costs_much_of_the_processor() -> None:
    client, method, url, _ = heartbeat()
    for name, (body, _) in HOSTILE_BODIES.items():
        # The fastest of three, because on a loaded machine even CPU time grows.
        spent = []
        for _ in range(3):
            started_at = time.thread_time()
            client.generic(method.upper(), url, body, content_type="application/json")
            spent.append(time.thread_time() - started_at)
        assert min(spent) < MAX_CPU_SECONDS, f"{name}: {spent}"


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_no_value_anywhere_in_a_good_body_makes_the_server_fail(endpoint: Endpoint) -> None:
    client, method, url, good = endpoint()

    for path in paths(good):
        for value in HOSTILE_VALUES:
            body = json.loads(json.dumps(good))
            replace(body, path, value)
            # Roll back each time, so that an accepted body does not change the next answer.
            savepoint = transaction.savepoint()
            answer = getattr(client, method)(url, body)
            transaction.savepoint_rollback(savepoint)

            changed = f"{'.'.join(map(str, path))} = {str(value)[:30]!r}"
            assert answer.status_code < 500, changed
            if answer.status_code >= 400:
                assert answer.json()["message"], changed


def paths(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value in a body, at every depth."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    all_paths = []
    for key, inner in items:
        all_paths.append((*above, key))
        if isinstance(inner, dict | list):
            all_paths.extend(paths(inner, (*above, key)))
    return all_paths


def replace(body: Any, path: tuple[Any, ...], value: Any) -> None:
    for key in path[:-1]:
        body = body[key]
    body[path[-1]] = value
