"""campaigns/<id>/race, races and decisions; races/<id> and decisions/<id>."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from campaigns import lifecycle
from campaigns.models import Campaign, Race, TaskPurpose
from campaigns.race.look import decide
from campaigns.race.rows import Sight
from tests import factories
from tests.clients import researcher_client
from tests.factories import at
from workers.models import AuditEntry

pytestmark = pytest.mark.django_db
URL = "/api/v1/campaigns"
# A parameter with more values than a race may have arms.
WIDE_SPACE = {"parameters": [{"name": "d_model", "type": "int", "low": 1, "high": 200}]}


# When races start, and runs are claimed and end: always later than what was made before.
SECONDS = itertools.count(100)


def later() -> dt.datetime:
    return timezone.now() + dt.timedelta(seconds=next(SECONDS))


def run_pending(campaign: Campaign, gap: float = 0.2, noise: float = 0.0) -> None:
    """Run all that is pending; an arm's value is its number times `gap`, and some noise."""
    while campaign.tasks.filter(state="pending").exists():
        now = later()
        attempt = factories.claim_one(factories.runner(), now=now)
        task = attempt.task
        wobble = noise * (1 if (task.arm.number + (task.seed_index or 0)) % 2 else -1)
        factories.finish(attempt, 3.0 + gap * task.arm.number + wobble, now=now)


def test_a_person_starts_a_race_and_reads_how_it_ends() -> None:
    client, owner = researcher_client()
    campaign = factories.active_campaign(3, owner=owner)

    body = {"arms": [2, 0], "seeds": 4, "min_effect": 0.5}
    answer = client.post(f"{URL}/{campaign.pk}/race", body)

    assert answer.status_code == 201, answer.json()
    race = Race.objects.get()
    reply = answer.json()
    assert answer.headers["Location"] == f"/api/v1/races/{race.pk}"
    assert reply.pop("started_at")
    assert reply == {
        "id": race.pk,
        "campaign_id": campaign.pk,
        "number": 1,
        "chosen_from": None,
        "arms": [2, 0],
        "seeds": [1, 2, 3, 4],
        "outcome": "",
        "floor_sd": None,
        "floor_pairs": 0,
        "min_effect": 0.5,
        "runs": 8,
        "ended_at": None,
    }
    run_pending(campaign)
    ended = client.get(f"/api/v1/races/{race.pk}").json()
    assert (ended["outcome"], ended["runs"]) == ("champion", 8)
    assert ended["ended_at"]


def test_the_defaults_of_a_race_are_twelve_seeds_and_a_hundredth() -> None:
    client, owner = researcher_client()
    campaign = factories.active_campaign(2, owner=owner)
    reply = client.post(f"{URL}/{campaign.pk}/race", {"arms": [0, 1]}).json()
    assert (reply["seeds"], reply["min_effect"]) == (list(range(1, 13)), 0.01)


def test_the_owner_chooses_how_the_arms_race_and_the_log_says_so() -> None:
    client, owner = researcher_client()
    campaign = factories.campaign(owner=owner)

    answer = client.post(f"{URL}/{campaign.pk}/race-options", {"races_automatically": True})
    client.post(f"{URL}/{campaign.pk}/race-options", {"min_effect": 0.5})

    assert answer.status_code == 200, answer.json()
    assert answer.json()["races_automatically"] is True
    reply = client.get(f"{URL}/{campaign.pk}").json()
    assert (reply["races_automatically"], reply["min_effect"]) == (True, 0.5)
    details = AuditEntry.objects.order_by("pk").values_list("verb", "detail")
    assert list(details) == [
        ("race_options", "races by itself"),
        ("race_options", "smallest difference 0.5"),
    ]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "races_automatically"),
        ({"races_automatically": "yes"}, "races_automatically"),
        ({"races_automatically": 1}, "races_automatically"),
        ({"races_automatically": None}, "races_automatically"),
        ({"min_effect": -0.1}, "min_effect"),
        ({"min_effect": 1e9}, "min_effect"),
        ({"min_effect": "0.1"}, "min_effect"),
        ({"minimum": 0.1}, "minimum"),
    ],
)
def test_race_options_that_make_no_sense_are_refused(body: dict[str, Any], field: str) -> None:
    client, owner = researcher_client()
    campaign = factories.active_campaign(1, owner=owner)
    answer = client.post(f"{URL}/{campaign.pk}/race-options", body)
    assert (answer.status_code, list(answer.json()["fields"])) == (400, [field])


