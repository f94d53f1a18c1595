"""``manage.py campaign race, races, decisions, plan``: the API's answers on the command line."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone
from rest_framework.test import APIClient

from campaigns.models import Campaign, Race
from campaigns.race.look import decide
from campaigns.race.rows import Sight
from tests import factories
from workers.models import AuditEntry

pytestmark = pytest.mark.django_db
API = "/api/v1"


def run(*arguments: Any) -> str:
    output = StringIO()
    call_command("campaign", *map(str, arguments), stdout=output)
    return output.getvalue()


def api(path: str) -> Any:
    return APIClient().get(f"{API}/{path}").json()


def test_a_race_begins_and_the_audit_log_says_so() -> None:
    campaign = factories.active_campaign(3)

    began = run("race", campaign.pk, "--arms", "2,0", "--seeds", 5, "--min-effect", 0.1)
    run("race", campaign.pk, "--arms", "0, 1")

    assert began == "race 1: running, arms 2, 0, on up to 5 seeds, 6 runs\n"
    first, second = Race.objects.order_by("number")
    assert (first.arms, len(first.seeds), first.min_effect) == ([2, 0], 5, 0.1)
    assert (second.arms, len(second.seeds), second.min_effect) == ([0, 1], 12, 0.01)
    acts = AuditEntry.objects.order_by("pk").values_list("verb", "actor_name", "detail")
    assert list(acts) == [
        ("race", "command line", "race 1: arms 2, 0"),
        ("race", "command line", "race 2: arms 0, 1"),
    ]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--arms", "0"], "arms: "),
        (["--arms", "0,7"], "7 is no arm of this campaign"),
        (["--arms", "0,99999999999999999999"], r"arms\.1: "),
        (["--arms", "0,x"], "0,x is no list of numbers such as 0,4,7"),
        (["--arms", "0,1", "--seeds", "2"], "seeds: "),
        (["--arms", "0,1", "--min-effect", "nan"], "min_effect: A valid number is required"),
        ([], "--arms"),
    ],
)
def test_a_race_that_makes_no_sense_is_refused(arguments: list[str], sentence: str) -> None:
    campaign = factories.active_campaign(2)
    with pytest.raises(CommandError, match=sentence):
        run("race", campaign.pk, *arguments)
    assert not Race.objects.exists()


def test_the_options_of_a_race_are_chosen_and_an_absent_one_stays() -> None:
    campaign = factories.active_campaign(1)
    said = run("race-options", campaign.pk, "--race", "--min-effect", 0.5)
    assert said == (
        f"Campaign {campaign.pk}: a race begins by itself; smallest difference that matters 0.5.\n"
    )
    assert "only by hand; smallest difference that matters 0.5" in run(
        "race-options", campaign.pk, "--no-race"
    )
    with pytest.raises(CommandError, match="give this or min_effect"):
        run("race-options", campaign.pk)
    with pytest.raises(CommandError, match="min_effect: "):
        run("race-options", campaign.pk, "--min-effect", "inf")


def test_a_campaign_of_an_outside_program_is_finished() -> None:
    campaign = factories.completed_task().campaign
    with pytest.raises(CommandError, match="is completed"):
        run("finish", campaign.pk)
    Campaign.objects.update(state="active", finished_at=None, asked_at=factories.NOW)
    assert "is completed: " in run("finish", campaign.pk)


def test_a_draft_does_not_race_and_no_campaign_is_guessed() -> None:
    with pytest.raises(CommandError, match="is draft; launch it first"):
        run("race", factories.campaign().pk, "--arms", "0,1")
    with pytest.raises(CommandError, match="There is no campaign 999"):
        run("races", 999)


def test_races_and_decisions_print_as_text_and_as_the_apis_json() -> None:
    race = factories.decided_race()
    campaign = race.campaign_id
    (row,) = api(f"campaigns/{campaign}/decisions")["results"]
    detail = api(f"decisions/{row['id']}")

    assert run("races", campaign) == ("race 1: champion, arms 0, 1, on up to 3 seeds, 6 runs\n")
    assert (
        json.loads(run("races", campaign, "--json"))
        == api(f"campaigns/{campaign}/races")["results"]
    )
    assert run("decisions", campaign) == (
        "race 1, look 1: champion; leader arm 0; nearest arm 1, 1.0000 behind on 3 seeds "
        f"(bound {row['bound']:.4f}); every remaining rival is proven behind; behind: 1\n"
    )
    assert json.loads(run("decisions", campaign, "--json")) == [detail]
    assert decide(Sight.from_json(detail["saw"])).leader == 0


def test_a_tie_names_all_its_arms() -> None:
    campaign = factories.active_campaign(2)
    run("race", campaign.pk, "--arms", "1,0", "--seeds", 3)
    while campaign.tasks.filter(state="pending").exists():
        factories.finish(factories.claim_one(factories.runner(), now=timezone.now()), 3.0)
    assert run("decisions", campaign.pk).startswith(
        "race 1, look 1: tie of arms 0, 1; leader arm 0; nearest arm 1, 0.0000 behind on 3 seeds "
    )


def test_a_decision_without_a_rival_or_a_bound_is_told_too() -> None:
    campaign = factories.active_campaign(2)
    run("race", campaign.pk, "--arms", "0,1", "--seeds", 3)
    assert run("decisions", campaign.pk) == ""
    run("cancel", campaign.pk)
    assert (
        run("decisions", campaign.pk) == "race 1, look 1: cancelled; the campaign was cancelled\n"
    )


def test_a_plan_prints_as_sentences_and_as_the_apis_json() -> None:
    campaign = factories.decided_race().campaign_id
    empty = factories.campaign().pk
    body = {"delta": 10, "power": 0.9}
    arguments = ("plan", campaign, "--delta", 10, "--power", 0.9)

    offline = run(*arguments)
    factories.worker(last_seen_at=timezone.now())
    online = run(*arguments)
    reply = APIClient().post(f"{API}/campaigns/{campaign}/plan", body).json()

    assert json.loads(run(*arguments, "--json")) == reply
    assert online.splitlines()[0] == reply["sentence"]
    assert offline.startswith(f"To see 10 bits/byte here you need {reply['seeds']} seeds of each")
    assert "No worker that could take the runs is online" in offline
    assert "No worker" not in online
    assert "replicate pairs" in online
    assumed = run("plan", empty, "--delta", 0.02)
    assert "That assumes the noise of the class “" in assumed
    assert "replicate pairs" not in assumed


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--delta", "0"], "delta: Must be greater than 0"),
        (["--delta", "nan"], "delta: A valid number is required"),
        (["--delta", "1", "--power", "80"], "power: Must be greater than 0 and less than 1"),
        ([], "--delta"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(arguments: list[str], sentence: str) -> None:
    with pytest.raises(CommandError, match=sentence):
        run("plan", factories.campaign().pk, *arguments)
