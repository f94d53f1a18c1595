"""campaigns.race.headline: the verdict above a campaign's figures, and its one button."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from campaigns.race.headline import (
    STALLED_SECONDS,
    Act,
    Action,
    Headline,
    Severity,
    Situation,
    headline,
    newer_words,
    race_label,
    shared_params,
)

BOARD, EMPTY, TROUBLE = "Arm 3 is ahead.", "No measured result yet.", "All 5 tasks failed."
# Tasks run, 20 have ended, all with a value, in one class.
FINE = Situation(
    is_active=True, pending=4, leased=2, ended=20, classes=[("cpu", 20)], board=BOARD, empty=EMPTY
)
STANDS = replace(FINE, leased=0, quiet_seconds=30.0)
GONE = "no worker online since 07:43 UTC"


def verdict(situation: Situation, **changes: Any) -> Headline:
    return headline(replace(situation, **changes), since="08:21 UTC")


def told(situation: Situation, **changes: Any) -> str:
    return verdict(situation, **changes).sentence


def test_without_anything_else_the_board_speaks() -> None:
    assert told(FINE) == told(STANDS) == BOARD


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"hindrance": GONE}, "Nothing can run: no worker online since 07:43 UTC. 4 tasks wait."),
        ({"hindrance": GONE, "pending": 1}, f"Nothing can run: {GONE}. 1 task waits."),
        # The lease of the worker that is gone has not been taken back yet.
        ({"hindrance": GONE, "leased": 2}, f"Nothing can run: {GONE}. 6 tasks wait."),
        # What is left are runs that are kept for a race.
        ({"hindrance": GONE, "pending": 0}, f"Nothing can run: {GONE}."),
        ({"is_approved": False}, "Nothing can run: the uploaded script has no approval. 4 tasks"),
        ({"quiet_seconds": STALLED_SECONDS + 1}, "Stalled: no task has ended since 08:21 UTC,"),
        ({"quiet_seconds": STALLED_SECONDS}, BOARD),
        ({"hindrance": GONE, "is_active": False}, BOARD),
        ({"is_approved": False, "leased": 1}, BOARD),
        # What stops everything comes before what went wrong, and that before what is missing.
        ({"hindrance": GONE, "trouble": TROUBLE}, "Nothing can run: "),
        ({"trouble": TROUBLE, "classes": []}, TROUBLE),
        ({"classes": []}, EMPTY),
    ],
)
def test_what_keeps_the_campaign_from_running_comes_first(
    changes: dict[str, Any], expected: str
) -> None:
    assert told(STANDS, **changes).startswith(expected)


def test_more_than_a_tenth_without_a_value_is_told_with_its_causes() -> None:
    assert told(FINE, no_value={"diverged": 2}) == BOARD
    many = told(FINE, no_value={"diverged": 1, "out of memory": 2}, shared="n_layers 6")
    assert many == (
        "3 of 20 runs have no value: 2 × out of memory, 1 × diverged; all of them have n_layers 6."
    )


def test_several_classes_are_told_before_what_the_one_shown_says() -> None:
    mixed = told(FINE, classes=[("cpu", 15), ("cuda", 4), ("cpu, part of the validation", 1)])
    assert mixed == (
        "Results of 3 classes stand in no common order. Shown is cpu, not cuda (4), cpu, part of "
        f"the validation (1). {BOARD}"
    )


def test_what_could_not_be_measured_or_not_in_peace_follows_the_claim() -> None:
    situation = Situation(
        is_active=True,
        pending=0,
        leased=0,
        ended=9,
        classes=[("10 s, cpu", 9)],
        board="Nothing has raced.",
        too_slow=2,
        disturbed=1,
        slow_setups=2,
    )
    assert headline(situation).sentence == (
        "Nothing has raced. 2 arms can get no result: too slow for this fleet, or without a finite "
        "cost. 1 run was slowed by other programs, and might have come further alone. 2 runs spent "
        "more than 30 % of the time on set-up, and might have come further elsewhere."
    )


def test_runs_without_a_value_share_what_few_others_have() -> None:
    deep, wide = {"depth": 6, "width": 64}, {"depth": 6, "width": 256}
    flat = {"depth": 2, "width": 256}
    assert shared_params([deep, wide], [flat, flat, deep]) == {"depth": 6}
    assert shared_params([deep, wide], [deep, wide, flat]) == {}
    assert shared_params([deep], [flat]) == {}
    assert shared_params([], [flat]) == {}


@pytest.mark.parametrize(
    ("changes", "severity", "act"),
    [
        ({"draft": "A draft."}, Severity.NOTE, None),
        ({"paused": "Paused: too many failures."}, Severity.WARNING, None),
        ({"hindrance": GONE}, Severity.WARNING, Act.SEE_WORKERS),
        ({"is_approved": False}, Severity.WARNING, Act.SEE_SCRIPT),
        ({"quiet_seconds": STALLED_SECONDS + 1}, Severity.WARNING, Act.SEE_WORKERS),
        ({"trouble": TROUBLE, "failed": 5}, Severity.TROUBLE, Act.SEE_FAILURES),
        ({"classes": []}, Severity.NOTE, None),
        ({"no_value": {"diverged": 9}}, Severity.TROUBLE, Act.SEE_NO_VALUE),
        ({"no_value": {"out of memory": 9}, "failed": 9}, Severity.TROUBLE, Act.SEE_FAILURES),
        ({"classes": [("cpu", 15), ("cuda", 4)]}, Severity.NOTE, Act.SHOW_CLASS),
        (
            {"classes": [("cpu", 15), ("cuda", 4)], "shows_all": True},
            Severity.WARNING,
            None,
        ),
        ({"race": "Race the top 5"}, Severity.NOTE, Act.RACE),
        ({"is_decided": True}, Severity.CLAIM, None),
    ],
)
def test_each_verdict_has_a_look_and_at_most_one_button(
    changes: dict[str, Any], severity: Severity, act: Act | None
) -> None:
    shown = verdict(STANDS, **changes)
    assert (shown.severity, shown.action and shown.action.act) == (severity, act)


def test_a_paused_campaign_says_why_before_all_else_and_a_draft_what_it_would_do() -> None:
    assert told(STANDS, paused="Paused: too many.") == "Paused: too many."
    assert told(STANDS, draft="A draft.") == "A draft."


def test_the_class_that_is_not_shown_is_one_click_away() -> None:
    action = verdict(FINE, classes=[("cpu", 15), ("cuda", 4)]).action
    assert action == Action(Act.SHOW_CLASS, "Show cuda (4)", place=1)


def test_newer_arms_are_named_with_the_champion_that_they_may_race() -> None:
    assert race_label(2, time="", workers=1, challengers=1) == (
        "Race the newer arm against the champion"
    )
    assert newer_words([3, 7, 9]) == (
        "Arms 7, 9 are newer than the last race: ticked with its champion, arm 3."
    )
    assert newer_words([]) == ""


@pytest.mark.parametrize(
    ("time", "workers", "expected"),
    [
        ("50 s", 1, "Race the top 5 · ≤ 50 s on 1 worker"),
        ("50 s", 3, "Race the top 5 · ≤ 50 s on 3 workers"),
        ("", 3, "Race the top 5"),
        ("50 s", 0, "Race the top 5"),
    ],
)
def test_the_button_says_what_a_race_takes(time: str, workers: int, expected: str) -> None:
    assert race_label(5, time=time, workers=workers) == expected


def test_what_is_said_first_stands_out_whole() -> None:
    leads = {
        "Arm 3 is ahead of the 7 arms it raced, of 1,214 in the campaign, by 0.03.": "Arm 3 is "
        "ahead of the 7 arms it raced",
        "Nothing can run: no worker online since 07:43 UTC. 4 tasks wait.": "Nothing can run",
        "1,203 of 2,000 runs have no value: 2 × diverged; all have lr 0.5.": "1,203 of 2,000 runs "
        "have no value",
        "No measured result yet.": "No measured result yet",
    }
    for sentence, lead in leads.items():
        told_first = Headline(sentence)
        assert (told_first.lead, told_first.lead + told_first.rest) == (lead, sentence)
