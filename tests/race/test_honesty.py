"""benchmarks.honesty: a short run with wide bounds, its table, and where it is written.

`make honesty` runs a thousand campaigns of each kind against the bars.
"""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean

import pytest

from benchmarks import honesty
from benchmarks.honesty_params import Equal, Noise, Titles
from benchmarks.honesty_report import Goal, Row, Said, goals, markdown
from benchmarks.honesty_worlds import (
    World,
    all_equal,
    promise,
    realistic,
)
from campaigns.race.plan import expected_regression

CAMPAIGNS = 120
EQUAL = World("all equal", all_equal, most=3, floor_pairs=0)
EQUAL_BAD = World("all equal, 10 % bad seeds", all_equal, bad_rate=0.1)
REALISTIC = World("realistic", realistic)
PROMISE = promise(0.03)
SUBJECTS = (EQUAL, EQUAL_BAD, REALISTIC, PROMISE)


@pytest.fixture(scope="module")
def outcomes() -> list[list]:
    return honesty.measure(SUBJECTS, campaigns=CAMPAIGNS, seed=1)


@pytest.fixture(scope="module")
def rows(outcomes: list[list]) -> list[Row]:
    return [
        Row(world, part)
        for world, part in zip((EQUAL, EQUAL_BAD, REALISTIC), outcomes, strict=False)
    ]


def test_equal_arms_rarely_have_a_champion_while_the_naive_rule_always_names_one(
    rows: list[Row],
) -> None:
    # The true rates are below 3 %.
    for row in rows[:2]:
        assert row.declared == row.false <= 8 / CAMPAIGNS
        assert all(campaign.naive_is_false for campaign in row.campaigns)
        assert all(3 * 3 <= campaign.runs <= 48 for campaign in row.campaigns)


def test_the_naive_value_is_too_good_by_the_expected_maximum(rows: list[Row]) -> None:
    # The best of 100 equal arms, of which the shared shift of the seed takes no part.
    gaps = [campaign.naive_shown_minus_true for campaign in rows[0].campaigns]

    expected = expected_regression(100, 0.026 * 0.7**0.5)
    assert -sum(gaps) / len(gaps) == pytest.approx(expected, rel=0.2)


def test_a_realistic_campaign_mostly_names_its_best_contender(rows: list[Row]) -> None:
    row = rows[2]

    assert 0.4 < row.declared < 0.95
    assert row.false <= 3 / CAMPAIGNS
    assert row.runs < 35
    champions = row.champions
    shown = [campaign.shown_minus_true or 0.0 for campaign in champions]
    assert abs(sum(shown) / len(shown)) < 0.01
    assert sum(bool(campaign.is_covered) for campaign in champions) > 0.8 * len(champions)


def test_the_planner_keeps_its_promise(outcomes: list[list]) -> None:
    assert 0.65 < sum(outcomes[3]) / CAMPAIGNS < 0.97


def test_figures_depend_on_the_seed_and_not_on_the_chunks(
    outcomes: list[list], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(honesty, "CHUNK", 7)
    lines: list[str] = []

    again = honesty.measure((REALISTIC,), campaigns=10, seed=1, show=lines.append)
    other = honesty.measure((REALISTIC,), campaigns=10, seed=2)

    assert again == [outcomes[2][:10]]
    assert other != again
    assert lines == ["1 of 1 kinds of campaigns"]


def test_every_world_of_the_full_run_has_a_key_of_its_own() -> None:
    keys = [subject.key for subject in honesty.SUBJECTS]

    assert len(keys) == len(set(keys)) == 60


def test_the_table_says_which_goals_are_held(rows: list[Row]) -> None:
    text = markdown(rows, [(PROMISE, 0.95)], heading="A run.")

    assert text.startswith("A run.\n\n| goal | measured | bar |  |\n|")
    assert (
        "| planner: gap 0.03 in 10 seeds, promised 80 % | 95.0 % | ≥ 75.0 %, ≤ 90.0 % | MISSED |"
        in (text)
    )
    assert "\n| all equal | 3 | unknown |" in text
    assert "\n| realistic | 8 | 12 pairs |" in text


def test_a_false_champion_too_often_misses_its_goal(rows: list[Row]) -> None:
    false = replace(rows[0].campaigns[0], is_declared=True, is_false=True)
    many = Row(EQUAL, [false] * 6 + list(rows[0].campaigns[:94]))

    (goal, *_) = goals([many, rows[2]], [])

    assert not goal.holds
    assert not Goal("nothing was measured", None, highest=1.0).holds
    assert Goal("at the bar", 0.05, highest=0.05).holds


def test_noise_makes_no_title_and_no_verdict() -> None:
    noise, equal = Noise(24), Equal(2, 3)
    titles, verdicts = honesty.measure((noise, equal), campaigns=120, seed=1)

    # The true rates are 2 to 3 % and below 1 %.
    assert sum(title.effects for title in titles) <= 8
    assert sum(title.importance for title in titles) <= 8
    assert not any(title.contradict for title in titles)
    assert sum(verdicts) <= 4
    held = Said({noise: titles}, {equal: fmean(verdicts)}).goals()
    assert all(goal.holds for goal in held)
    assert len(held) == 4
    missed = Said({noise: [Titles(True, False, True)]}, {equal: 0.06}).goals()
    assert [goal.holds for goal in missed] == [False, False, True, False]


def test_the_document_has_the_marks_to_write_between() -> None:
    text = honesty.DOCUMENT.read_text()

    assert text.count(honesty.BEGIN) == text.count(honesty.END) == 1
    assert text.index(honesty.BEGIN) < text.index(honesty.END)
    assert honesty.parse_arguments([]).campaigns == 1000
