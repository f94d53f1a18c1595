"""campaigns.race.headline: the one sentence above a campaign's figures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from campaigns.race.headline import STALLED_SECONDS, Situation, headline, shared_params

BOARD, EMPTY, TROUBLE = "Arm 3 is ahead.", "No measured result yet.", "All 5 tasks failed."
# Tasks run, 20 have ended, all with a value, in one class.
FINE = Situation(
    is_active=True, pending=4, leased=2, ended=20, classes=[("cpu", 20)], board=BOARD, empty=EMPTY
)
STANDS = replace(FINE, leased=0, machines=2, quiet_seconds=30.0)


def told(situation: Situation, **changes: Any) -> str:
    return headline(replace(situation, **changes), span="12 m")


def test_without_anything_else_the_board_speaks() -> None:
    assert told(FINE) == told(STANDS) == BOARD


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"machines": 0},
            "Nothing can run: no worker that may take these tasks is online. 4 tasks",
        ),
        ({"machines": 0, "pending": 1}, "Nothing can run: no worker that may take these tasks is "),
        ({"is_approved": False}, "Nothing can run: the uploaded script has no approval. 4 tasks"),
        ({"quiet_seconds": STALLED_SECONDS + 1}, "Stalled: no task has ended for 12 m, and none"),
        ({"quiet_seconds": STALLED_SECONDS}, BOARD),
        ({"machines": 0, "is_active": False}, BOARD),
        ({"machines": 0, "pending": 0}, BOARD),
        ({"machines": 0, "leased": 1}, BOARD),
        # What stops everything comes before what went wrong, and that before what is missing.
        ({"machines": 0, "trouble": TROUBLE}, "Nothing can run: "),
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
    assert headline(situation) == (
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
