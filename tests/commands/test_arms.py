"""manage.py arms: the board of a campaign's arms."""

from __future__ import annotations

import io
import json

import pytest
from django.core.management import CommandError, call_command

from tests import factories

pytestmark = pytest.mark.django_db


def arms(*arguments: object) -> str:
    output = io.StringIO()
    call_command("arms", *map(str, arguments), stdout=output)
    return output.getvalue()


def test_the_sentence_stands_above_the_arms() -> None:
    race = factories.decided_race()
    verdict, first, second = arms(race.campaign_id).splitlines()
    assert verdict.startswith("Arm 0 is ahead of the arm it raced, of 2 in the campaign")
    assert first.split()[:5] == ["1", "arm", "0", "champion", "3.0000"]
    assert second.split()[:5] == ["2", "arm", "1", "behind", "4.0000"]
    assert "± " in first


def test_json_is_what_the_api_answers() -> None:
    race = factories.decided_race()
    board = json.loads(arms(race.campaign_id, "--json", "--limit", 1))
    assert (board["count"], len(board["rows"]), board["rows"][0]["standing"]) == (2, 1, "champion")


def test_a_campaign_that_does_not_exist_is_refused() -> None:
    with pytest.raises(CommandError, match="no campaign 99"):
        arms(99)
