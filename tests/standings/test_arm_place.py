"""Where one arm stands on the board, which arms stand beside it, and which params are usual."""

from __future__ import annotations

from typing import Any

import pytest

from campaigns import lifecycle
from campaigns.models import Campaign
from campaigns.standings import arms
from campaigns.standings.arm_place import ArmPlace, place_of
from campaigns.standings.usual_params import Usual, unusual, usual_params
from tests import factories
from tests.factories import NOW

pytestmark = pytest.mark.django_db


def place(campaign: Campaign, number: int) -> ArmPlace:
    return place_of(campaign, campaign.arms.get(number=number))


def test_it_agrees_with_the_board_for_every_arm() -> None:
    campaign = factories.active_campaign(7)
    # Arms 3 and 4 tie: the earlier result stands first.
    values = [3.4, 3.1, 3.0, 3.2, 3.2, 3.3, 3.9]
    factories.run_pending(campaign, lambda task: values[task.number])
    lifecycle.start_race(campaign, [1, 6], seeds=3, now=NOW)
    factories.run_pending(campaign, lambda task: 2.0 + task.arm.number)
    rows = arms.rows(campaign, limit=50)
    numbers = [row.arm for row in rows]
    assert numbers[:2] == [1, 6]
    for index, row in enumerate(rows):
        before = numbers[index - 1] if index else None
        after = numbers[index + 1] if index + 1 < len(rows) else None
        assert place(campaign, row.arm) == ArmPlace(row, index + 1, 7, before, after)


def test_an_arm_without_a_value_has_no_place() -> None:
    campaign = factories.active_campaign(2)
    factories.run(3.0)
    without = place(campaign, 1)
    assert (without.row, without.place, without.of) == (None, None, 1)


def test_a_value_of_another_class_has_a_row_and_no_place() -> None:
    campaign = factories.active_campaign(3)
    factories.run_pending(campaign, lambda task: 3.0 + task.number)
    factories.in_another_class(campaign.results.filter(task__number=0))
    campaign.revision += 1
    other = place(campaign, 0)
    assert other.row is not None
    assert (other.row.value, other.place, other.before, other.after) == (3.0, None, None, None)
    assert place(campaign, 1).place == 1


# --- Usual params --------------------------------------------------------------------------------


def campaign_with(values: list[dict[str, Any]], parameters: list[dict[str, Any]]) -> Campaign:
    space = {"parameters": parameters, "constraints": []}
    campaign = factories.active_campaign(1, search_space=space)
    campaign.arms.all().delete()
    for params in values:
        lifecycle.enqueue(campaign, params, now=NOW)
    return campaign


def test_the_middle_half_of_a_range_is_usual() -> None:
    parameters = [{"name": "p", "type": "float", "low": 0.0, "high": 10.0}]
    usual = usual_params(campaign_with([{"p": float(n)} for n in range(9)], parameters))["p"]
    assert usual == Usual(4.0, 2.0, 6.0)
    assert [usual.has(float(n)) for n in (1, 2, 6, 7)] == [False, True, True, False]


def test_of_a_choice_only_the_middle_or_the_most_frequent_is() -> None:
    parameters: list[dict[str, Any]] = [
        {"name": "n", "type": "choice", "values": [64, 128, 256]},
        {"name": "word", "type": "choice", "values": ["a", "b", True, 1]},
    ]
    points: list[dict[str, Any]] = [
        {"n": 64, "word": "a"},
        {"n": 128, "word": True},
        {"n": 128, "word": "a"},
        {"n": 256, "word": "b"},
    ]
    usual = usual_params(campaign_with(points, parameters))
    assert [usual["n"].has(value) for value in (64, 128, 256)] == [False, True, False]
    assert [usual["word"].has(value) for value in ("a", "b", True)] == [True, False, False]


def test_only_what_is_unlike_the_usual_is_unusual_in_the_order_of_the_names() -> None:
    parameters: list[dict[str, Any]] = [
        {"name": "p", "type": "float", "low": 0.0, "high": 10.0},
        {"name": "n", "type": "choice", "values": [64, 128]},
    ]
    campaign = campaign_with([{"p": float(n), "n": 64} for n in range(9)], parameters)
    assert unusual(campaign, {"p": 9.0, "n": 128}, ["n", "p", "other"]) == ["n", "p"]
    # Also in the middle half, where the median config has another value.
    assert unusual(campaign, {"p": 5.0, "n": 64}, ["n", "p"]) == []


def test_of_many_arms_so_many_are_read_evenly_spread(
    monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    monkeypatch.setattr("campaigns.standings.usual_params.ARMS_READ", 5)
    parameters = [{"name": "p", "type": "float", "low": 0.0, "high": 99.0}]
    campaign = campaign_with([{"p": float(n)} for n in range(9)], parameters)
    with django_assert_num_queries(1):
        usual = usual_params(campaign)["p"]
    assert usual == Usual(4.0, 2.0, 6.0)


def test_of_few_arms_nothing_is() -> None:
    assert usual_params(factories.active_campaign(3)) == {}
