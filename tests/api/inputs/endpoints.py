"""One good request for each operation of the API that takes a body: client, method, URL, body."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.utils import timezone
from rest_framework.test import APIClient

from tests import factories
from tests.clients import agent_client, researcher_client, signed_in_client
from xeenet_site.web import roles

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


def results() -> tuple[APIClient, str, str, dict[str, Any]]:
    client, worker = agent_client()
    attempt = factories.leased_task(worker, now=timezone.now())
    one = {"lease_id": str(attempt.lease_id), **factories.completed(attempt.task)}
    return client, "post", "/api/v1/leases/results", {"results": [one]}


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


def share() -> tuple[APIClient, str, str, dict[str, Any]]:
    client, _ = signed_in_client(factories.user(role=roles.OPERATOR))
    campaign = factories.active_campaign(2)
    return client, "post", f"/api/v1/campaigns/{campaign.pk}/share", {"weight": 2.0, "place": 1}


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


def create_fleet() -> tuple[APIClient, str, str, dict[str, Any]]:
    client, _ = researcher_client(factories.user(role=roles.OPERATOR))
    body = {"label": "l", "name_prefix": "n", "max_live": 2, "tier": "T0", "lifetime_days": 1}
    return client, "post", "/api/v1/fleets", body


ENDPOINTS: tuple[Endpoint, ...] = (
    enrol,
    claim,
    heartbeat,
    result,
    results,
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
    share,
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
    create_fleet,
)
