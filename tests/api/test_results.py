"""campaigns/<id>/results and campaigns/<id>/leaderboard: the results and their ranking."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from campaigns import lifecycle
from campaigns.models import Campaign, Task
from tests import factories
from workers.protocol import FailureClass

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
    assert values(worker=leader.attempt.worker.name) == [2.5]
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
    (best,) = get(campaign, "leaderboard")["rows"]
    assert best["result"]["val_bpb"] == 3.0
    (row,) = get(campaign, "leaderboard", state="implausible")["rows"]
    assert (row["rank"], row["state"], row["result"]["val_bpb"]) == (None, "implausible", 0.5)
    assert row["reason"].startswith("implausible, not counted: ")
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


def test_the_leaderboard_ranks_measured_results_best_first() -> None:
    campaign = campaign_with(3.0, 2.5, 2.75, simulated=(1.0,))

    reply = get(campaign, "leaderboard")

    assert [(row["rank"], row["result"]["val_bpb"]) for row in reply["rows"]] == [
        (1, 2.5),
        (2, 2.75),
        (3, 3.0),
    ]
    assert reply["varying_params"] == ["lr", "d_model"]
    assert reply["constant_params"] == {}


def test_the_leaderboard_is_cut_by_limit_and_offset_and_narrowed_by_device() -> None:
    campaign = campaign_with(3.0, 2.5, 2.75)

    part = get(campaign, "leaderboard", limit=1, offset=1)
    other_device = get(campaign, "leaderboard", device="cuda")

    assert [(row["rank"], row["result"]["val_bpb"]) for row in part["rows"]] == [(2, 2.75)]
    assert other_device["rows"] == []
    assert len(get(campaign, "leaderboard", evaluation="full")["rows"]) == 3
    assert get(campaign, "leaderboard", evaluation="subset")["rows"] == []


def test_the_leaderboard_is_filtered_by_how_tasks_ended() -> None:
    campaign = campaign_with(3.0, 2.5, simulated=(1.0,))
    lifecycle.enqueue(campaign, {"lr": 0.001, "d_model": 64}, now=factories.NOW)
    attempt = factories.claim_one(factories.worker(), now=factories.at(60))
    Task.objects.filter(pk=attempt.task_id).update(max_failed_attempts=1)
    factories.fail(attempt, FailureClass.OOM, now=factories.at(61))

    usual = get(campaign, "leaderboard")["rows"]
    everything = get(campaign, "leaderboard", state="all")["rows"]
    (failed,) = get(campaign, "leaderboard", state="failed")["rows"]
    (simulated,) = get(campaign, "leaderboard", state="simulated", sort="-val_bpb")["rows"]

    assert [row["rank"] for row in usual] == [1, 2]
    assert [row["rank"] for row in everything] == [1, 2, None]
    assert everything[2] == failed
    assert failed["result"] is None
    assert (failed["state"], failed["reason"]) == ("failed", "failed: out of memory")
    assert (failed["task_id"], failed["params"]["d_model"]) == (attempt.task_id, 64)
    assert (simulated["rank"], simulated["result"]["val_bpb"]) == (None, 1.0)


@pytest.mark.parametrize(
    "query",
    [
        *({"sort": "luck"}, {"sort": "param.luck"}, {"sort": "--rank"}, {"order": "up"}),
        *(
            {"state": "pending"},
            {"evaluation": "half"},
            {"limit": "0"},
            {"limit": "501"},
            {"offset": "-1"},
            {"limit": "x"},
        ),
    ],
)
def test_a_part_of_the_leaderboard_that_makes_no_sense_is_refused(query: dict[str, str]) -> None:
    campaign = factories.campaign()

    answer = APIClient().get(f"/api/v1/campaigns/{campaign.pk}/leaderboard", query)

    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == list(query)


def test_the_leaderboard_is_sorted_by_any_column_of_the_page_and_keeps_its_ranks() -> None:
    campaign = campaign_with(3.0, 2.5, 2.75)
    params = {row["rank"]: row["result"]["params"] for row in get(campaign, "leaderboard")["rows"]}

    def ranks(**query: str) -> list[int]:
        return [row["rank"] for row in get(campaign, "leaderboard", **query)["rows"]]

    by_lr = sorted(params, key=lambda rank: params[rank]["lr"])
    assert ranks(sort="param.lr") == by_lr
    assert ranks(sort="-param.lr") == ranks(sort="param.lr", order="desc") == by_lr[::-1]
    assert ranks(sort="-rank") == ranks(order="desc") == [3, 2, 1]
    assert ranks(sort="-seed", order="asc") == ranks(sort="seed") == [3, 1, 2]
    assert ranks(sort="-rank", limit="1", offset="1") == [2]


def test_the_leaderboard_costs_two_queries_however_long_it_is(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    campaign = campaign_with(3.0, 2.5, 2.75)

    with django_assert_num_queries(2):  # campaign, rows
        get(campaign, "leaderboard")
