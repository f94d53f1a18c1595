"""catalog, search-spaces/read, campaigns/preview and clone: preparing a campaign."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from campaigns import lifecycle
from campaigns.datasets import store_dataset
from campaigns.models import Campaign
from tests import factories
from tests.clients import researcher_client
from workers import lifecycle as worker_lifecycle
from workers.models import AuditEntry

pytestmark = pytest.mark.django_db
SPEC = {
    "name": "Depth",
    "experiment": "train_char_lm",
    "task_count": 4,
    "time_budget_seconds": 10,
    "base_seed": 7,
    "search_space": factories.SMALL_SPACE,
}
GRID = {
    "parameters": [
        {"name": "d_model", "type": "choice", "values": [64, 128, 256]},
        {"name": "n_heads", "type": "int", "low": 1, "high": 4},
    ],
    "constraints": ["d_model <= 64 * n_heads"],
}
SWEEP = """
name: learning rates
method: grid
metric: {name: val_bpb, goal: minimize}
run_cap: 12
parameters:
  lr: {distribution: log_uniform_values, min: 1e-4, max: 1e-2}
  d_model: {values: [64, 128]}
early_terminate: {type: hyperband}
"""


def test_the_catalog_names_what_a_campaign_can_be_made_of(settings: Any, tmp_path: Any) -> None:
    settings.MEDIA_ROOT = tmp_path
    stored = store_dataset("my letters", b"to be or not to be")

    reply = APIClient().get("/api/v1/catalog").json()

    experiment = next(entry for entry in reply["experiments"] if entry["name"] == "train_char_lm")
    assert experiment["datasets"][0] == "tinyshakespeare"
    assert len(experiment["code_sha256"]) == 64
    assert experiment["default_search_space"]["parameters"][0]["name"] == "lr"
    assert reply["datasets"][-1] == {
        "name": "my letters",
        "sha256": stored.sha256,
        "size_bytes": 18,
        "is_stored": True,
    }
    assert reply["samplers"] == ["random", "grid"]


def test_a_sweep_is_read_and_a_campaign_made_of_it() -> None:
    client, _ = researcher_client()

    reply = client.post("/api/v1/search-spaces/read", {"text": SWEEP}).json()

    assert reply["suggested"] == {"name": "learning rates", "sampler": "grid", "task_count": 12}
    assert any("early_terminate" in note for note in reply["notes"])
    names = [parameter["name"] for parameter in reply["search_space"]["parameters"]]
    assert names == ["lr", "d_model"]
    spec = SPEC | {"search_space": reply["search_space"]}
    campaign = client.post("/api/v1/campaigns", spec).json()
    assert campaign["search_space"] == reply["search_space"]


def test_an_exported_space_is_read_back_as_it_was() -> None:
    client, _ = researcher_client()
    campaign = factories.campaign()
    page = client.get(f"/campaigns/{campaign.pk}/space.json").content.decode()

    reply = client.post("/api/v1/search-spaces/read", {"text": page}).json()

    assert reply["search_space"] == campaign.search_space


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "may not be blank"),
        ("just words", "This is no search space"),
        ("{", "is not JSON"),
        ("a: [", "is not YAML"),
        ('{"parameters": [{"name": "lr", "type": "float"}]}', "lr.low"),
        ("x" * 100_001, "no more than 100000 characters"),
    ],
    ids=lambda value: value[:12],
)
def test_what_is_no_space_is_refused_with_the_reason(text: str, sentence: str) -> None:
    client, _ = researcher_client()

    answer = client.post("/api/v1/search-spaces/read", {"text": text})

    assert answer.status_code == 400
    assert sentence in " ".join(answer.json()["fields"]["text"])


def test_the_preview_tells_what_a_race_keeps_and_the_race_of_a_draft_is_as_told() -> None:
    client, _ = researcher_client()
    body = SPEC | {"task_count": 100}

    kept = client.post("/api/v1/campaigns/preview", body).json()
    off = client.post("/api/v1/campaigns/preview", body | {"races_automatically": False}).json()
    draft = client.post(
        "/api/v1/campaigns",
        body | {"races_automatically": None, "min_effect": 0.5, "race_seeds": 21},
    ).json()

    assert (kept["task_count"], kept["kept_runs"], kept["added_runs"]) == (100, 30, 0)
    assert (off["kept_runs"], off["added_runs"]) == (0, 0)
    assert (draft["races_automatically"], draft["min_effect"]) == (True, 0.5)
    assert draft["race_seeds"] == 21


def test_the_preview_tells_size_first_configs_what_is_rejected_and_the_cost() -> None:
    client, _ = researcher_client()
    worker = factories.worker()
    worker_lifecycle.see(worker, now=timezone.now())

    reply = client.post(
        "/api/v1/campaigns/preview", SPEC | {"sampler": "grid", "search_space": GRID}
    ).json()

    survey = reply["survey"]
    assert (survey["combinations"], survey["kept"], survey["is_exact"]) == (12, 8, True)
    (rejection,) = survey["rejections"]
    assert (rejection["constraint"], rejection["count"]) == ("d_model <= 64 * n_heads", 4)
    assert rejection["examples"][0] == {"d_model": 128, "n_heads": 1}
    assert reply["configs"][0] == {"seed": 7, "params": {"d_model": 64, "n_heads": 1}}
    assert reply["forecast"]["workers"] == 1
    assert reply["forecast"]["duration_seconds"] == reply["forecast"]["compute_seconds"] == 40
    assert any("first part of a grid of 8 points" in warning for warning in reply["warnings"])
    assert not Campaign.objects.exists()


def test_the_previewed_configs_are_those_that_run() -> None:
    client, _ = researcher_client()

    previewed = client.post("/api/v1/campaigns/preview", SPEC).json()["configs"]
    campaign = client.post("/api/v1/campaigns", SPEC).json()
    client.post(f"/api/v1/campaigns/{campaign['id']}/launch")

    tasks = client.get(f"/api/v1/campaigns/{campaign['id']}/tasks").json()["results"]
    assert [{"seed": task["seed"], "params": task["params"]} for task in tasks] == previewed


@pytest.mark.parametrize("path", ["campaigns/preview", "campaigns"])
def test_preview_and_creation_refuse_the_same(path: str) -> None:
    client, _ = researcher_client()
    wrong = SPEC | {"sampler": "grid", "dataset": "unknown", "task_count": 10**9}

    answer = client.post(f"/api/v1/{path}", wrong)

    assert answer.status_code == 400
    assert set(answer.json()["fields"]) == {"sampler", "dataset", "task_count"}


def test_a_clone_is_the_callers_draft_and_differs_in_what_was_named_only() -> None:
    original = factories.active_campaign(
        2, owner=factories.user("ada"), name="Depth", base_seed=5, max_failed_attempts=7
    )
    client, bob = researcher_client()

    answer = client.post(f"/api/v1/campaigns/{original.pk}/clone", {"base_seed": 99})

    reply = answer.json()
    assert answer.status_code == 201, reply
    assert answer.headers["Location"] == f"/api/v1/campaigns/{reply['id']}"
    assert (reply["name"], reply["state"], reply["owner"]) == (
        "Depth (copy)",
        "draft",
        bob.username,
    )
    assert (reply["base_seed"], reply["max_failed_attempts"]) == (99, 7)
    for field in ("search_space", "dataset", "code_sha256", "sampler", "task_count"):
        assert reply[field] == client.get(f"/api/v1/campaigns/{original.pk}").json()[field]
    entry = AuditEntry.objects.get()
    assert (entry.verb, entry.detail) == ("create", f"clone of campaign {original.pk}")


def test_a_clone_of_a_clone_of_a_long_name_still_fits() -> None:
    client, _ = researcher_client()
    pk = factories.campaign(name="n" * 200).pk

    for _ in range(2):
        reply = client.post(f"/api/v1/campaigns/{pk}/clone", {}).json()
        pk = reply["id"]

    assert len(reply["name"]) == 200
    assert reply["name"].endswith(" (copy)")


@pytest.mark.parametrize("changes", [{"task_count": 0}, {"sampler": "luck"}, {"state": "active"}])
def test_a_clone_is_judged_like_any_campaign(changes: dict[str, Any]) -> None:
    client, _ = researcher_client()
    original = factories.campaign()

    answer = client.post(f"/api/v1/campaigns/{original.pk}/clone", changes)

    assert (answer.status_code, list(answer.json()["fields"])) == (400, list(changes))
    assert Campaign.objects.get() == original


def test_a_cancelled_campaign_can_be_cloned() -> None:
    client, _ = researcher_client()
    original = factories.active_campaign(1)
    lifecycle.cancel(original, now=factories.at(1))

    assert client.post(f"/api/v1/campaigns/{original.pk}/clone", {}).json()["state"] == "draft"


WORK = SPEC | {"budget_kind": "work", "work_unit": "steps", "work_amount": 500}
del WORK["time_budget_seconds"]


def test_a_work_budget_is_made_shown_filtered_and_cloned() -> None:
    client, _ = researcher_client()
    made = client.post("/api/v1/campaigns", WORK).json()
    assert (made["budget_kind"], made["work_unit"], made["work_amount"]) == ("work", "steps", 500.0)
    client.post("/api/v1/campaigns", SPEC)
    found = client.get("/api/v1/campaigns", {"budget_kind": "work"}).json()["results"]
    assert [campaign["id"] for campaign in found] == [made["id"]]
    launched = client.post(f"/api/v1/campaigns/{made['id']}/launch").json()
    assert launched["cost_model"]["worker"] is None
    machine = factories.worker(name="lab-7")
    task = factories.claim_one(machine, now=timezone.now()).task
    shown = client.get(f"/api/v1/tasks/{task.pk}").json()
    assert (shown["max_steps"], shown["config"]["max_steps"]) == (500, 500)
    guard = shown["attempts"][0]["time_budget_seconds"]
    assert shown["config"]["time_budget_seconds"] == guard == 60_480.0
    clone = client.post(f"/api/v1/campaigns/{made['id']}/clone", {"work_amount": 7}).json()
    assert (clone["budget_kind"], clone["work_amount"]) == ("work", 7.0)
    timed = client.post(f"/api/v1/campaigns/{made['id']}/clone", {"time_budget_seconds": 7}).json()
    assert (timed["budget_kind"], timed["work_amount"]) == ("time", None)
    preview = client.post("/api/v1/campaigns/preview", WORK).json()
    assert (preview["work"]["fewest_steps"], preview["forecast"]) == (500, None)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"work_amount": None}, "work_amount"),
        ({"work_amount": "500"}, "work_amount"),
        ({"work_amount": True}, "work_amount"),
        ({"work_amount": 0}, "work_amount"),
        ({"work_amount": 1e300}, "work_amount"),
        ({"work_unit": "flop"}, "work_unit"),
        ({"budget_kind": "both"}, "budget_kind"),
        ({"budget_kind": None}, "budget_kind"),
        ({"time_budget_seconds": 5}, "time_budget_seconds"),
        ({"budget_kind": "time"}, "time_budget_seconds"),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused_by_field(
    changes: dict[str, Any], field: str
) -> None:
    client, _ = researcher_client()
    reply = client.post("/api/v1/campaigns", WORK | changes)
    assert reply.status_code == 400
    assert field in reply.json()["fields"]
    assert client.post("/api/v1/campaigns/preview", WORK | changes).status_code == 400
    assert not Campaign.objects.exists()
