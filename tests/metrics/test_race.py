"""A race in a campaign whose metric is maximised: the larger value is ahead, everywhere."""

from __future__ import annotations

import io
import re

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from campaigns import lifecycle
from campaigns.models import Campaign, Race
from tests import factories, invariants, second_metric
from tests.second_metric import EXPERIMENT

pytestmark = pytest.mark.django_db

# Tokens per second by the number of the arm.
SPEEDS = {0: 400.0, 1: 640.0, 2: 512.0}


@pytest.fixture
def race() -> Race:
    """Three arms have raced on three seeds, on each of which arm 1 was the fastest."""
    campaign = factories.active_campaign(3, now=timezone.now(), experiment=EXPERIMENT)
    run_all(campaign)
    race = lifecycle.start_race(campaign, [0, 1, 2], seeds=3, now=timezone.now())
    run_all(campaign)
    race.refresh_from_db()
    return race


def run_all(campaign: Campaign) -> None:
    while campaign.tasks.filter(state="pending").exists():
        attempt = factories.claim_one(factories.runner(), now=timezone.now())
        task = attempt.task
        body = second_metric.completed(task, SPEEDS[task.arm.number] + (task.seed_index or 0))
        answer = lifecycle.submit(attempt.worker, attempt.lease_id, body, now=timezone.now())
        assert answer.verdict == "accepted", answer.message


def test_the_arm_with_the_largest_values_is_champion(race: Race) -> None:
    decision = race.decisions.get()
    assert (race.outcome, decision.behind) == ("champion", [2, 0])
    assert decision.leader is not None
    assert decision.leader.number == 1
    assert decision.estimate == pytest.approx(128.0)
    invariants.check()


def test_board_page_and_command_show_its_value_with_unit_and_direction(
    race: Race, client: Client
) -> None:
    board = APIClient().get(f"/api/v1/campaigns/{race.campaign_id}/arms").json()
    assert (board["metric"], board["unit"], board["direction"]) == (
        "tokens_per_second",
        "tokens/s",
        "maximize",
    )
    assert [(row["rank"], row["arm"], row["value"]) for row in board["rows"]] == [
        (1, 1, 642.0),
        (2, 2, 514.0),
        (3, 0, 402.0),
    ]
    claim = "Arm 1 is ahead of the 2 arms it raced, of 3 in the campaign, by 128.0 tokens/s"
    assert board["verdict"].startswith(claim)
    page = client.get(race.campaign.get_absolute_url()).text
    assert claim in re.sub("<[^>]+>", "", page)
    page = page[page.index('id="board"') :]
    assert page.index("642.0") < page.index("514.0") < page.index("402.0")
    output = io.StringIO()
    call_command("leaderboard", str(race.campaign_id), stdout=output)
    assert "642.0" in output.getvalue()
    assert "val_bpb" not in output.getvalue() + board["verdict"]