def test_a_campaign_tells_what_it_keeps_for_its_race_and_its_clone_takes_the_default() -> None:
    client, owner = researcher_client()
    campaign = factories.active_campaign(30, owner=owner, races_automatically=True)

    reply = client.get(f"{URL}/{campaign.pk}").json()
    clone = client.post(f"{URL}/{campaign.pk}/clone", {"task_count": 10}).json()
    off = client.post(f"{URL}/{campaign.pk}/clone", {"races_automatically": False}).json()

    assert (reply["task_count"], reply["kept_runs"], reply["races_automatically"]) == (30, 9, True)
    assert (reply["progress"]["kept"], reply["progress"]["total"]) == (9, 30)
    assert (clone["races_automatically"], off["races_automatically"]) == (False, False)
    of_off = client.post(f"{URL}/{off['id']}/clone", {}).json()
    assert of_off["races_automatically"] is False


def test_the_audit_log_and_the_campaigns_log_name_the_arms() -> None:
    client, owner = researcher_client()
    campaign = factories.active_campaign(3, owner=owner)
    client.post(f"{URL}/{campaign.pk}/race", {"arms": [2, 0]})
    entry = AuditEntry.objects.get()
    assert (entry.verb, entry.detail, entry.actor) == ("race", "race 1: arms 2, 0", owner)
    (event,) = [
        event
        for event in client.get(f"{URL}/{campaign.pk}/log").json()["results"]
        if event["who"] == owner.username
    ]
    assert (event["what"], event["detail"]) == ("let arms race", "race 1: arms 2, 0")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"arms": None}, "arms"),
        ({"arms": []}, "arms"),
        ({"arms": [0]}, "arms"),
        ({"arms": [0, 0]}, "arms"),
        ({"arms": [0, 7]}, "arms"),
        ({"arms": list(range(101))}, "arms"),
        ({"arms": [0] * 101}, "arms"),
        ({"arms": "0,1"}, "arms"),
        ({"arms": {"0": 1}}, "arms"),
        ({"arms": [0, True]}, "arms.1"),
        ({"arms": [0, "1"]}, "arms.1"),
        ({"arms": [0, 1.0]}, "arms.1"),
        ({"arms": [0, -1]}, "arms.1"),
        ({"arms": [0, 2**63 - 1]}, "arms.1"),
        ({"seeds": 2}, "seeds"),
        ({"seeds": 1_001}, "seeds"),
        ({"seeds": 12.0}, "seeds"),
        ({"seeds": "12"}, "seeds"),
        ({"seeds": True}, "seeds"),
        ({"seeds": None}, "seeds"),
        ({"min_effect": -0.01}, "min_effect"),
        ({"min_effect": 1e308}, "min_effect"),
        ({"min_effect": "0.1"}, "min_effect"),
        ({"min_effect": True}, "min_effect"),
        ({"min_effct": 0.1}, "min_effct"),
    ],
)
def test_a_race_that_makes_no_sense_is_refused_at_its_field(
    changes: dict[str, Any], field: str
) -> None:
    client, owner = researcher_client()
    space = WIDE_SPACE if len(changes.get("arms") or "") > 100 else factories.SMALL_SPACE
    campaign = factories.active_campaign(3, owner=owner, search_space=space)

    answer = client.post(f"{URL}/{campaign.pk}/race", {"arms": [0, 1]} | changes)

    assert answer.status_code == 400, answer.json()
    assert list(answer.json()["fields"]) == [field]
    assert all(sentence for sentence in answer.json()["fields"][field])
    assert (Race.objects.count(), campaign.tasks.count()) == (0, 3)
    assert not AuditEntry.objects.exists()


