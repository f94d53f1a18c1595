"""campaigns/<id>/honesty and campaigns/<id>/races/<n>/differences, and the same as commands."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from rest_framework.test import APIClient

from campaigns import jobs, lifecycle
from tests import factories
from tests.arms.test_races import run_all, screened
from tests.standings.test_noise import repeated

pytestmark = pytest.mark.django_db
API = "/api/v1"


def get(path: str) -> Any:
    answer = APIClient().get(f"{API}/{path}")
    assert answer.status_code == 200, answer.content
    return answer.json()


def run(*arguments: Any) -> str:
    output = StringIO()
    call_command("campaign", *map(str, arguments), stdout=output)
    return output.getvalue()


def test_the_runs_of_the_reasons_and_those_that_count_are_all_that_ended() -> None:
    campaign = factories.active_campaign(6, max_failed_attempts=1)
    for second in range(3):
        factories.run(3.0 + second, seconds=second)
    factories.run(None, seconds=4)
    factories.fail(factories.claim_one(factories.runner(), now=factories.at(60)))
    data = get(f"campaigns/{campaign.pk}/honesty")
    assert (data["ended"], data["counted"], data["open"]) == (5, 3, 1)
    reasons = {row["reason"]: row["runs"] for row in data["not_counted"]}
    assert reasons == {"failed": 1, "diverged": 1}
    assert data["counted"] + sum(reasons.values()) == data["ended"]
    assert data["failure_classes"] == {"script_error": 1}
    assert data["foreign_load"][-1] == {"from_cores": None, "below_cores": None, "runs": 4}
    assert [row["results"] for row in data["workers"]] == [4]
    assert json.loads(run("honesty", campaign.pk, "--json")) == data
    lines = run("honesty", campaign.pk).splitlines()
    assert lines[0] == "5 runs: 3 counted + 2 not counted; 1 open."
    assert any(line.startswith("  1 diverged: ") for line in lines)


def test_the_noise_comes_with_the_gaps_that_it_lets_see() -> None:
    campaign = repeated(arms=6, seeds=6)
    (unknown,) = get(f"campaigns/{campaign.pk}/honesty")["noise"]
    assert (unknown["sd"], unknown["visible_gaps"], unknown["pair_sizes"]) == (None, [], [])
    jobs.keep_noise_floors()
    (noise,) = get(f"campaigns/{campaign.pk}/honesty")["noise"]
    assert [row["seeds"] for row in noise["visible_gaps"]] == [1, 3, 6, 12]
    assert len(noise["pair_sizes"]) == noise["pairs"] == 18
    assert "visible gaps by seeds: " in run("honesty", campaign.pk)


def test_every_difference_of_a_race_is_less_the_leader_in_the_metrics_unit() -> None:
    campaign = screened()
    lifecycle.start_race(campaign, [0, 1, 2], now=factories.at(100))
    run_all(campaign)
    data = get(f"campaigns/{campaign.pk}/races/1/differences")
    assert (data["compared_with"], data["is_leader"], data["outcome"]) == (0, True, "champion")
    assert [arm["arm"] for arm in data["arms"]] == [0, 1, 2]
    leader, nearest, _ = data["arms"]
    assert len(leader["differences"]) == 12
    assert [row["difference"] for row in nearest["differences"]] == pytest.approx([0.2] * 3)
    for row in nearest["differences"]:
        assert row["value"] - row["reference_value"] == pytest.approx(row["difference"])
    assert (nearest["left_as"], nearest["left_at_look"]) == ("behind", 1)
    (look,) = nearest["looks"]
    assert look["is_behind"]
    assert look["median"] > look["bound"]
    (decision,) = get(f"campaigns/{campaign.pk}/decisions")["results"]
    assert (look["median"], look["bound"], look["n"]) == (
        decision["estimate"],
        decision["bound"],
        decision["n"],
    )
    assert data["looks"] == [{"look": 1, "seeds": 3, "leader": 0}]
    assert json.loads(run("differences", campaign.pk, "--json")) == data
    lines = run("differences", campaign.pk, "--race", 1).splitlines()
    assert lines[0] == data["verdict"]
    assert lines[3].startswith("arm 1 (behind): s1 +0.2000, s2 +0.2000, s3 +0.2000; look 1 +0.2000")


def test_races_and_campaigns_that_are_not_there_are_not_found() -> None:
    campaign = factories.active_campaign(1)
    for path in (
        f"campaigns/{campaign.pk}/races/1/differences",
        f"campaigns/{campaign.pk}/races/{10**30}/differences",
        "campaigns/999/races/1/differences",
        "campaigns/999/honesty",
    ):
        assert APIClient().get(f"{API}/{path}").status_code == 404
    with pytest.raises(CommandError, match="no such race; it has none"):
        run("differences", campaign.pk)
    lifecycle.start_race(screened(), [0, 1], now=factories.at(100))
    with pytest.raises(CommandError, match="it has only: 1"):
        run("differences", campaign.pk + 1, "--race", 7)
