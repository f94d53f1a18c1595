"""Guards of the race: what keeps luck from being called a champion."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

LEVEL: Final = "campaigns/race/level.py"
LOOK: Final = "campaigns/race/look.py"
NOISE: Final = "campaigns/race/noise.py"
RULE: Final = "campaigns/race/rule.py"
VALUE: Final = "campaigns/race/value.py"
LOOK_TESTS: Final = "tests/race/test_look.py"
NOISE_TESTS: Final = "tests/race/test_noise.py"
RULE_TESTS: Final = "tests/race/test_rule.py"

RACE: Final = (
    Mutant(
        "race: the screening seed is evidence",
        RULE,
        "fresh = tuple(range(highest_seed + 1, highest_seed + seeds + 1))",
        "fresh = tuple(range(highest_seed, highest_seed + seeds))",
        (RULE_TESTS, "-k", "third_of_the_reserve or no_evidence"),
    ),
    Mutant(
        "race: a race on the screening seed is made",
        RULE,
        "        if min(self.seeds) <= SCREENING_SEED:",
        "        if False:",
        (RULE_TESTS, "-k", "screening_seed"),
    ),
    Mutant(
        "race: the screening value counts beside the look's seeds",
        LOOK,
        "values_by_arm(sight.runs, arms=sight.arms, seeds=sight.seeds)\n    failing",
        "values_by_arm(sight.runs, arms=sight.arms)\n    failing",
        (LOOK_TESTS, "-k", "own_seeds"),
    ),
    Mutant(
        "race: the runner-up is forgotten",
        LOOK,
        "    level = [rival for rival in rivals if not rival.is_behind]",
        "    level = [rival for rival in rivals[-1:] if not rival.is_behind]",
        (LOOK_TESTS, "-k", "every_rival_is_behind"),
    ),
    Mutant(
        "race: looks are not corrected",
        LEVEL,
        "LEVEL: Final = 0.0221",
        "LEVEL: Final = 0.05",
        ("tests/race/test_worked_examples.py", LOOK_TESTS, "-k", "champion or pocock"),
    ),
    Mutant(
        "race: no t, only the normal quantile",
        LEVEL,
        "special.stdtrit(df, 1.0 - LEVEL)",
        "special.ndtri(1.0 - LEVEL)",
        ("tests/race/test_worked_examples.py",),
    ),
    Mutant(
        "race: sigma has no least value",
        NOISE,
        "max(min_sigma, math.sqrt(total / df))",
        "math.sqrt(total / df)",
        (LOOK_TESTS, "-k", "0_002"),
    ),
    Mutant(
        "race: a median costs nothing",
        LEVEL,
        "MEDIAN_PRICE: Final = 1.25",
        "MEDIAN_PRICE: Final = 1.0",
        (LOOK_TESTS, "-k", "price_of_the_median"),
    ),
    Mutant(
        "race: arms dropped for number count as beaten",
        LOOK,
        "behind=(*sight.behind, *(rival.arm for rival in rivals if rival.is_behind)),",
        "behind=(*sight.behind, *dropped, *(r.arm for r in rivals if r.is_behind)),",
        (LOOK_TESTS, "-k", "nearest_go_on or dropped_for_number"),
    ),
    Mutant(
        "race: a champion's group forgets the arms dropped for number",
        LOOK,
        "group=(leader, *(rival.arm for rival in ahead), *dropped),",
        "group=(leader, *(rival.arm for rival in ahead)),",
        (LOOK_TESTS, "-k", "group_of_a_champion"),
    ),
    Mutant(
        "race: a median at the bound is ahead",
        LOOK,
        "and self.estimate > self.bound",
        "and self.estimate >= self.bound",
        (LOOK_TESTS, "-k", "exactly_at_the_bound"),
    ),
    Mutant(
        "race: the scatter of the differences is ignored",
        LOOK,
        "max(math.sqrt(2) * noise.sigma, stdev(clipped))",
        "math.sqrt(2) * noise.sigma",
        (LOOK_TESTS, "-k", "wider_scatter"),
    ),
    Mutant(
        "race: two thirds of the seeds need not be common",
        LOOK,
        "    if common < FEWEST_COMMON or 3 * common < 2 * seeds:",
        "    if common < FEWEST_COMMON:",
        (LOOK_TESTS, "-k", "too_few_common"),
    ),
    Mutant(
        "race: noise alone ends a race",
        LOOK,
        "        return abs(self.estimate) + self.bound",
        "        return abs(self.estimate)",
        (LOOK_TESTS, "-k", "noise_alone"),
    ),
    Mutant(
        "race: a look starts that cannot be filled",
        LOOK,
        "    if sight.runs_left is not None and runs > sight.runs_left:",
        "    if False:",
        (LOOK_TESTS, "-k", "reserve_cannot_fill"),
    ),
    Mutant(
        "race: zeros by construction count as little noise",
        NOISE,
        "median(sizes[-freedom:])",
        "median(sizes)",
        (NOISE_TESTS, "-k", "few_arms"),
    ),
    Mutant(
        "race: looks are added to an ended race",
        RULE,
        "    if is_paused or is_over(decisions):",
        "    if is_paused:",
        (RULE_TESTS, "-k", "run_no_more"),
    ),
    Mutant(
        "race: an early champion's value is shown as it is",
        VALUE,
        "RaceValue(arm, middle, half_width, n, n < seeds,",
        "RaceValue(arm, middle, half_width, n, False,",
        ("tests/race/test_value.py", "-k", "at_least"),
    ),
    Mutant(
        "race: an arm is its own measure of what a seed does",
        NOISE,
        "    place = bisect_left(shifts, own)",
        "    place = len(shifts)",
        (NOISE_TESTS, "-k", "shift_that_other_arms or not_too_small"),
    ),
    Mutant(
        "race: the screening seed makes replicate pairs",
        NOISE,
        "        if run.seed_index >= 1 and run.sort_key",
        "        if run.sort_key",
        (NOISE_TESTS, "-k", "without_the_screening_seed"),
    ),
)