def test_arms_of_another_campaign_do_not_race() -> None:
    client, owner = researcher_client()
    campaign = factories.active_campaign(2, owner=owner)
    factories.active_campaign(9, owner=owner)
    answer = client.post(f"{URL}/{campaign.pk}/race", {"arms": [0, 8]})
    assert answer.status_code == 400
    assert answer.json()["fields"] == {"arms": ["8 is no arm of this campaign"]}


def test_an_arm_that_only_a_simulation_ran_does_not_race() -> None:
    client, owner = researcher_client()
    campaign = factories.active_campaign(2, owner=owner, allow_simulated=True)
    factories.run(3.0, seconds=1)
    factories.run(2.0, seconds=2, simulated=True)
    answer = client.post(f"{URL}/{campaign.pk}/race", {"arms": [0, 1]})
    assert answer.status_code == 400
    assert answer.json()["fields"] == {"arms": ["1 has only simulated results, which never race"]}


def test_drafts_paused_and_cancelled_campaigns_do_not_race() -> None:
    client, owner = researcher_client()
    draft = factories.campaign(owner=owner)
    campaign = factories.active_campaign(2, owner=owner)
    lifecycle.pause(campaign, now=at(1))
    answers = [client.post(f"{URL}/{row.pk}/race", {"arms": [0, 1]}) for row in (draft, campaign)]
    lifecycle.cancel(campaign, now=at(2))
    answers.append(client.post(f"{URL}/{campaign.pk}/race", {"arms": [0, 1]}))
    assert [answer.status_code for answer in answers] == [409] * 3
    assert {answer.json()["code"] for answer in answers} == {"wrong_state"}
    assert [answer.json()["message"].split(";")[0] for answer in answers] == [
        "The campaign is draft",
        "The campaign is paused",
        "The campaign is cancelled",
    ]
    assert not Race.objects.exists()


def test_only_the_owner_and_operators_let_arms_race() -> None:
    client, _ = researcher_client()
    operator, _ = researcher_client(factories.user(role="operator"))
    campaign = factories.active_campaign(2, owner=factories.user())
    assert client.post(f"{URL}/{campaign.pk}/race", {"arms": [0, 1]}).status_code == 403
    assert not Race.objects.exists()
    assert operator.post(f"{URL}/{campaign.pk}/race", {"arms": [0, 1]}).status_code == 201


def test_the_lists_say_what_every_look_decided_the_newest_first() -> None:
    first = factories.decided_race()
    campaign = first.campaign
    second = lifecycle.start_race(campaign, [0, 1], seeds=12, now=later())
    run_pending(campaign, gap=0.0, noise=0.05)

    races = APIClient().get(f"{URL}/{campaign.pk}/races").json()
    decisions = APIClient().get(f"{URL}/{campaign.pk}/decisions").json()

    assert [race["number"] for race in races["results"]] == [2, 1]
    assert [race["id"] for race in races["results"]] == [second.pk, first.pk]
    assert {(row["race"], row["look"]) for row in decisions["results"]} >= {(1, 1), (2, 1), (2, 2)}
    assert decisions["results"][0]["race"] == 2
    decision = decisions["results"][-1]
    row = first.decisions.get()
    assert decision.pop("decided_at")
    assert decision == {
        "id": row.pk,
        "campaign_id": campaign.pk,
        "race_id": first.pk,
        "race": 1,
        "look": 1,
        "outcome": "champion",
        "why": "every remaining rival is proven behind",
        "leader": 0,
        "rival": 1,
        "n": 3,
        "estimate": 1.0,
        "scale": row.scale,
        "df": row.df,
        "bound": row.bound,
        "group": [0],
        "behind": [1],
        "dropped": [],
        "infeasible": [],
        "seeds_to_separate": None,
    }


