"""Guards of forecasts and plans: what counts as busy, who may run what, and what is assumed."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

FORECAST: Final = "campaigns/standings/forecast.py"
MACHINES: Final = "campaigns/standings/machines.py"
PACE: Final = "campaigns/standings/pace.py"
PROGRESS: Final = "campaigns/standings/progress.py"
TESTS: Final = "tests/standings/test_forecast.py"
RULE_TESTS: Final = "tests/standings/test_forecast_rule.py"

FORECASTS: Final = (
    Mutant(
        "forecast: a lost lease counts as busy",
        PACE,
        "if ended_at is not None and outcome not in _NOT_BUSY:",
        "if ended_at is not None:",
        (TESTS, "-k", "hours_of_a_lost_one"),
    ),
    Mutant(
        "forecast: all tasks of a campaign make its pace",
        PACE,
        "reverse=True)[:WINDOW]",
        "reverse=True)",
        (TESTS, "-k", "that_of_the_last_tasks"),
    ),
    Mutant(
        "forecast: an agent runs one task at a time",
        FORECAST,
        "slots = {machine.pk: machine.slots for load",
        "slots = {machine.pk: 1 for load",
        (TESTS, "-k", "four_at_a_time"),
    ),
    Mutant(
        "forecast: the mean of all for every worker",
        FORECAST,
        "if own is not None and seconds and tasks:",
        "if False:",
        (TESTS, "-k", "its_own_pace"),
    ),
    Mutant(
        "forecast: only what has ended makes the mean",
        FORECAST,
        "over = [run.seconds for run in running if run.seconds * tasks > seconds]",
        "over: list[float] = []",
        (RULE_TESTS, "-k", "crashed_at_once"),
    ),
    Mutant(
        "forecast: a time while nobody takes tasks",
        FORECAST,
        "    if question.state:\n        return replace(known, why_not=question.state)\n",
        "",
        (TESTS, "-k", "pause_does_not_count or held_by_an_approval"),
    ),
    Mutant(
        "forecast: a lease that ran out still runs",
        PROGRESS,
        "            if task.is_live(now)\n",
        "",
        (TESTS, "-k", "missed_as_soon"),
    ),
    Mutant(
        "forecast: a worker that pauses takes tasks",
        MACHINES,
        "may_claim = self.paused_until is None or self.paused_until <= now",
        "may_claim = True",
        (TESTS, "-k", "error_of_the_only_worker"),
    ),
    Mutant(
        "forecast: any machine runs any campaign",
        MACHINES,
        "and machine.tier >= self.required_isolation",
        "",
        (TESTS, "-k", "database_finds"),
    ),
    Mutant(
        "forecast: work for flagged workers",
        MACHINES,
        "            and not (self.is_work and self.experiment in machine.held_back)\n",
        "",
        (TESTS, "-k", "database_finds"),
    ),
    Mutant(
        "forecast: an undelivered result is a place",
        "workers/lifecycle.py",
        "    if held and worker.slots is not None:",
        "    if False:",
        ("tests/workers/test_lifecycle.py", "-k", "free_places"),
    ),
    Mutant(
        "forecast: a dead fleet is no obstacle while its leases stand",
        "campaigns/race/headline.py",
        "    if situation.hindrance:",
        "    if situation.hindrance and not situation.leased:",
        ("tests/race/test_headline.py",),
    ),
    Mutant(
        "forecast: a worker that measures its speed first is promised to run",
        "campaigns/standings/forecast.py",
        "    if waiting and load.all_measure:",
        "    if False:",
        (RULE_TESTS, "-k", "measures"),
    ),
    Mutant(
        "forecast: a campaign behind others counts their slots for itself",
        FORECAST,
        "    known = turns(batches, slots, seconds, busy)\n",
        "    known = {b.campaign: turns([b], slots, seconds, busy)[b.campaign] for b in batches}\n",
        (TESTS, "-k", "share_a_fleet"),
    ),
    Mutant(
        "forecast: the preview of a campaign counts all slots as its own",
        "campaigns/standings/progress.py",
        "    queue = queue_of([])\n",
        "    queue = Queue()\n",
        ("tests/pages/test_new_campaign_preview.py", "-k", "takes_turns"),
    ),
    Mutant(
        "forecast: runs of other campaigns leave their slots free",
        "campaigns/standings/turns.py",
        "            group.busy += 1\n",
        "            group.busy += 0\n",
        (TESTS, "-k", "hold_their_slots"),
    ),
    Mutant(
        "forecast: a machine takes the next task although it may not run it",
        "campaigns/standings/turns.py",
        "    return frozenset(campaign for campaign, times in seconds.items() if machine in times)",
        "    return frozenset(seconds)",
        (RULE_TESTS, "-k", "may_run"),
    ),
    Mutant(
        "plan: what is assumed is not said",
        "campaigns/design/race_plan.py",
        "            assumed=noise.source,\n        ),",
        "        ),",
        ("tests/api/test_race_plans.py", "-k", "catalog_records_and_says_so"),
    ),
    Mutant(
        "plan: the noise of another budget",
        "campaigns/design/assumed_noise.py",
        "        result_class__budget=budget_words(campaign),\n",
        "",
        ("tests/api/test_race_plans.py", "-k", "same_class_elsewhere"),
    ),
    Mutant(
        "plan: the button races the usual seeds",
        "campaigns/design/race_plan.py",
        "return self.seeds if self.seeds is not None and self.seeds <= MAX_RACE_SEEDS else None",
        "return SEEDS",
        ("tests/pages/test_compare.py", "-k", "its_button_races_that_long"),
    ),
    Mutant(
        "plan: a campaign set up for a long race offers the usual one",
        "campaigns/standings/headline.py",
        "    seeds = campaign.race_seeds",
        "    seeds = 12",
        ("tests/standings/test_headline.py", "-k", "that_is_offered"),
    ),
    Mutant(
        "plan: any number is a difference",
        "campaigns/views/planner.py",
        "return number if math.isfinite(number) and 0 < number <= MAX_MIN_EFFECT else None",
        "return number",
        ("tests/pages/test_compare.py", "-k", "difference_that_is_none"),
    ),
)
