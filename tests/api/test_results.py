"""campaigns/<id>/results and campaigns/<id>/leaderboard: the single runs, and the arms."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from campaigns import lifecycle
from campaigns.models import Campaign
from tests import factories

pytestmark = pytest.mark.django_db


def campaign_with(*values: float, simulated: tuple[float, ...] = ()) -> Campaign:
    campaign = factories.active_campaign(
        len(values) + len(simulated), allow_simulated=True, shares_seeds=False
    )
    for number, value in enumerate((*values, *simulated)):
        factories.run(value, seconds=number, simulated=number >= len(values))
    return campaign


def get(campaign: Campaign, path: str, **query: Any) -> Any:
    answer = APIClient().get(f"/api/v1/campaigns/{campaign.pk}/{path}", query)
    assert answer.status_code == 200, answer.json()
    return answer.json()


def test_results_come_newest_first_without_what_nobody_measured() -> None:
    campaign = campaign_with(3.0, 2.5, simulated=(1.0,))

    reply = get(campaign, "results")

    assert [result["val_bpb"] for result in reply["results"]] == [2.5, 3.0]
    first = reply["results"][0]
    assert first["task_number"] == 1
    assert first["params"] == campaign.tasks.get(number=1).params
    assert first["metrics"]["dtype"] == "bfloat16"
    assert not first["simulated"]
    assert first["is_ranked"]


def test_simulated_results_come_on_request_and_say_so() -> None:
    campaign = campaign_with(3.0, simulated=(1.0,))

    reply = get(campaign, "results", simulated="true")

    assert [(result["val_bpb"], result["simulated"]) for result in reply["results"]] == [
        (1.0, True),
        (3.0, False),
    ]
    assert len(get(campaign, "results", simulated="false")["results"]) == 1


def test_the_results_are_narrowed_by_device_worker_value_and_what_became_of_them() -> None:
    campaign = campaign_with(3.0, 2.5)
    leader = campaign.results.get(value=2.5)

    def values(**query: Any) -> list[float]:
        return [result["val_bpb"] for result in get(campaign, "results", **query)["results"]]

    assert values(device="cpu") == [2.5, 3.0]
    assert values(device="cuda") == []
    assert values(worker=leader.attempt.worker.name) == [2.5, 3.0]
    assert values(worker="somebody else") == []
    assert values(max_val_bpb="2.9") == [2.5]
    assert values(is_ranked="false") == values(diverged="true") == []
    assert values(eval_is_subset="false") == [2.5, 3.0]


def test_an_implausible_result_is_marked_unranked_and_not_counted() -> None:
    campaign = campaign_with(3.0, 0.5)

    results = get(campaign, "results")["results"]
    assert [(row["val_bpb"], row["is_ranked"], row["implausible"]) for row in results] == [
        (0.5, False, True),
        (3.0, True, False),
    ]
    assert [row["val_bpb"] for row in get(campaign, "results", implausible="true")["results"]] == [
        0.5
    ]
    (row,) = get(campaign, "leaderboard")["rows"]
    assert row["value"] == 3.0
    detail = APIClient().get(f"/api/v1/campaigns/{campaign.pk}").json()
    assert detail["progress"]["implausible"] == 1


def test_pages_follow_one_another_without_a_gap_while_results_come_in() -> None:
    campaign = factories.active_campaign(6)
    for number in range(5):
        attempt = factories.claim_one(factories.worker())
        factories.finish(attempt, 3.0 + number)  # all at the same instant
    client = APIClient()

    first = get(campaign, "results", page_size=2)
    factories.finish(factories.claim_one(factories.worker()), 9.0, now=factories.at(60))
    second = client.get(first["next"]).json()
    third = client.get(second["next"]).json()

    values = [result["val_bpb"] for page in (first, second, third) for result in page["results"]]
    assert values == [7.0, 6.0, 5.0, 4.0, 3.0]
    assert third["next"] is None
    assert client.get(third["previous"]).json()["results"] == second["results"]


def test_the_results_cost_two_queries_however_many_they_are(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    campaign = campaign_with(3.0, 2.5, 2.75)

    with django_assert_num_queries(2):  # campaign, page
        get(campaign, "results")


def test_the_leaderboard_has_arms_and_ranks_only_those_that_raced() -> None:
    campaign = campaign_with(3.0, 2.5, 2.75, simulated=(1.0,))
    reply = get(campaign, "leaderboard")
    assert [(row["rank"], row["arm"], row["value"]) for row in reply["rows"]] == [
        (None, 1, 2.5),
        (None, 2, 2.75),
        (None, 0, 3.0),
    ]
    assert {row["standing"] for row in reply["rows"]} == {"screened"}
    assert (reply["varying_params"], reply["constant_params"]) == (["lr", "d_model"], {})
    race = factories.decided_race()
    rows = get(race.campaign, "leaderboard")["rows"]
    assert [(row["rank"], row["standing"]) for row in rows] == [(1, "champion"), (2, "behind")]
    assert rows == get(race.campaign, "arms")["rows"]


def test_a_config_that_ran_again_has_one_row() -> None:
    campaign = campaign_with(3.0, 2.5)
    lifecycle.enqueue(campaign, campaign.arms.get(number=1).params, now=factories.at(60))
    factories.run(1.5, seconds=70)
    assert [row["value"] for row in get(campaign, "leaderboard")["rows"]] == [2.5, 3.0]


def test_the_leaderboard_is_that_of_one_class_unless_all_are_asked_for() -> None:
    campaign = campaign_with(3.0, 2.5, 2.75)
    other = str(factories.in_another_class(campaign.results.filter(value=2.5)).pk)
    first = str(campaign.results.get(value=3.0).result_class_id)

    def values(**query: Any) -> tuple[str, list[float], int]:
        reply = get(campaign, "leaderboard", **query)
        values = [row["value"] for row in reply["rows"]]
        return reply["result_class"], values, reply["count"]

    assert values() == (first, [2.75, 3.0], 2)
    assert values(limit=1, offset=1) == (first, [3.0], 2)
    assert values(result_class=other) == (other, [2.5], 1)
    assert values(result_class="all") == ("all", [2.5, 2.75, 3.0], 3)
    assert [one["name"] for one in get(campaign, "leaderboard")["classes"]] == [first, other]


@pytest.mark.parametrize(
    "query",
    [
        *({"sort": "val_bpb"}, {"state": "failed"}, {"device": "cpu"}),
        *({"result_class": "tpu"}, {"result_class": "x" * 121}),
        *({"limit": "0"}, {"limit": "1001"}, {"offset": "-1"}, {"limit": "x"}),
    ],
)
def test_a_part_of_the_leaderboard_that_makes_no_sense_is_refused(query: dict[str, str]) -> None:
    campaign = factories.campaign()

    answer = APIClient().get(f"/api/v1/campaigns/{campaign.pk}/leaderboard", query)

    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == list(query)


def test_the_leaderboard_costs_few_queries_however_long_it_is(
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    campaign = campaign_with(3.0, 2.5, 2.75)

    with django_assert_max_num_queries(6):  # campaign, classes, races, number, rows
        get(campaign, "leaderboard")
    with django_assert_max_num_queries(1):
        get(campaign, "leaderboard")
