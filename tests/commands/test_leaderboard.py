"""``manage.py leaderboard``."""

from __future__ import annotations

import json
import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from campaigns.management.terminal import leaderboard_text
from campaigns.models import Campaign, ResultClass
from campaigns.standings import arms
from tests import factories
from tests.pages.campaign.campaign_states import Stage, champion

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
        factories.finish(factories.claim_one(factories.runner()), value)
    dreamer = factories.worker("dreamer", simulates=True)
    attempt = factories.claim_one(dreamer)
    body = factories.completed(attempt.task, 1.5)
    body["simulated"] = True
    factories.lifecycle.submit(dreamer, attempt.lease_id, body, now=factories.NOW)
    return ranked


def test_the_claim_stands_above_the_arms_and_what_is_simulated_is_not_there(
    campaign: Campaign,
) -> None:
    lines = board(campaign.pk).splitlines()
    assert lines[0].startswith("Nothing has raced: each of the 3 arms with a value has it from")
    assert [line.split()[:3] for line in lines[3:6]] == [
        ["-", "1", "3.1000"],
        ["-", "0", "3.2000"],
        ["-", "2", "3.3000"],
    ]
    assert "1.5000" not in "".join(lines)
    assert "4/4 done, 0 running, lowest val_bpb of a first seed 3.1000, which proves" in lines[6]


def test_arms_that_raced_have_rank_value_and_uncertainty() -> None:
    race = factories.decided_race()
    lines = board(race.campaign_id).splitlines()
    assert lines[0].startswith("Arm 0 is ahead of the arm it raced, of 2 in the campaign")
    assert lines[3].split()[:3] == ["1", "0", "3.0000"]
    assert lines[3].split()[4:6] == ["3", "champion"]
    assert lines[4].split()[:3] == ["2", "1", "4.0000"]
    assert "champion's val_bpb 3.0000" in lines[-1]


def test_without_a_number_the_newest_campaign_is_shown(campaign: Campaign) -> None:
    newest = factories.campaign(now=factories.at(60))
    assert f"{newest.name}: No measured result yet. Rows appear as tasks complete." in board()


def test_the_limit_cuts_the_list(campaign: Campaign) -> None:
    assert len(json.loads(board(campaign.pk, "--json", "--limit", "2"))["rows"]) == 2


def test_json_is_what_the_api_answers(campaign: Campaign) -> None:
    first = json.loads(board(campaign.pk, "--json"))["rows"][0]
    assert (first["rank"], first["arm"], first["value"]) == (None, 1, 3.1)
    assert set(first["params"]) == {"lr", "d_model"}


def test_only_results_of_the_class_asked_for_are_listed(campaign: Campaign) -> None:
    first, other = ResultClass.objects.get(), ResultClass.objects.get()
    other.pk, other.key = None, "of another machine"
    other.save()
    campaign.results.filter(value=3.3).update(result_class=other)
    (row,) = json.loads(board(campaign.pk, "--json", "--class", str(other.pk)))["rows"]
    assert row["value"] == 3.3
    known = f"{first.pk}, {other.pk}, all"
    with pytest.raises(CommandError, match=f"result_class: Must be one of: {known}"):
        board(campaign.pk, "--class", "tpu")


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
    text = leaderboard_text(campaign, arms.rows(campaign, limit=9), colour=True)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[2].split()[:3] == ["-", "1", "3.1000"]
    assert "d_model" in text
    assert "lr 0." in text


def test_a_campaign_that_does_not_exist_is_refused() -> None:
    with pytest.raises(CommandError, match="no campaign 99"):
        board(99)
    with pytest.raises(CommandError, match="no campaign yet"):
        board()


def test_the_board_in_the_readme_is_what_the_command_prints() -> None:
    shown = champion(Stage(factories.NOW))
    printed = board(shown.pk, limit=9)
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    assert f"manage.py leaderboard --limit 9\n{printed}```" in readme, printed
