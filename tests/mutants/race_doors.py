"""Guards of the doors of races: who may start one, what they accept, and what they read."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

STEERING: Final = "campaigns/steering.py"
SERIALIZERS: Final = "campaigns/serializers/races.py"
ANSWERS: Final = "campaigns/answers/race.py"
PLAN: Final = "campaigns/design/race_plan.py"
READS: Final = "campaigns/standings/race_runs.py"
API_TESTS: Final = "tests/api/test_races.py"
PLAN_TESTS: Final = "tests/api/test_race_plans.py"

RACE_DOORS: Final = (
    Mutant(
        "race doors: everybody may start a race",
        STEERING,
        'see `lifecycle.start_race`."""\n    _must_change(actor, campaign)\n',
        'see `lifecycle.start_race`."""\n',
        (API_TESTS, "-k", "only_the_owner"),
    ),
    Mutant(
        "race doors: a race leaves no audit entry",
        STEERING,
        '        audit.record(actor, "race", campaign, now=now, detail=detail)\n',
        "",
        (API_TESTS, "-k", "audit_log"),
    ),
    Mutant(
        "race doors: strangers may plan where they may not read",
        "campaigns/api/permissions.py",
        "        return request.user.is_authenticated or _is_anonymous_reader(request)",
        "        return True",
        (PLAN_TESTS, "-k", "who_may_read"),
    ),
    Mutant(
        "race doors: unknown fields of a race are ignored",
        SERIALIZERS,
        "class StartRaceSerializer(KnownFieldsSerializer[dict[str, Any]]):",
        "class StartRaceSerializer(serializers.Serializer[dict[str, Any]]):",
        (API_TESTS, "-k", "makes_no_sense"),
    ),
    Mutant(
        "race doors: true is an arm",
        SERIALIZERS,
        "child=StrictIntegerField(min_value=0, max_value=MAX_TASKS)",
        "child=serializers.IntegerField(min_value=0, max_value=MAX_TASKS)",
        (API_TESTS, "-k", "makes_no_sense"),
    ),
    Mutant(
        "race doors: a plan for no gap",
        SERIALIZERS,
        "        if delta <= 0:",
        "        if False:",
        (PLAN_TESTS, "-k", "without_an_answer"),
    ),
    Mutant(
        "race doors: a plan for certainty",
        SERIALIZERS,
        "        if not 0 < power < 1:",
        "        if False:",
        (PLAN_TESTS, "-k", "without_an_answer"),
    ),
    Mutant(
        "race doors: the list reads all that decisions saw",
        ANSWERS,
        '    return rows.defer("saw", *unread)',
        "    return rows.defer(*unread)",
        (API_TESTS, "-k", "no_more_queries"),
    ),
    Mutant(
        "race doors: each race of a list reads its decisions",
        ANSWERS,
        '    return Race.objects.prefetch_related(Prefetch("decisions", decisions))',
        "    return Race.objects.all()",
        (API_TESTS, "-k", "no_more_queries"),
    ),
    Mutant(
        "race doors: the runs of an early champion's end are not counted",
        READS,
        "        elif decision.outcome == RaceOutcome.CHAMPION:",
        "        elif False:",
        (API_TESTS, "-k", "counts_the_runs"),
    ),
    Mutant(
        "race doors: arms dropped for number count as going on",
        READS,
        "(len(decision.group) - len(decision.dropped))",
        "len(decision.group)",
        (API_TESTS, "-k", "counts_the_runs"),
    ),
    Mutant(
        "race doors: workers without torch shorten a plan",
        PLAN,
        "    measured.allow_simulated = False\n",
        "    measured.allow_simulated = True\n",
        (PLAN_TESTS, "-k", "without_torch"),
    ),
    Mutant(
        "race doors: a plan knows less noise than a race",
        PLAN,
        "max(MIN_SIGMA, floor.sd)",
        "floor.sd",
        (PLAN_TESTS, "-k", "least_noise"),
    ),
    Mutant(
        "race doors: a plan is silent about seeds that no race may have",
        PLAN,
        "    if seeds > MAX_RACE_SEEDS:",
        "    if False:",
        (PLAN_TESTS, "-k", "so_many_seeds"),
    ),
    Mutant(
        "race doors: a small power takes more seeds than a larger one",
        "campaigns/race/plan.py",
        "    return max(0.0, quantile(df) + round(_NORMAL.inv_cdf(power), 2))",
        "    return quantile(df) + round(_NORMAL.inv_cdf(power), 2)",
        ("tests/race/test_plan.py", "-k", "takes_no_more_seeds"),
    ),
    Mutant(
        "race doors: a lease says why its task exists",
        "campaigns/answers/leases.py",
        '        "task_number": task.number,\n',
        '        "task_number": task.number,\n        "purpose": task.purpose,\n',
        ("tests/api/agents/test_claim.py", "-k", "why_its_task_exists"),
    ),
)
