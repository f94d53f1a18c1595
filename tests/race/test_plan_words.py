"""campaigns.race.plan_words: what a difference takes, in a sentence."""

from __future__ import annotations

from campaigns.race.plan_words import plan_sentence, reach_sentence, start_words


def test_the_sentence_names_seeds_runs_and_time() -> None:
    sentence = plan_sentence(gap="0.02", arms=2, seeds=21, duration="7 m 00 s")
    assert sentence == (
        "To see 0.02 here you need 21 seeds of each: 42 runs, 7 m 00 s on today's fleet."
    )
    assert plan_sentence(gap="0.02", arms=3, seeds=21).endswith("of each: 63 runs.")


def test_what_is_assumed_is_said() -> None:
    sentence = plan_sentence(gap="0.02", arms=2, seeds=None, assumed="a lot")
    assert sentence == (
        "To see 0.02 here takes more than 100,000 seeds of each. That assumes a lot."
    )


def test_the_button_and_the_reach_of_a_race_by_itself() -> None:
    assert start_words(21, "7 m 00 s") == "Race them on 21 seeds (7 m 00 s)"
    assert start_words(21, "") == "Race them on 21 seeds"
    assert reach_sentence(seeds=12, chance="45 %") == (
        "A race by itself has at most 12 seeds, and finds it with a chance of 45 %."
    )
