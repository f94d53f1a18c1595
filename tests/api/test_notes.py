"""Notes on arms and tasks, and an arm's further runs."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from rest_framework.test import APIClient

from campaigns import lifecycle, steering
from campaigns.models import Campaign, Note
from tests import factories
from tests.clients import researcher_client
from tests.factories import NOW
from workers.models import AuditEntry

pytestmark = pytest.mark.django_db
API = "/api/v1/campaigns"


def owned(tasks: int = 2) -> tuple[Any, Campaign]:
    """Return the client of a campaign's owner, and the campaign."""
    client, owner = researcher_client()
    return client, factories.active_campaign(tasks, owner=owner)


@pytest.mark.parametrize("kind", ["arms", "tasks"])
def test_a_note_is_written_read_and_emptied(kind: str) -> None:
    client, campaign = owned()
    url = f"{API}/{campaign.pk}/{kind}/1/note"
    assert client.get(url).json() == {"text": "", "author": "", "edits": 0, "edited_at": None}
    written = client.put(url, {"text": "spikes at 40\nagain", "edits": 0})
    assert written.status_code == 200, written.json()
    assert written.json()["text"] == "spikes at 40\nagain"
    assert written.json()["edits"] == 1
    assert APIClient().get(url).json() == written.json()
    assert client.put(url, {"text": ""}).json()["text"] == ""
    assert Note.objects.get().edits == 2


def test_whoever_writes_over_what_they_have_not_read_gets_a_409() -> None:
    client, campaign = owned()
    url = f"{API}/{campaign.pk}/arms/0/note"
    client.put(url, {"text": "one"})
    refused = client.put(url, {"text": "two", "edits": 0})
    assert refused.status_code == 409
    assert "has changed this note" in refused.json()["message"]
    assert client.get(url).json()["text"] == "one"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"text": "x" * 2001},
        {"text": None},
        {"text": "a\0b"},
        {"text": "a", "edits": -1},
        {"text": "a", "edits": "1"},
        {"text": "a", "author": "ada"},
    ],
)
def test_a_body_that_makes_no_sense_is_refused(body: dict[str, Any]) -> None:
    client, campaign = owned()
    answer = client.put(f"{API}/{campaign.pk}/tasks/0/note", body, format="json")
    assert answer.status_code == 400, answer.json()
    assert not Note.objects.exists()


def test_only_who_may_change_the_campaign_writes() -> None:
    _, campaign = owned()
    stranger, _ = researcher_client()
    for url in (f"{API}/{campaign.pk}/arms/0/note", f"{API}/{campaign.pk}/tasks/0/note"):
        assert stranger.put(url, {"text": "mine"}).status_code == 403
        assert APIClient().put(url, {"text": "mine"}).status_code == 401
    again = f"{API}/{campaign.pk}/arms/0/again"
    assert stranger.post(again, {"times": 1}).status_code == 403
    assert not Note.objects.exists()
    assert campaign.tasks.count() == 2


@pytest.mark.parametrize("path", ["arms/9/note", "tasks/9/note"])
def test_what_does_not_exist_has_no_note(path: str) -> None:
    client, campaign = owned()
    assert client.get(f"{API}/{campaign.pk}/{path}").status_code == 404
    assert client.put(f"{API}/{campaign.pk}/{path}", {"text": "a"}).status_code == 404
    assert client.post(f"{API}/{campaign.pk}/arms/9/again").status_code == 404


def test_the_audit_log_and_the_campaigns_log_have_each_text() -> None:
    client, campaign = owned()
    client.put(f"{API}/{campaign.pk}/arms/1/note", {"text": "of the arm"})
    client.put(f"{API}/{campaign.pk}/tasks/1/note", {"text": "of the task"})
    entries = AuditEntry.objects.order_by("pk").values_list("verb", "target_kind", "detail")
    assert list(entries) == [
        ("note", "campaign", "arm 1: of the arm"),
        ("note", "task", "of the task"),
    ]
    log = client.get(f"{API}/{campaign.pk}/log").json()
    assert [event["what"] for event in log["results"][:2]] == ["wrote a note"] * 2


def test_the_files_have_the_notes() -> None:
    client, campaign = owned()
    factories.run_pending(campaign, lambda task: 3.0 + task.number)
    steering.write_note(None, campaign.tasks.get(number=0), "=1+1", now=NOW)
    steering.write_note(None, campaign.arms.get(number=1), "of the arm", now=NOW)

    def rows(path: str) -> list[dict[str, str]]:
        answer = client.get(f"{API}/{campaign.pk}/{path}")
        return list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))

    results = rows("results.csv")
    # A note must not become a formula of a spreadsheet.
    assert [(row["note"], row["arm_note"]) for row in results] == [
        ("'=1+1", ""),
        ("", "of the arm"),
    ]
    assert [row["note"] for row in rows("leaderboard.csv")] == ["", "of the arm"]
    lines = b"".join(client.get(f"{API}/{campaign.pk}/results.jsonl").streaming_content)
    assert [json.loads(line)["note"] for line in lines.splitlines()] == ["=1+1", ""]


# --- Run again -----------------------------------------------------------------------------------


def test_an_arm_runs_again_on_the_next_seeds() -> None:
    client, campaign = owned()
    answer = client.post(f"{API}/{campaign.pk}/arms/1/again", {"times": 3})
    assert answer.status_code == 201, answer.json()
    tasks = answer.json()
    assert [(task["number"], task["arm"], task["seed_index"]) for task in tasks] == [
        (2, 1, 1),
        (3, 1, 2),
        (4, 1, 3),
    ]
    entry = AuditEntry.objects.get()
    assert (entry.verb, entry.detail) == ("run_again", "arm 1: tasks 2, 3, 4")
    once = client.post(f"{API}/{campaign.pk}/arms/1/again")
    assert [task["seed_index"] for task in once.json()] == [4]


@pytest.mark.parametrize("times", [0, 21, -1, 1.5, "3", True, None])
def test_a_number_of_runs_that_makes_no_sense_is_refused(times: Any) -> None:
    client, campaign = owned()
    answer = client.post(f"{API}/{campaign.pk}/arms/0/again", {"times": times}, format="json")
    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == ["times"]
    assert campaign.tasks.count() == 2


def test_a_cancelled_campaign_answers_409() -> None:
    client, campaign = owned()
    lifecycle.cancel(campaign, now=NOW)
    assert client.post(f"{API}/{campaign.pk}/arms/0/again").status_code == 409
