"""campaigns: the list of campaigns, and creating a campaign from its description."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from campaigns import lifecycle
from campaigns.api.filters import CAMPAIGN_SORTS
from campaigns.models import Campaign, CampaignState
from tests import factories
from tests.clients import agent_client, researcher_client

pytestmark = pytest.mark.django_db
URL = "/api/v1/campaigns"


def spec(**changes: Any) -> dict[str, Any]:
    return {
        "name": "How fast may it learn?",
        "experiment": "train_char_lm",
        "task_count": 3,
        "time_budget_seconds": 10,
    } | changes


def test_a_description_becomes_a_draft_of_its_author() -> None:
    client, owner = researcher_client()

    answer = client.post(URL, spec(search_space=factories.SMALL_SPACE, base_seed=7))

    assert answer.status_code == 201, answer.json()
    campaign = Campaign.objects.get()
    assert answer.headers["Location"] == f"{URL}/{campaign.pk}"
    reply = answer.json()
    assert reply["id"] == campaign.pk
    assert reply["state"] == "draft"
    assert reply["owner"] == owner.username
    assert reply["base_seed"] == 7
    assert reply["search_space"] == campaign.search_space
    assert reply["dataset"]["name"] == "tinyshakespeare"
    assert reply["code_sha256"] == campaign.package_id
    assert reply["best_val_bpb"] is None
    assert campaign.owner == owner
    assert campaign.time_budget_seconds == 10.0
    assert campaign.state == CampaignState.DRAFT


def test_without_a_search_space_the_experiments_own_is_taken() -> None:
    client, _ = researcher_client()

    reply = client.post(URL, spec(search_space=None)).json()

    names = [parameter["name"] for parameter in reply["search_space"]["parameters"]]
    assert names[:2] == ["lr", "d_model"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "n" * 201}, "name"),
        ({"name": 5}, "name"),
        ({"experiment": "of_somebody_else"}, "experiment"),
        ({"task_count": 0}, "task_count"),
        ({"task_count": True}, "task_count"),
        ({"task_count": "3"}, "task_count"),
        ({"task_count": 10**9}, "task_count"),
        ({"time_budget_seconds": 0}, "time_budget_seconds"),
        ({"time_budget_seconds": -1}, "time_budget_seconds"),
        ({"time_budget_seconds": 1e9}, "time_budget_seconds"),
        ({"time_budget_seconds": True}, "time_budget_seconds"),
        ({"time_budget_seconds": "10"}, "time_budget_seconds"),
        ({"base_seed": -1}, "base_seed"),
        ({"base_seed": 2**31}, "base_seed"),
        ({"sampler": "clairvoyant"}, "sampler"),
        ({"dataset": "of_somebody_else"}, "dataset"),
        ({"allow_simulated": 1}, "allow_simulated"),
        ({"max_failed_attempts": 0}, "max_failed_attempts"),
        ({"search_space": []}, "search_space"),
        ({"search_space": {}}, "search_space"),
        ({"search_space": {"parameters": [{"name": "lr"}]}}, "search_space"),
        (
            {"search_space": factories.SMALL_SPACE | {"constraints": ["d_model > 1000"]}},
            "search_space",
        ),
        ({"task_cuont": 3}, "task_cuont"),
        ({"state": "active"}, "state"),
    ],
)
def test_a_description_that_is_wrong_is_refused_by_field_and_nothing_is_stored(
    changes: dict[str, Any], field: str
) -> None:
    client, _ = researcher_client()

    answer = client.post(URL, spec(**changes))

    assert answer.status_code == 400
    reply = answer.json()
    assert reply["code"] == "invalid"
    assert list(reply["fields"]) == [field]
    assert all(isinstance(sentence, str) for sentence in reply["fields"][field])
    assert not Campaign.objects.exists()


def test_describing_a_campaign_needs_somebody_signed_in() -> None:
    answer = APIClient().post(URL, spec())

    assert answer.status_code == 401
    assert not Campaign.objects.exists()


def test_a_worker_cannot_describe_or_list_campaigns() -> None:
    client, _ = agent_client()

    for answer in (client.post(URL, spec()), client.get(URL)):
        assert answer.status_code == 401
        assert "personal token (xp_…)" in answer.json()["message"]


def test_the_list_shows_the_newest_first_with_the_best_measured_value() -> None:
    older = factories.completed_task(3.25).campaign
    newer = factories.campaign(now=factories.at(60))

    reply = APIClient().get(URL).json()

    assert [(campaign["id"], campaign["best_val_bpb"]) for campaign in reply["results"]] == [
        (newer.pk, None),
        (older.pk, 3.25),
    ]


def test_the_list_can_be_narrowed_by_state_experiment_owner_and_name() -> None:
    warm_up = factories.campaign(owner=factories.user("ada"), name="Warm-up length")
    factories.active_campaign(1, owner=factories.user("bob"), name="Depth")

    def names(**query: str) -> list[str]:
        return [campaign["name"] for campaign in APIClient().get(URL, query).json()["results"]]

    assert names(state="active") == ["Depth"]
    assert names(owner="ada") == ["Warm-up length"]
    assert names(search="WARM") == ["Warm-up length"]
    assert names(experiment="train_char_lm", state="draft") == [warm_up.name]
    assert names(experiment="another") == []


@pytest.mark.parametrize("query", [{"state": "asleep"}, {"search": "a\0b"}, {"sort": "luck"}])
def test_a_filter_that_is_wrong_is_refused_by_field(query: dict[str, str]) -> None:
    answer = APIClient().get(URL, query)

    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == list(query)


def pages(**query: Any) -> list[list[str]]:
    """The names on each page of the list, following `next` to the last page."""
    names = []
    reply = APIClient().get(URL, {"page_size": 2} | query).json()
    while True:
        names.append([campaign["name"] for campaign in reply["results"]])
        if reply["next"] is None:
            return names
        reply = APIClient().get(reply["next"]).json()


def test_pages_follow_one_another_and_none_is_longer_than_allowed() -> None:
    for name in "abc":
        factories.campaign(name=name)

    assert pages() == [["c", "b"], ["a"]]
    assert pages(page_size=100_000) == [["c", "b", "a"]]


def test_the_list_is_sorted_by_any_column_of_the_page_and_no_campaign_is_passed_over() -> None:
    owner = factories.user("ada")
    for name, best in (("b", 3.0), ("d", 2.5), ("a", None), ("c", 3.0), ("e", None)):
        if best is None:
            factories.campaign(name=name, owner=owner)
        else:
            factories.completed_task(best, name=name)

    assert pages(sort="name") == [["a", "b"], ["c", "d"], ["e"]]
    assert pages(sort="-name") == [["e", "d"], ["c", "b"], ["a"]]
    # Equal values: newest first. Campaigns without a value come last in either direction.
    assert pages(sort="best") == [["d", "c"], ["b", "e"], ["a"]]
    assert pages(sort="-best") == [["c", "b"], ["d", "e"], ["a"]]
    assert pages(sort="-owner") == [["e", "a"], ["c", "d"], ["b"]]
    assert pages(sort="created") == [["b", "d"], ["a", "c"], ["e"]]
    for key in CAMPAIGN_SORTS:
        for sort in (key, f"-{key}"):
            assert sorted(name for page in pages(sort=sort) for name in page) == list("abcde")


@pytest.mark.parametrize("sort", ["", "-created", "name", "best", "-owner", "tasks", "budget"])
@pytest.mark.parametrize("position", ["p=x", "p=%00", "p=1e999", "p=nan", "o=9" + 40 * "9", "r=x"])
def test_a_cursor_made_up_by_hand_is_no_error_of_the_server(sort: str, position: str) -> None:
    factories.campaign()
    cursor = b64encode(position.encode()).decode()

    answer = APIClient().get(URL, {"sort": sort, "cursor": cursor})

    assert answer.status_code in {200, 404}, answer.content


def test_an_unreadable_cursor_is_not_found() -> None:
    for cursor in ("x", "9" * 5000, "é", b64encode(b"p=x").decode()):
        answer = APIClient().get(URL, {"cursor": cursor})
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("sort", ["", "-best"])
def test_the_list_costs_one_query_however_long_it_is(
    django_assert_num_queries: DjangoAssertNumQueries, sort: str
) -> None:
    for _ in range(5):
        factories.campaign(owner=factories.user())

    with django_assert_num_queries(1):
        APIClient().get(URL, {"sort": sort})


def test_strangers_read_only_where_the_operator_allows_it(settings: Any) -> None:
    factories.campaign()
    settings.XEENET = settings.XEENET | {"ANONYMOUS_READ": False}

    assert APIClient().get(URL).status_code == 401
    assert researcher_client()[0].get(URL).status_code == 200


def test_a_person_with_a_session_may_describe_a_campaign_with_the_csrf_token_only() -> None:
    factories.user("ada")
    client = APIClient(enforce_csrf_checks=True)
    client.login(username="ada", password="secret-for-tests")

    refused = client.post(URL, spec())
    client.cookies["csrftoken"] = "a" * 32
    taken = client.post(URL, spec(), headers={"X-CSRFToken": "a" * 32})

    assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")
    assert taken.status_code == 201


def test_a_cancelled_campaign_stays_in_the_list_with_its_reason() -> None:
    campaign = factories.active_campaign(1)
    lifecycle.cancel(campaign, now=factories.at(1), reason="wrong data set")

    (listed,) = APIClient().get(URL).json()["results"]

    assert (listed["state"], listed["state_reason"]) == ("cancelled", "wrong data set")


def test_a_hundred_thousand_unknown_fields_get_a_short_answer() -> None:
    client, _ = researcher_client()

    answer = client.post(URL, {str(number): 1 for number in range(90_000)})

    assert answer.status_code == 400
    assert len(answer.content) < 10_000
