"""Guards of the tabs Race and Honesty: what is drawn, and that every run is counted once."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

STRIPS: Final = "campaigns/race/strips.py"
READS: Final = "campaigns/standings/honesty.py"
STRIP_TESTS: Final = "tests/race/test_strips.py"
HONESTY_TESTS: Final = "tests/standings/test_honesty.py"
RACE_PAGE_TESTS: Final = "tests/pages/campaign/test_race.py"

HONESTY: Final = (
    Mutant(
        "honesty: a decided look is drawn from what the rows say now",
        STRIPS,
        "        for run in decision.sight.runs:\n",
        "        for run in ():\n",
        (STRIP_TESTS, "-k", "whatever_the_rows_say_now"),
    ),
    Mutant(
        "honesty: an arm that left is drawn with later runs",
        STRIPS,
        "race.seeds[: reach[arm]]",
        "race.seeds",
        (STRIP_TESTS, "-k", "no_later_run_is_drawn"),
    ),
    Mutant(
        "honesty: what a cancelled race never ran is awaited",
        STRIPS,
        "_OPEN if (arm, seed) in wanted else None",
        "_OPEN",
        (STRIP_TESTS, "-k", "never_ran_is_missing"),
    ),
    Mutant(
        "honesty: a clipped difference looks like any other",
        STRIPS,
        "kind = Kind.VALUE if is_inside else Kind.CLIPPED",
        "kind = Kind.VALUE",
        (STRIP_TESTS, "-k", "only_up_to_a_limit"),
    ),
    Mutant(
        "honesty: both runs of a disturbed pair count",
        READS,
        "        (Fate.REPLAY, Q(purpose=TaskPurpose.REPLAY)),\n",
        "",
        (HONESTY_TESTS, "-k", "every_reason_is_counted_once"),
    ),
    Mutant(
        "honesty: an arm's first seed outside the list does not count",
        READS,
        "        further = ~Q(purpose=TaskPurpose.SCREEN)\n",
        "        further = Q()\n",
        (HONESTY_TESTS, "-k", "first_seed_of_an_arm_counts"),
    ),
    Mutant(
        "honesty: an unknown foreign load is none",
        READS,
        "        default=Value(UNKNOWN_LOAD),\n",
        '        default=Value("0"),\n',
        (HONESTY_TESTS, "-k", "unknown_is_not_none"),
    ),
    Mutant(
        "honesty: invented runs have a foreign load",
        READS,
        "    measured = Q(_HAS_RESULT, result__simulated=False)\n",
        "    measured = _HAS_RESULT\n",
        (HONESTY_TESTS, "-k", "every_reason_is_counted_once"),
    ),
    Mutant(
        "honesty: a first seed of another class is set beside a race",
        "campaigns/standings/honesty_parts.py",
        "        if first.is_ranked and first.result_class == own_class\n",
        "        if first.is_ranked\n",
        (HONESTY_TESTS, "-k", "of_another_class"),
    ),
    Mutant(
        "honesty: strangers are offered a race",
        "campaigns/views/race.py",
        "    if not may_race(request.user, campaign) or not campaign.shares_seeds:\n",
        "    if not campaign.shares_seeds:\n",
        (RACE_PAGE_TESTS, "-k", "stays_on_the_page"),
    ),
)
