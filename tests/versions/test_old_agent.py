"""An agent of 0.1.0 against this server: its recorded requests get answers that it understands."""

from __future__ import annotations

import datetime as dt
import uuid
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.utils import timezone
from rest_framework.test import APIClient

from campaigns import lifecycle
from campaigns.models import Attempt, Campaign, Dataset, Package, Task, TaskState
from tests import factories
from tests.clients import bearer
from tests.versions import recorded
from workers import lifecycle as worker_lifecycle
from workers.models import Worker

pytestmark = pytest.mark.django_db

# What of the recording this server knows, and 0.1.0 did not: the other test modules have them.
LEARNT = {
    "claim with unknown keys",
    "submit an unknown failure class",
    "submit an unknown stop reason",
    "unknown address",
}


@pytest.fixture(autouse=True)
def own_media_folder(settings: Any, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path


def campaign_of_old() -> Campaign:
    """Launch a campaign that keeps script and data set of the recording."""
    lease = recorded.exchange("claim, a task")["reply"]["leases"][0]
    name, sha256 = lease["dataset"]["name"], lease["dataset"]["sha256"]
    size_bytes = lease["dataset"]["size_bytes"]
    file = ContentFile(b"the text", name=name)
    Dataset.objects.create(sha256=sha256, name=name, size_bytes=size_bytes, file=file)
    Package.objects.create(
        sha256=recorded.SCRIPT_SHA256, name="train_char_lm", source=b"print('the old script')"
    )
    campaign = factories.active_campaign(
        tasks=6, now=timezone.now(), base_seed=42, time_budget_seconds=12.0
    )
    pinned = {"package": recorded.SCRIPT_SHA256, "dataset": sha256}
    Campaign.objects.filter(pk=campaign.pk).update(**pinned)
    campaign.refresh_from_db()
    return campaign


class OldAgent:
    """Sends recorded requests to this server, with its own ids in place of the recorded ones."""

    def __init__(self) -> None:
        self.client = APIClient()
        self.sent: set[str] = set()
        self.boot_id = str(uuid.uuid4())

    def send(self, name: str, *, lease_id: str = "", **changes: Any) -> Any:
        """Send a request of the recording; return the reply, which has to fit the recorded one."""
        self.sent.add(name)
        old = recorded.exchange(name)
        path, body = old["path"], old["request"]
        if path.startswith("leases/") and lease_id:
            path = f"leases/{lease_id}/{path.rpartition('/')[2]}"
        if body is not None and path == "heartbeat" and lease_id:
            body["leases"][0]["lease_id"] = lease_id
        if body is not None and path == "leases/claim":
            body["claim_id"] = str(uuid.uuid4())
        if body is not None and "boot_id" in body:
            # The recording is of several starts; here one agent sends it all.
            body["boot_id"] = self.boot_id
        body = body if body is None else body | changes
        answer = self.client.generic(
            old["method"],
            f"/api/v1/{path}",
            b"" if body is None else self.client._encode_data(body, format="json")[0],
            content_type="application/json",
        )
        assert answer.status_code == old["status"], (name, answer.content)
        if old["reply"] is None:
            return answer
        reply = answer.json()
        assert recorded.differences(old["reply"], reply) == [], name
        return reply

    def claims(self, name: str = "claim, a task") -> str:
        """Claim a task; return its lease."""
        lease_id: str = self.send(name)["leases"][0]["lease_id"]
        return lease_id


def test_every_request_of_an_old_agent_gets_an_answer_that_it_understands() -> None:
    agent = OldAgent()
    agent.send("enrol with an unknown invitation")
    _, secret = worker_lifecycle.invite(now=timezone.now())
    token = agent.send("enrol", enrolment_token=secret)["token"]
    agent.client = bearer(token)
    agent.send("claim, no task waits")
    campaign = campaign_of_old()

    # A task to its end.
    lease_id = agent.claims()
    assert b"".join(agent.send("download the data set").streaming_content) == b"the text"
    assert agent.send("download the script").content == b"print('the old script')"
    agent.send("heartbeat", lease_id=lease_id)
    agent.send("heartbeat with progress", lease_id=lease_id)
    # As long as the recorded run took: nothing is faster than its own result says.
    long_ago = timezone.now() - dt.timedelta(seconds=15)
    Attempt.objects.filter(lease_id=lease_id).update(started_at=long_ago)
    agent.send("submit a result", lease_id=lease_id)
    agent.send("submit it again", lease_id=lease_id)
    agent.send("submit another one", lease_id=lease_id)
    agent.send("release of an ended lease", lease_id=lease_id)
    agent.send("download a script without a task")
    assert Task.objects.get(campaign=campaign, number=0).state == TaskState.COMPLETED

    # Tasks that end in other ways.
    agent.send("release", lease_id=agent.claims())
    cancelled = agent.claims("claim, another task")
    task = Task.objects.get(lease_id=cancelled)
    lifecycle.cancel_task(task, now=timezone.now())
    agent.send("heartbeat, cancelled", lease_id=cancelled)
    agent.send("submit: out of memory", lease_id=agent.claims())
    agent.send("submit: refused, another version of the script", lease_id=agent.claims())
    agent.send("submit with an unknown lease")
    agent.send("heartbeat, lost")
    agent.send("heartbeat without leases")
    agent.send("claim of a wrong shape")

    # The worker itself.
    agent.send("me")
    agent.client = bearer(agent.send("exchange the token")["token"])
    agent.client, new = bearer(token), agent.client
    agent.send("claim with an old token")
    agent.client = new
    worker = Worker.objects.get()
    worker_lifecycle.drain(worker)
    agent.send("claim, draining")
    agent.send("heartbeat, draining")
    worker_lifecycle.disable(worker)
    agent.send("claim, disabled")
    agent.send("heartbeat, disabled")
    assert agent.sent == set(recorded.NAMES) - LEARNT


def test_the_comparison_finds_what_an_old_agent_would_miss() -> None:
    reply = recorded.exchange("claim, a task")["reply"]
    assert recorded.differences(reply, {**reply, "features": ["slots"]}) == []
    [lease] = reply["leases"]
    without = {key: value for key, value in lease.items() if key != "deadline_seconds"}
    for changed, problem in (
        ({**reply, "leases": [without]}, "reply.leases[0].deadline_seconds is missing"),
        ({**reply, "leases": [lease | {"script_origin": "x"}]}, "leases[0].script_origin is 'x'"),
        ({**reply, "wait_seconds": "1"}, "reply.wait_seconds is '1'"),
        ({**reply, "leases": {}}, "reply.leases is another kind of list"),
    ):
        [found] = recorded.differences(reply, changed)
        assert problem in found


def test_words_of_this_server_are_words_of_the_recording_or_only_for_new_agents() -> None:
    """What an old agent may be told without having asked for it is a word that it knows."""
    from workers import protocol

    for name in ("HeartbeatAnswer", "Verdict", "IsolationTier", "ScriptOrigin"):
        assert [str(word) for word in getattr(protocol, name)] == recorded.WORDS[name]
    # Errors: an agent goes by their status, and 401 ends it whatever the code is. The other two
    # answer what only newer agents send: a fleet's token, the scripts that they run.
    later = {"no_credentials", "fleet_full", "worker_in_use"}
    assert {*protocol.ErrorCode} - {*recorded.WORDS["ErrorCode"]} == later
