"""campaigns.race.words: the sentence says what was proven, and no more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from campaigns.race.words import Belief, Finding, belief, not_raced, verdict

CHAMPION = Finding(
    outcome="champion",
    looks=2,
    most_looks=3,
    seeds=6,
    leader=4,
    rival=9,
    estimate=0.0321,
    bound=0.0124,
    group=[4],
    behind=[9, 2, 7],
    dropped=[],
    infeasible=[],
    seeds_to_separate=None,
    arms=100,
)
TIE = replace(
    CHAMPION,
    outcome="tie",
    looks=3,
    seeds=12,
    estimate=0.004,
    group=[4, 9, 12],
    behind=[2],
    seeds_to_separate=37,
)


def say(finding: Finding) -> str:
    return verdict(finding, shown=lambda distance: f"{distance:.4f} bits/byte")


def test_a_champion_is_ahead_of_those_that_it_raced_and_of_no_other() -> None:
    assert say(CHAMPION) == (
        "Arm 4 is ahead of the 3 arms it raced, of 100 in the campaign, by 0.0321 bits/byte from "
        "the nearest, arm 9 (± 0.0124 bits/byte, 6 seeds)."
    )
    assert "ahead of the arm it raced," in say(replace(CHAMPION, behind=[9]))


def test_arms_that_left_for_their_number_were_not_beaten_and_the_sentence_says_so() -> None:
    left = say(replace(CHAMPION, behind=[9], dropped=[2, 7], group=[4, 2, 7]))
    assert left.startswith("Arm 4 is ahead of the arm it raced")
    assert left.endswith("Arms 2 and 7 left the race untested to the end.")
    failing = say(replace(CHAMPION, infeasible=[11]))
    assert failing.endswith("Arm 11 failed on half of the seeds or more.")


def test_the_last_arm_that_runs_at_all_is_no_champion_over_anybody() -> None:
    alone = say(replace(CHAMPION, rival=None, estimate=None, bound=None, behind=[], infeasible=[9]))
    assert alone == (
        "Arm 4 is the only arm of its race that runs on more than half of the seeds; it was "
        "compared with no other."
    )
    assert "ahead" not in alone


def test_a_tie_names_its_group_and_what_would_settle_it() -> None:
    assert say(TIE) == (
        "No champion: arms 4, 9 and 12 are not told apart after 12 seeds. About 37 seeds would "
        "separate the first two, if what lies between them now is true."
    )
    assert "would separate" not in say(replace(TIE, seeds_to_separate=None))
    assert "7 arms are not told apart" in say(replace(TIE, group=list(range(7))))
    assert "would separate" not in say(replace(TIE, seeds_to_separate=59_031))
    assert "too small for a race to find" in say(replace(TIE, seeds_to_separate=59_031))


@pytest.mark.parametrize(
    ("finding", "expected"),
    [
        (None, Belief("one seed: unknown", "a race on shared seeds would tell")),
        (CHAMPION, Belief("ahead by 0.032", "2.6 × the noise of 0.012 · 6 seeds")),
        (replace(CHAMPION, bound=0.0), Belief("ahead by 0.032", "noise 0.000 · 6 seeds")),
        (
            replace(CHAMPION, estimate=None, bound=None),
            Belief("raced alone", "no other arm runs on more than half of the seeds"),
        ),
        (
            TIE,
            Belief("tied with 2 arms", "12 seeds each · about 37 would separate the first two"),
        ),
        (
            replace(TIE, group=[4, 9], seeds_to_separate=59_031),
            Belief("tied with 1 arm", "12 seeds each"),
        ),
        (
            replace(TIE, group=[4]),
            Belief("not decided", "too few runs of the arms are common, or have a value"),
        ),
        (
            replace(TIE, outcome="", looks=0, seeds=3),
            Belief("racing", "3 arms · first look after 3 seeds"),
        ),
        (replace(TIE, outcome="", looks=1), Belief("racing", "3 arms left after look 1 of 3")),
    ],
)
def test_what_to_believe_is_said_in_few_words_with_its_ground(
    finding: Finding | None, expected: Belief
) -> None:
    assert belief(finding, shown=lambda distance: f"{distance:.3f}") == expected


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"outcome": "none feasible"}, "it has no winner"),
        ({"outcome": "cancelled"}, "was cancelled before it decided anything"),
        ({"outcome": "", "looks": 0, "seeds": 3}, "when every arm has run on 3 seeds"),
        (
            {"outcome": "", "looks": 1, "group": [4, 9]},
            "arms 4 and 9 are not told apart after",
        ),
    ],
)
def test_a_race_without_a_winner_claims_none(changes: dict[str, object], words: str) -> None:
    sentence = say(replace(CHAMPION, **changes))  # type: ignore[arg-type]
    assert words in sentence
    assert "ahead" not in sentence


def test_a_campaign_that_never_raced_claims_nothing() -> None:
    assert not_raced(0) == "No arm has a measured value, so nothing can be said."
    assert not_raced(1).startswith("Only one arm has a measured value")
    assert "each of the 1,000 arms with a value has it from its first seed" in not_raced(1000)
