"""Guards of work budgets: what a run's work is, how long it may take, who was too slow for it."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

BUDGETS: Final = "campaigns/fleet/budgets.py"
CHECKS: Final = "campaigns/lifecycle/work_checks.py"
SLOWNESS: Final = "campaigns/lifecycle/slowness.py"
CAMPAIGN: Final = "campaigns/models/campaign.py"
TASK: Final = "campaigns/models/task.py"
OF_WORK: Final = "tests/lifecycle/test_work_budgets.py"
TOO_SLOW: Final = "tests/lifecycle/results/test_too_slow.py"

WORK: Final = (
    Mutant(
        "work: rounding makes one config more work than another",
        BUDGETS,
        "        if self.unit == WorkUnit.SECONDS and steps > FEWEST_STEPS:",
        "        if False:",
        (OF_WORK, "-k", "as_many_steps"),
    ),
    Mutant(
        "work: a run may be longer than its guard can be",
        BUDGETS,
        "        if seconds > MAX_WORK_SECONDS:",
        "        if False:",
        (OF_WORK, "-k", "no_sense or finite_cost"),
    ),
    Mutant(
        "work: the evaluation takes no time",
        BUDGETS,
        "EVALUATION_SHARE: Final = 0.5",
        "EVALUATION_SHARE: Final = 0.0",
        (OF_WORK, "-k", "ten_times"),
    ),
    Mutant(
        "work: the fastest worker gives the guard of all",
        BUDGETS,
        "    slowest = max(expected)",
        "    slowest = min(expected)",
        (OF_WORK, "-k", "slowest"),
    ),
    Mutant(
        "work: a calibrated worker is guarded like the slowest",
        "campaigns/fleet/speeds.py",
        "        Q(worker=worker) | (Q(worker__in=online) & ~Exists(own)),",
        "        Q(worker=worker) | Q(worker__in=online),",
        (OF_WORK, "-k", "ten_times"),
    ),
    Mutant(
        "work: a script without its cost takes seconds",
        CHECKS,
        "    if budget.unit == WorkUnit.SECONDS and budget.model is None:\n        raise",
        "    if False:\n        raise",
        (OF_WORK, "-k", "does_not_say"),
    ),
    Mutant(
        "work: time and work are given together",
        CHECKS,
        "    if spec.time_budget_seconds is not None:",
        "    if False:",
        (OF_WORK, "-k", "no_sense"),
    ),
    Mutant(
        "work: true is an amount",
        CHECKS,
        "    if type(amount) not in {int, float} or not least <= amount <= most:",
        "    if not least <= (amount or 0) <= most:",
        (OF_WORK, "-k", "no_sense"),
    ),
    Mutant(
        "work: max_steps is a param of new campaigns",
        "campaigns/search/space_json.py",
        "            elif name in WORK_NAMES and not self.is_stored:",
        "            elif False:",
        (OF_WORK, "-k", "reserved"),
    ),
    Mutant(
        "work: old campaigns lose their max_steps",
        "campaigns/search/space_json.py",
        "            elif name in WORK_NAMES and not self.is_stored:",
        "            elif name in WORK_NAMES:",
        (OF_WORK, "-k", "reserved"),
    ),
    Mutant(
        "work: a campaign is launched in which nothing can run",
        "campaigns/lifecycle/campaigns.py",
        "    if all(task.infeasible for task in tasks) and not _can_run(",
        "    if False and not _can_run(",
        (OF_WORK, "-k", "draws_nothing"),
    ),
    Mutant(
        "work: params without a run are enqueued",
        "campaigns/lifecycle/growth.py",
        "        if task.infeasible:",
        "        if False:",
        (OF_WORK, "-k", "finite_cost"),
    ),
    Mutant(
        "work: a campaign that got only failed tasks stays active",
        "campaigns/lifecycle/growth.py",
        "    if all(task.infeasible for task in tasks):",
        "    if False:",
        (OF_WORK, "-k", "finite_cost"),
    ),
    Mutant(
        "work: a flagged machine counts as one that may run work",
        CAMPAIGN,
        "        Q(budget_kind=BudgetKind.TIME) | Q(held_back=False),\n",
        "",
        (TOO_SLOW, "-k", "flagged_machine"),
    ),
    Mutant(
        "too slow: the worker gets as much work again",
        TASK,
        "        fast_enough = tasks.exclude(Q(max_steps__isnull=False) & Q(too_slow))",
        "        fast_enough = tasks",
        (TOO_SLOW, "-k", "as_much_work"),
    ),
    Mutant(
        "too slow: the worker gets no smaller work either",
        TASK,
        "Q(task__work_seconds__lte=work_seconds)",
        "Q(task__work_seconds__gt=0)",
        (TOO_SLOW, "-k", "as_much_work"),
    ),
    Mutant(
        "too slow: the slow worker counts as another machine",
        TASK,
        "    return machines.exclude(Exists(slow))",
        "    return machines",
        (TOO_SLOW, "-k", "sends_other_failures"),
    ),
    Mutant(
        "too slow: fewer steps count",
        SLOWNESS,
        "    if steps < task.max_steps:",
        "    if False:",
        (TOO_SLOW, "-k", "lacks_some"),
    ),
    Mutant(
        "too slow: a subset counts as the whole",
        SLOWNESS,
        ' or metrics["eval_bytes"] < whole:',
        ":",
        (TOO_SLOW, "-k", "lacks_some"),
    ),
    Mutant(
        "too slow: a run that diverged early lacks steps",
        SLOWNESS,
        '    if task.max_steps is None or metrics.get("diverged") is True:',
        "    if task.max_steps is None:",
        (TOO_SLOW, "-k", "diverged_early"),
    ),
    Mutant(
        "too slow: more steps than the task has are believed",
        "campaigns/lifecycle/belief.py",
        "    if most is not None and made > most:",
        "    if False:",
        (TOO_SLOW, "-k", "diverged_early"),
    ),
    Mutant(
        "too slow: the end at the guard is the config's fault",
        SLOWNESS,
        "        return FailureClass.TOO_SLOW if at_guard else reported",
        "        return reported",
        (TOO_SLOW, "-k", "end_at_the_guard"),
    ),
    Mutant(
        "too slow: a script that hung is too slow",
        SLOWNESS,
        "        return FailureClass.TOO_SLOW if at_guard else reported",
        "        return FailureClass.TOO_SLOW",
        (TOO_SLOW, "-k", "end_at_the_guard"),
    ),
    Mutant(
        "too slow: an agent calls a time budget too slow",
        SLOWNESS,
        "    if not has_work and reported == FailureClass.TOO_SLOW:",
        "    if False:",
        (TOO_SLOW, "-k", "end_at_the_guard"),
    ),
    Mutant(
        "too slow: an arm is tried for ever",
        SLOWNESS,
        "    if workers.owner_count() >= SLOW_WORKERS:",
        "    if False:",
        (TOO_SLOW, "-k", "three_workers"),
    ),
    Mutant(
        "too slow: tasks wait for nobody",
        SLOWNESS,
        "    _give_up_beyond_all(attempt.task.campaign_id, now, tried_by=attempt.worker_id)\n",
        "",
        (TOO_SLOW, "-k", "nobody_is_fast"),
    ),
    Mutant(
        "too slow: what a machine may still run is given up",
        SLOWNESS,
        "    if not able or not able <= limits.keys():",
        "    if False:",
        (TOO_SLOW, "-k", "three_workers or may_come_back"),
    ),
    Mutant(
        "too slow: a machine that reboots is gone",
        SLOWNESS,
        "campaign.machines(now - LEFT_AFTER)",
        "campaign.machines(now)",
        (TOO_SLOW, "-k", "may_come_back"),
    ),
    Mutant(
        "too slow: a worker that was fast enough leaves the arm infeasible",
        "campaigns/lifecycle/submissions.py",
        '        Arm.objects.filter(pk=task.arm_id).update(infeasible="")',
        "        pass",
        (TOO_SLOW, "-k", "feasible_again"),
    ),
    Mutant(
        "submit: an arm that is feasible is written all the same",
        "campaigns/lifecycle/submissions.py",
        "    if task.max_steps is not None and task.arm.infeasible:",
        "    if task.max_steps is not None:",
        ("tests/lifecycle/results/test_submit_cost.py",),
    ),
    Mutant(
        "submit: a column that every result needs is read by itself",
        "campaigns/lifecycle/leases.py",
        ' "task__campaign__dataset__size_bytes"),',
        "),",
        ("tests/lifecycle/results/test_submit_cost.py",),
    ),
)