def test_a_race_counts_the_runs_that_were_made_for_it() -> None:
    campaign = factories.active_campaign(6)
    run_pending(campaign)
    for gap, noise in ((0.0, 0.05), (0.2, 0.0), (0.02, 0.03)):
        before = campaign.tasks.count()
        race = lifecycle.start_race(campaign, [0, 1, 2, 3, 4, 5], seeds=12, now=later())
        run_pending(campaign, gap=gap, noise=noise)
        reply = APIClient().get(f"/api/v1/races/{race.pk}").json()
        made = campaign.tasks.filter(purpose=TaskPurpose.RACE).count()
        assert reply["runs"] == campaign.tasks.count() - before, reply
        assert made


def test_anyone_can_compute_a_decision_again_from_what_it_saw() -> None:
    race = factories.decided_race()
    (row,) = APIClient().get(f"{URL}/{race.campaign_id}/decisions").json()["results"]
    reply = APIClient().get(f"/api/v1/decisions/{row['id']}").json()

    again = decide(Sight.from_json(reply["saw"]))

    assert row == {name: value for name, value in reply.items() if name != "saw"}
    assert again.rival is not None
    assert {
        "outcome": again.outcome.value,
        "why": again.why,
        "leader": again.leader,
        "rival": again.rival.arm,
        "n": again.rival.n,
        "estimate": again.rival.estimate,
        "scale": again.rival.scale,
        "df": again.noise.df,
        "bound": again.rival.bound,
        "group": list(again.group),
        "behind": list(again.behind),
        "dropped": list(again.dropped),
        "infeasible": list(again.infeasible),
        "seeds_to_separate": again.seeds_to_separate,
    }.items() <= reply.items()


@pytest.mark.parametrize("name", ["races", "decisions"])
def test_a_longer_list_takes_no_more_queries(
    name: str, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    campaign = factories.decided_race().campaign
    url = f"{URL}/{campaign.pk}/{name}"
    # The campaign, and the rows; of races also their decisions.
    queries = 3 if name == "races" else 2
    with django_assert_num_queries(queries):
        assert len(APIClient().get(url).json()["results"]) == 1
    for _ in range(2):
        lifecycle.start_race(campaign, [0, 1], seeds=3, now=later())
        run_pending(campaign)
    with django_assert_num_queries(queries) as captured:
        assert len(APIClient().get(url).json()["results"]) == 3
    assert not any('"saw"' in query["sql"] for query in captured.captured_queries)


@pytest.mark.parametrize("name", ["races", "decisions"])
def test_the_lists_come_in_pages(name: str) -> None:
    campaign = factories.decided_race().campaign
    lifecycle.start_race(campaign, [0, 1], seeds=3, now=later())
    run_pending(campaign)
    first = APIClient().get(f"{URL}/{campaign.pk}/{name}", {"page_size": 1}).json()
    second = APIClient().get(first["next"]).json()
    assert first["results"][0]["id"] > second["results"][0]["id"]
    assert (len(first["results"]), len(second["results"]), second["next"]) == (1, 1, None)


@pytest.mark.parametrize("path", ["{}/races", "{}/decisions"])
def test_a_parameter_that_a_list_does_not_read_is_refused(path: str) -> None:
    campaign = factories.campaign()
    answer = APIClient().get(f"{URL}/{path.format(campaign.pk)}", {"outcome": "tie"})
    assert answer.status_code == 400
    assert answer.json()["fields"] == {
        "outcome": ["There is no such parameter; known are: page_size, cursor."]
    }
    assert APIClient().get(f"{URL}/{path.format(campaign.pk + 99)}").status_code == 404
