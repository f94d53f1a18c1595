"""``manage.py leaderboard``."""

from __future__ import annotations

import json
import re
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from campaigns.management.terminal import leaderboard_text
from campaigns.models import Campaign
from campaigns.standings.board import LeaderboardQuery, entries
from tests import factories
from workers.protocol import FailureClass

pytestmark = pytest.mark.django_db


def board(*arguments: Any, **options: Any) -> str:
    output = StringIO()
    call_command("leaderboard", *arguments, stdout=output, **options)
    return output.getvalue()


@pytest.fixture
def campaign() -> Campaign:
    """Three measured results and one simulated one that looks best."""
    ranked = factories.active_campaign(4, allow_simulated=True, shares_seeds=False)
    for value in (3.2, 3.1, 3.3):
        factories.finish(factories.claim_one(factories.worker()), value)
    dreamer = factories.worker("dreamer", simulates=True)
    attempt = factories.claim_one(dreamer)
    body = factories.completed(attempt.task, 1.5)
    body["simulated"] = True
    factories.lifecycle.submit(dreamer, attempt.lease_id, body, now=factories.NOW)
    return ranked


def test_measured_results_are_listed_best_first_and_simulated_ones_are_not(
    campaign: Campaign,
) -> None:
    lines = board(campaign.pk).splitlines()
    assert [line.split()[:2] for line in lines[2:5]] == [
        ["1", "3.1000"],
        ["2", "3.2000"],
        ["3", "3.3000"],
    ]
    assert "1.5000" not in "".join(lines)
    assert "4/4 done" in lines[5]


def test_without_a_number_the_newest_campaign_is_shown(campaign: Campaign) -> None:
    newest = factories.campaign(now=factories.at(60))
    assert f"{newest.name}: No measured result yet. Rows appear as tasks complete." in board()


def test_the_limit_cuts_the_list(campaign: Campaign) -> None:
    assert len(json.loads(board(campaign.pk, "--json", "--limit", "2"))) == 2


def test_json_holds_params_and_conditions(campaign: Campaign) -> None:
    first = json.loads(board(campaign.pk, "--json"))[0]
    assert first["rank"] == 1
    assert first["val_bpb"] == pytest.approx(3.1)
    assert set(first["params"]) == {"lr", "d_model"}
    assert first["device_used"] == "cpu"


def test_only_results_of_the_device_asked_for_are_ranked(campaign: Campaign) -> None:
    assert json.loads(board(campaign.pk, "--json", "--device", "cuda")) == []


def test_no_name_can_steer_the_terminal() -> None:
    name = "\x1b[31mred[bold]\x07"
    factories.completed_task(by=factories.worker("\x1b]0;title\x07"), name=name)
    output = board()
    assert "\x1b" not in output
    assert "\x07" not in output
    assert "red[bold]" in output


def test_a_narrow_terminal_shows_every_param_and_keeps_to_its_width(
    campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    rows = entries(campaign, LeaderboardQuery(), limit=9, offset=0)
    text = leaderboard_text(campaign, rows, colour=True)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[2].split()[:2] == ["1", "3.1000"]
    assert "d_model" in text
    assert "lr 0." in text


def test_a_campaign_that_does_not_exist_is_refused() -> None:
    with pytest.raises(CommandError, match="no campaign 99"):
        board(99)
    with pytest.raises(CommandError, match="no campaign yet"):
        board()


def test_another_order_keeps_the_ranks(campaign: Campaign) -> None:
    def ranks(*arguments: str) -> list[int]:
        return [row["rank"] for row in json.loads(board(campaign.pk, "--json", *arguments))]

    assert ranks("--sort=-rank") == [3, 2, 1]
    assert ranks("--sort", "seed") == [2, 1, 3]
    assert ranks("--offset", "1", "--limit", "1") == [2]
    assert ranks("--evaluation", "subset") == []
    with pytest.raises(CommandError, match="sort: Must be one of: rank, value"):
        board(campaign.pk, "--sort", "luck")


def test_what_ended_without_a_rank_is_shown_on_request_with_the_reason() -> None:
    campaign = factories.active_campaign(2, max_failed_attempts=1)
    worker = factories.worker("lab-1")
    factories.fail(factories.claim_one(worker), FailureClass.OOM)
    factories.finish(factories.claim_one(worker), 3.1)

    def rows(*arguments: str) -> list[Any]:
        entries = json.loads(board(campaign.pk, "--json", *arguments))
        return [(row["rank"], row["state"], row["val_bpb"], row["worker"]) for row in entries]

    ranked, failed = (1, "completed", 3.1, "lab-1"), (None, "failed", None, None)
    assert rows() == [ranked]
    assert rows("--state", "failed") == [failed]
    assert rows("--state", "all") == [ranked, failed]
    text = board(campaign.pk, "--state", "all")
    assert "no rank because" in text
    assert "failed: out of memory" in text
    assert "no rank because" not in board(campaign.pk)
    assert "no row of state diverged" in board(campaign.pk, "--state", "diverged")
    with pytest.raises(CommandError, match="invalid choice: 'lucky'"):
        board(campaign.pk, "--state", "lucky")


def test_a_simulated_result_is_shown_by_its_own_word_alone(campaign: Campaign) -> None:
    (row,) = json.loads(board(campaign.pk, "--json", "--state", "simulated"))
    assert (row["rank"], row["val_bpb"], row["worker"]) == (None, 1.5, "dreamer")
    assert "1.5000" not in board(campaign.pk, "--state", "all")
