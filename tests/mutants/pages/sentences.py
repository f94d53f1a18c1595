"""Guards of what pages claim: compared arms, titles of parameters, classes, the first sentence."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

COMPARED: Final = "campaigns/race/compared.py"
CHANCE: Final = "campaigns/analysis/chance.py"
IMPORTANCE: Final = "campaigns/analysis/importance.py"
HEADLINE: Final = "campaigns/race/headline.py"
COMPARED_TESTS: Final = "tests/race/test_compared.py"
COMPARE_TESTS: Final = "tests/pages/test_compare.py"
PARAM_TESTS: Final = "tests/analysis/test_params.py"
HEADLINE_TESTS: Final = "tests/race/test_headline.py"
BOARD_TESTS: Final = "tests/api/test_results.py"

SENTENCES: Final = (
    Mutant(
        "sentences: arms that the last race passed over are offered as newer",
        "campaigns/standings/headline.py",
        "filter(created_at__gt=race.started_at, infeasible=",
        "filter(infeasible=",
        ("tests/standings/test_headline.py", "-k", "added_after_a_race"),
    ),
    Mutant(
        "sentences: a worker's page reads every board that its runs belong to",
        "campaigns/views/run_places.py",
        "for pk in list(campaigns)[:BOARDS_READ]",
        "for pk in campaigns",
        ("tests/pages/test_workers.py", "-k", "queries_of_a_worker"),
    ),
    Mutant(
        "sentences: a run on a worker's page stands at its own value, without its arm's race",
        "campaigns/views/run_places.py",
        "own = interval(row) if row else",
        "own = glyph.Interval(attempt.result.value) if row else",
        ("tests/pages/test_workers.py", "-k", "where_the_arms_of_its_runs"),
    ),
    Mutant(
        "sentences: the screening run is compared, too",
        "campaigns/standings/race_runs.py",
        "rows = tasks.exclude(left_out | Q(purpose=TaskPurpose.REPLAY))",
        "rows = tasks.exclude(Q(purpose=TaskPurpose.REPLAY))",
        (COMPARE_TESTS, "-k", "shared_seeds_say_so"),
    ),
    Mutant(
        "sentences: seeds that only one arm has are shared",
        COMPARED,
        "common = reduce(frozenset.intersection,",
        "common = reduce(frozenset.union,",
        (COMPARED_TESTS, "-k", "what_shared_seeds_say"),
    ),
    Mutant(
        "sentences: two shared seeds are enough",
        COMPARED,
        "    if len(seeds) < FEWEST_COMMON:",
        "    if not seeds:",
        (COMPARED_TESTS, "-k", "what_shared_seeds_say"),
    ),
    Mutant(
        "sentences: results of unlike machines are compared",
        "campaigns/analysis/verdicts.py",
        "    if not share_a_class(",
        "    if False and not share_a_class(",
        (COMPARE_TESTS, "-k", "unlike_machines"),
    ),
    Mutant(
        "sentences: the board mixes classes",
        "campaigns/standings/arms.py",
        "return _Chosen(own.rows, own.first_results, chosen.condition, chosen.slug)",
        "return _Chosen(own.rows, own.first_results, Q(), chosen.slug)",
        (BOARD_TESTS, "-k", "one_class"),
    ),
    Mutant(
        "sentences: half of the shuffles are enough",
        CHANCE,
        "ABOVE: Final = 195",
        "ABOVE: Final = 100",
        (PARAM_TESTS, "-k", "noise_names"),
    ),
    Mutant(
        "sentences: each parameter is judged alone, however many there are",
        CHANCE,
        "strongest.append(max(cells.explained(values) for _, cells in judged))",
        "strongest.append(min(cells.explained(values) for _, cells in judged))",
        (PARAM_TESTS, "-k", "noise_names"),
    ),
    Mutant(
        "sentences: a config that ran often counts often",
        CHANCE,
        "used = evenly(first_of_arms(runs), MAX_RUNS)",
        "used = evenly(runs, MAX_RUNS)",
        (PARAM_TESTS, "-k", "again_and_again"),
    ),
    Mutant(
        "sentences: the mark of chance leaves the axis",
        IMPORTANCE,
        "by_chance=min(1.0, max(shares[name] for shares in shuffled) / total),",
        "by_chance=max(shares[name] for shares in shuffled) / total,",
        (PARAM_TESTS, "-k", "stays_on_the_axis"),
    ),
    Mutant(
        "sentences: importance names what the effects do not",
        "campaigns/race/param_words.py",
        "if share.stands_out and share.name in named]",
        "if share.stands_out]",
        ("tests/race/test_param_words.py", "-k", "importance"),
    ),
    Mutant(
        "sentences: an estimate of too few results stays",
        "campaigns/analysis/estimates.py",
        'if row is None or (row.found and row.found["total"] < MIN_RESULTS):',
        "if row is None:",
        ("tests/analysis/test_estimates.py", "-k", "too_few_results"),
    ),
    Mutant(
        "sentences: a dead fleet is not told",
        HEADLINE,
        "    if situation.hindrance:",
        "    if False:",
        (HEADLINE_TESTS, "-k", "comes_first"),
    ),
    Mutant(
        "sentences: a single run without a value is told before all else",
        HEADLINE,
        "    if without > MANY_WITHOUT_VALUE * situation.ended:",
        "    if without:",
        (HEADLINE_TESTS, "-k", "more_than_a_tenth"),
    ),
    Mutant(
        "sentences: a pause is not told",
        HEADLINE,
        "    if situation.paused:",
        "    if False:",
        (HEADLINE_TESTS, "-k", "a_paused_campaign"),
    ),
    Mutant(
        "sentences: all classes together have an order",
        HEADLINE,
        "    if situation.shows_all:",
        "    if False:",
        (HEADLINE_TESTS, "-k", "at_most_one_button"),
    ),
    Mutant(
        "sentences: a race is offered that nobody would run",
        "campaigns/standings/headline.py",
        "if not last.seeds_to_separate or last.seeds_to_separate > MOST_SEEDS_OFFERED:",
        "if False:",
        ("tests/standings/test_headline.py", "-k", "that_is_offered"),
    ),
    Mutant(
        "sentences: a race's time counts workers, not the tasks that they run at once",
        "campaigns/standings/headline.py",
        "sum(machine.slots for machine in machines)",
        "len(machines)",
        ("tests/standings/test_headline.py", "-k", "that_is_offered"),
    ),
    Mutant(
        "sentences: a far value presses all others into a point",
        "campaigns/charts/glyph.py",
        "inside = [value for value in values if value <= reach] if reach > first else values",
        "inside = values",
        ("tests/charts/test_glyph.py", "-k", "far_values"),
    ),
)
