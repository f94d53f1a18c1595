"""campaigns.race.paired: the difference to a baseline arm, within classes."""

from __future__ import annotations

from campaigns.race.paired import (
    PairedDifference,
    PairedRun,
    paired_differences,
    paired_words,
)


def test_a_pair_is_one_seed_in_one_class_and_the_median_counts() -> None:
    runs = [
        PairedRun(0, 7, 42, 3.0),
        PairedRun(0, 8, 42, 5.0),
        PairedRun(0, 8, 43, 5.5),
        PairedRun(1, 7, 42, 3.5),  # +0.5
        PairedRun(1, 8, 42, 4.0),  # -1.0
        PairedRun(1, 8, 43, 5.75),  # +0.25
        PairedRun(2, 7, 43, 1.0),  # the baseline has no run of that seed there
        PairedRun(3, 9, 42, 1.0),  # nor in that class
    ]
    assert paired_differences(runs, 0) == {1: PairedDifference(0.25, 3)}
    assert paired_differences(runs, 1) == {0: PairedDifference(-0.25, 3)}
    assert paired_differences(runs, 2) == {}


def test_the_words_mark_the_differences_or_say_why_there_are_none() -> None:
    assert paired_words(3, [3, 4], [4]).startswith(
        "Differences are medians paired with arm 3 on the same worker, or one of its class"
    )
    assert paired_words(3, [4], []).startswith("No difference to arm 3 is shown: none of these")
    assert paired_words(3, [3], []).startswith("Differences")
    assert paired_words(None, [4], []).startswith("No differences are shown")
