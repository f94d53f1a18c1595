"""Every state of a campaign has its drawing: what the page says first, and what it offers."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import pytest
from django.test import Client

from campaigns.clock import database_now
from campaigns.models import Campaign
from tests.pages.campaign.campaign_states import LONG_NAMES, STATES, Stage

# How a state is told and drawn; other tests ask both databases what it is.
pytestmark = [pytest.mark.django_db, pytest.mark.once]

# State → what the verdict says, and its look.
VERDICTS: Final = {
    "draft": ("A draft: nothing runs yet. Launching hands out 40 tasks of 10 s", "note"),
    "no result": ("No measured result yet.", "note"),
    "one seed each": ("Nothing has raced: each of the 38 arms with a value", "note"),
    "racing": ("A race runs. Its first look", "note"),
    "champion": (" is ahead of the ", "claim"),
    "tie": ("No champion: arms ", "note"),
    "mixed classes": ("Results of 2 classes stand in no common order.", "note"),
    "nothing can run": ("Nothing can run: no worker", "warning"),
    "all failed": ("All 6 tasks failed, most by out of memory", "trouble"),
    "simulated only": ("No measured result yet.", "note"),
    "paused": ("Paused: 10 of the last 20 attempts failed.", "warning"),
    "cancelled": ("Nothing has raced: each of the 12 arms", "note"),
    "waits for approval": (
        "Nothing can run: the uploaded script has no approval. 10 tasks",
        "warning",
    ),
}
BUTTONS: Final = {
    "one seed each": r"Race the top 5 · ≤ [\w ]+ on 1 worker",
    "mixed classes": r"Show .* \(\d+\)",
    "nothing can run": "See the workers",
    "all failed": "See the failures",
    "waits for approval": "Read the script",
}


def drawn(client: Client, state: str) -> tuple[Campaign, str]:
    """Return a campaign in this state and its page, as its owner sees it now."""
    stage = Stage(database_now())
    campaign = STATES[state](stage)
    client.force_login(stage.owner)
    response = client.get(campaign.get_absolute_url())
    assert response.status_code == 200
    # Without the hashes by which the page refreshes.
    return campaign, re.sub(r' data-v="[^"]*"', "", response.text)


def has_a_row_per_arm_with_its_interval_and_its_first_value(campaign: Campaign, page: str) -> None:
    rows = re.findall(r'<tr id="row-(\d+)"([^>]*)>(.*?)</tr>', page, re.DOTALL)
    assert len(rows) == campaign.results.filter(is_screening=True).count()
    _, look, first = rows[0]
    assert 'class="first"' in look
    for part in ("whisker", "screening", "band", "± "):
        assert part in first
    _, look, last = rows[-1]
    assert 'class="alone"' in look
    assert "whisker" not in last
    assert '<td class="number n late-text">1</td>' in last
    # Numbers have a place in their range, words have none.
    assert re.search(r'<td class="number f\d+">(?:64|128|256)</td>', first)
    assert re.search(r'<td class="param wide-only">(?:constant|cosine|linear)</td>', first)


def shares_a_rank_and_a_bracket(_: Campaign, page: str) -> None:
    assert len(re.findall(r'<tr id="row-\d+"[^>]* class="tied"', page)) >= 2
    assert re.search(r"tied with \d arms?", page)


def offers_no_race_to_a_person_who_may_not_change_it(campaign: Campaign, _: str) -> None:
    page = Client().get(campaign.get_absolute_url()).text
    assert "Race the top" not in page
    assert "again-button" not in page


# What else is to be seen where a state has been made: making it takes longest.
FURTHER: Final[dict[str, Callable[[Campaign, str], None]]] = {
    "champion": has_a_row_per_arm_with_its_interval_and_its_first_value,
    "tie": shares_a_rank_and_a_bracket,
    "one seed each": offers_no_race_to_a_person_who_may_not_change_it,
}


@pytest.mark.parametrize("state", [state for state in STATES if not state.startswith("name")])
def test_every_state_has_one_verdict_and_at_most_one_button(client: Client, state: str) -> None:
    campaign, page = drawn(client, state)
    verdict = re.search(
        r'<section class="verdict (\w+)" id="verdict"[^>]*>.*?<p>(.*?)</p>(.*?)</section>',
        page,
        re.DOTALL,
    )
    assert verdict
    look, sentence, rest = verdict.groups()
    words, expected = VERDICTS.get(state, ("Nothing has raced", "note"))
    assert words in re.sub(r"<[^>]+>", "", sentence)
    assert look == expected
    buttons = re.findall(r'class="button" id="[\w-]+"[^>]*>([^<]*)<', rest)
    assert len(buttons) <= 1
    if state in BUTTONS:
        assert re.fullmatch(BUTTONS[state], buttons[0])
    for region in ("head", "facts", "tabs", *(() if state == "draft" else ("figures", "board"))):
        assert page.count(f' id="{region}"') == 1, region
    if state in FURTHER:
        FURTHER[state](campaign, page)


def test_a_long_name_is_whole_in_the_title_of_its_line(client: Client) -> None:
    campaign, _ = drawn(client, "one param")
    for name in LONG_NAMES.values():
        Campaign.objects.filter(pk=campaign.pk).update(name=name)
        page = client.get(campaign.get_absolute_url()).text
        assert f'<h1 title="{name}"><bdi>{name}</bdi></h1>' in page


def test_where_several_machines_measured_an_arm_the_board_says_how_many(client: Client) -> None:
    stage = Stage(database_now())
    campaign = stage.campaign(2, budget_kind="time")
    stage.run(campaign, 2)
    stage.run_rest(campaign)
    client.force_login(stage.owner)
    path = campaign.get_absolute_url()
    client.post(f"{path}race/", {"arms": ["0", "1"], "seeds": "3"})
    for number in range(6):
        stage.run(campaign, 1, by=stage.worker(f"desk-{number % 3 + 1}"))
    assert "<bdi>cpu</bdi> ×3</td>" in client.get(path).text
