"""Workers get only tasks of scripts that their agents have; others are told to update."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from campaigns.lifecycle import breakers
from campaigns.models import Attempt, Campaign, CampaignState, Package
from experiments import catalog, released
from tests import factories
from tests.clients import agent_client, signed_in_client
from tests.versions import recorded
from workers import scripts
from workers.models import Worker

PRESENT = catalog.script_sha256("train_char_lm")
ANOTHER = "b" * 64
REFUSAL = recorded.exchange("submit: refused, another version of the script")["request"]


def claim(client: Any, **told: Any) -> Any:
    """Claim a task as an agent that tells this; return the reply."""
    body = {
        "claim_id": str(uuid.uuid4()),
        "boot_id": str(uuid.uuid4()),
        "count": 1,
        "simulate": False,
        "agent_version": "0.2.0",
    }
    answer = client.post("/api/v1/leases/claim", body | told, format="json")
    assert answer.status_code == 200, answer.content
    return answer.json()


def able(campaign: Campaign) -> list[str]:
    return [worker.name for worker in campaign.machines(timezone.now())]


def test_the_present_script_is_the_last_release() -> None:
    """A script that changes gets a new line; the lines of before stay, for running campaigns."""
    for experiment in catalog.all():
        states = released.RELEASES[experiment.name]
        assert states[-1].sha256 == catalog.script_sha256(experiment.name), (
            "the script has changed: add its hash to experiments/released.py as a new last line"
        )
        assert len({state.sha256 for state in states}) == len(states)
    assert released.of_version("0.1.0") == {recorded.SCRIPT_SHA256}
    assert released.of_version("") == released.of_version("9.9.9") == frozenset()


@pytest.mark.parametrize(
    ("told", "version", "believed"),
    [
        ([PRESENT, ANOTHER, PRESENT], "0.1.0", ([PRESENT, ANOTHER], False)),
        ([], "0.2.0", ([], False)),
        (None, "0.1.0", ([recorded.SCRIPT_SHA256], False)),
        (None, "0.0.1", ([], True)),
        (None, "", ([], True)),
    ],
)
def test_what_a_worker_is_believed_to_run(
    told: Sequence[str] | None, version: str, believed: tuple[list[str], bool]
) -> None:
    known, runs_any = scripts.believed(told, version, runs_server_code=False)
    assert (known, runs_any) == (sorted(believed[0]), believed[1])
    assert scripts.believed([ANOTHER], version, runs_server_code=True) == ([ANOTHER], True)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("told", "gets"),
    [
        ({"scripts": [PRESENT]}, True),
        ({"scripts": [ANOTHER]}, False),
        ({"scripts": []}, False),
        ({"scripts": [ANOTHER], "runs_server_code": True}, True),
        ({"agent_version": "0.1.0"}, False),
        ({"agent_version": ""}, True),
        ({"scripts": [ANOTHER], "simulate": True}, True),  # it runs no script at all
    ],
)
def test_a_claim_and_the_list_of_able_machines_go_by_the_scripts(
    told: dict[str, Any], gets: bool
) -> None:
    campaign = factories.active_campaign(now=timezone.now(), allow_simulated=True)
    client, worker = agent_client("lab")
    reply = claim(client, **told)

    assert bool(reply["leases"]) is gets
    assert able(campaign) == (["lab"] if gets else [])
    worker.refresh_from_db()
    assert worker.runs_script(PRESENT) is gets
    me = client.get("/api/v1/workers/me").json()
    if gets:
        assert (reply["reason"], me["outdated"]) == ("", "")
        return
    version = told.get("agent_version", "0.2.0")
    assert reply["reason"] == (
        f"The tasks that wait run the script train_char_lm {PRESENT[:12]}, which this worker's "
        f"agent ({version}) does not have: update the worker."
    )
    assert "Update the worker." in me["outdated"]
    assert worker.paused_until is None


@pytest.mark.django_db
def test_pages_api_and_command_name_a_worker_that_is_out_of_date(
    client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    from django.core.management import call_command

    agent, worker = agent_client("lab")
    claim(agent, agent_version="0.1.0")
    sentence = (
        f"Its agent (0.1.0) does not have this server's train_char_lm {PRESENT[:12]}: it gets no "
        "tasks of campaigns that run it. Update the worker."
    )
    reader, person = signed_in_client()
    assert reader.get(f"/api/v1/workers/{worker.pk}").json()["outdated"] == sentence
    client.force_login(person)
    escaped = sentence.replace("'", "&#x27;")
    assert escaped in client.get(f"/workers/{worker.pk}/").content.decode()
    assert escaped in client.get("/workers/").content.decode()
    call_command("worker", "show", "lab")
    assert sentence in capsys.readouterr().out


@pytest.mark.django_db
def test_a_running_campaign_keeps_its_script_and_an_old_agent() -> None:
    old = Package.objects.create(sha256=recorded.SCRIPT_SHA256, name="old", source=b"old")
    campaign = factories.active_campaign(now=timezone.now())
    Campaign.objects.filter(pk=campaign.pk).update(package=old)
    for told in ({"agent_version": "0.1.0"}, {"scripts": sorted(released.hashes("train_char_lm"))}):
        client, _ = agent_client()
        [lease] = claim(client, **told)["leases"]
        assert lease["code_sha256"] == recorded.SCRIPT_SHA256


@pytest.mark.django_db
def test_who_refuses_a_script_gets_no_more_of_it_and_is_not_paused() -> None:
    """An agent of an unknown version tells nothing: what it refuses says what it lacks."""
    campaign = factories.active_campaign(now=timezone.now())
    client, worker = agent_client("lab")
    told = {"agent_version": "0.0.9", "boot_id": str(uuid.uuid4())}
    [lease] = claim(client, **told)["leases"]
    answer = client.put(f"/api/v1/leases/{lease['lease_id']}/result", REFUSAL, format="json")
    assert answer.json()["verdict"] == "retry"

    worker.refresh_from_db()
    assert (worker.paused_until, worker.consecutive_env_errors) == (None, 0)
    reply = claim(client, **told)
    assert reply["leases"] == []
    assert "update the worker" in reply["reason"]
    assert able(campaign) == []
    # Started anew it may have been updated, or have other options.
    Attempt.objects.filter(worker=worker).update(worker=factories.worker("another"))
    assert claim(client, agent_version="0.0.9")["leases"]


@pytest.mark.django_db
def test_refusals_of_a_script_pause_no_campaign() -> None:
    campaign = factories.active_campaign(tasks=4, now=timezone.now())
    for _ in range(3):
        client, _worker = agent_client()
        [lease] = claim(client, agent_version="0.0.9")["leases"]
        client.put(f"/api/v1/leases/{lease['lease_id']}/result", REFUSAL, format="json")
    breakers.pause_troubled(campaign, now=timezone.now())
    campaign.refresh_from_db()
    assert campaign.state == CampaignState.ACTIVE


HOSTILE: list[Any] = [
    "a" * 64,
    {"a": 1},
    ["a" * 63],
    ["A" * 64],
    ["a" * 64 + "\n"],
    ["a" * 65],
    [" " + "a" * 64],
    [None],
    [1],
    [["a" * 64]],
    ["a" * 63 + "\u0661"],
    ["a" * 64] * 65,
    ["%" * 64],
    None,
    True,
]


@pytest.mark.django_db
def test_hostile_lists_of_scripts_are_refused_and_nothing_is_stored() -> None:
    client, worker = agent_client()
    body = {"boot_id": str(uuid.uuid4()), "count": 1, "simulate": False}
    for key, values in (("scripts", HOSTILE), ("runs_server_code", [1, "true", None, []])):
        for told in values:
            claimed = body | {"claim_id": str(uuid.uuid4()), key: told}
            answer = client.post("/api/v1/leases/claim", claimed, format="json")
            assert answer.status_code == 400, (key, told)
            assert {field.partition(".")[0] for field in answer.json()["fields"]} == {key}
    stored = Worker.objects.get(pk=worker.pk)
    assert (stored.scripts, stored.runs_any_script) == ("", True)


@pytest.mark.django_db
def test_replies_name_the_features() -> None:
    from workers.features import ALL_FEATURES

    client, _ = agent_client()
    beat = {"boot_id": str(uuid.uuid4()), "leases": []}
    for reply in (
        claim(client),
        client.post("/api/v1/heartbeat", beat, format="json").json(),
        client.get("/api/v1/workers/me").json(),
    ):
        assert reply["features"] == sorted(ALL_FEATURES)
