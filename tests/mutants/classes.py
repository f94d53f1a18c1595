"""Guards of classes of results, of their noise floors, and of disturbed runs."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

CLASSES: Final = "campaigns/lifecycle/classes.py"
DISTURBED: Final = "campaigns/lifecycle/disturbed.py"
REPLAYS: Final = "campaigns/lifecycle/replays.py"
NOISE: Final = "campaigns/standings/noise.py"
SUBMISSIONS: Final = "campaigns/lifecycle/submissions.py"
MIGRATION: Final = "campaigns/migrations/0022_classes_of_results.py"
OF_CLASSES: Final = ("tests/lifecycle/results/test_classes.py",)
OF_DISTURBED: Final = ("tests/lifecycle/results/test_disturbed.py",)
OF_SETUPS: Final = ("tests/lifecycle/results/test_slow_setups.py",)
OF_PAIRED: Final = ("tests/race/test_paired.py", "tests/standings/test_paired.py")
OF_NOISE: Final = ("tests/standings/test_noise.py",)
OF_MIGRATION: Final = ("tests/arms/test_class_migration.py",)

CLASSES_OF_RESULTS: Final = (
    Mutant(
        "classes: every GPU is like any other",
        CLASSES,
        '    return f"{family} {model}".strip()[:_WORD_LENGTH]',
        "    return family",
        OF_CLASSES,
    ),
    Mutant(
        "classes: part of the validation counts as the whole",
        CLASSES,
        '    columns["eval_is_subset"] = place.is_subset',
        '    columns["eval_is_subset"] = False',
        OF_CLASSES,
    ),
    Mutant(
        "classes: workers of any speed share a band",
        CLASSES,
        "    return (other_id if nearest <= SAME_SPEED else worker.pk), None",
        "    return other_id",
        OF_CLASSES,
    ),
    Mutant(
        "classes: a later calibration moves a worker to another band",
        CLASSES,
        "    if first is not None and first[0] is not None:",
        "    if False:",
        OF_CLASSES,
    ),
    Mutant(
        "classes: calibrations of any number type are compared",
        CLASSES,
        "device=family, dtype=dtype, threads=threads)",
        "device=family, threads=threads)",
        OF_CLASSES,
    ),
    Mutant(
        "classes: under a work budget each worker is alone",
        CLASSES,
        "    if campaign.budget_kind == BudgetKind.TIME:\n        columns",
        "    if True:\n        columns",
        OF_CLASSES,
    ),
    Mutant(
        "classes: what nobody measured has a class",
        SUBMISSIONS,
        "    if has_class(result):\n",
        "    if True:\n",
        OF_CLASSES,
    ),
    Mutant(
        "classes: old results of all workers share a band",
        MIGRATION,
        '                        "band_id": worker,',
        '                        "band_id": None,',
        OF_MIGRATION,
    ),
    Mutant(
        "noise: a replay is a further run",
        NOISE,
        "    ).exclude(task__purpose=TaskPurpose.REPLAY)",
        "    )",
        ("tests/standings/test_race_runs.py",),
    ),
    Mutant(
        "noise: runs that share no seeds make replicate pairs",
        NOISE,
        "        campaign__shares_seeds=True,\n",
        "",
        OF_NOISE,
    ),
    Mutant(
        "noise: the runs of a clone count twice",
        NOISE,
        "        if (base_seed, params, index) not in seen:",
        "        if True:",
        OF_NOISE,
    ),
    Mutant(
        "noise: a stored floor is never renewed",
        NOISE,
        "Q(Exists(further), noise_floor=None) | Q(",
        "Q(Exists(further), noise_floor=None) & Q(",
        OF_NOISE,
    ),
    Mutant(
        "noise: runs that failed for their params are no bad seeds",
        NOISE,
        "            values[arm].append(math.inf)",
        "            pass",
        OF_NOISE,
    ),
    Mutant(
        "disturbed: twice the expected step time is normal",
        DISTURBED,
        "DISTURBED_FACTOR: Final = 1.5",
        "DISTURBED_FACTOR: Final = 2.5",
        OF_DISTURBED,
    ),
    Mutant(
        "disturbed: one earlier run says what is expected",
        DISTURBED,
        "EARLIER_RUNS: Final = 3",
        "EARLIER_RUNS: Final = 1",
        OF_DISTURBED,
    ),
    Mutant(
        "disturbed: runs of any size are compared",
        DISTURBED,
        " if sizes == own]",
        "]",
        OF_DISTURBED,
    ),
    Mutant(
        "disturbed: runs since the earlier ones were read are unknown",
        SUBMISSIONS,
        "        note_speed(attempt.task.result)\n",
        "",
        OF_DISTURBED,
    ),
    Mutant(
        "disturbed: a disturbed run says what is expected",
        DISTURBED,
        "    if step is None or result.disturbed:",
        "    if step is None:",
        OF_DISTURBED,
    ),
    Mutant(
        "disturbed: a replay is replayed",
        REPLAYS,
        "_REPEATED: Final = (TaskPurpose.SCREEN, TaskPurpose.REPEAT)",
        "_REPEATED: Final = tuple(TaskPurpose)",
        OF_DISTURBED,
    ),
    Mutant(
        "disturbed: runs of a work budget are repeated",
        REPLAYS,
        "        and task.campaign.budget_kind == BudgetKind.TIME\n",
        "",
        OF_DISTURBED,
    ),
    Mutant(
        "disturbed: a run that diverged is repeated",
        REPLAYS,
        "        and not result.diverged\n",
        "",
        OF_DISTURBED,
    ),
    Mutant(
        "disturbed: a second replay is made",
        REPLAYS,
        "        if _others(task).exists():",
        "        if False:",
        OF_DISTURBED,
    ),
    Mutant(
        "disturbed: the disturbed value stays beside a better one",
        SUBMISSIONS,
        "stands_in=settle_replay(result))",
        "stands_in=False)",
        OF_DISTURBED,
    ),
    Mutant(
        "disturbed: a replay counts though it was disturbed, too",
        REPLAYS,
        "    if first is None or result.hindrances >= first.hindrances:",
        "    if first is None:",
        OF_DISTURBED,
    ),
)

SLOW_SETUPS: Final = (
    Mutant(
        "set-up: no share of the budget is too much",
        "campaigns/models/result.py",
        "SETUP_SHARE: Final = 0.3",
        "SETUP_SHARE: Final = 0.9",
        OF_SETUPS,
    ),
    Mutant(
        "set-up: runs of a work budget are judged",
        DISTURBED,
        "    if simulated or attempt.task.campaign.budget_kind != BudgetKind.TIME:",
        "    if simulated:",
        OF_SETUPS,
    ),
    Mutant(
        "set-up: an agent on the same machine is elsewhere",
        REPLAYS,
        "any(worker.machine != machine for worker in",
        "any(worker.pk for worker in",
        OF_SETUPS,
    ),
    Mutant(
        "set-up: a worker that invents values is elsewhere",
        REPLAYS,
        ".filter(simulates=False)",
        "",
        OF_SETUPS,
    ),
    Mutant(
        "set-up: a paused worker is elsewhere",
        REPLAYS,
        ".exclude(paused_until__gt=now)",
        "",
        OF_SETUPS,
    ),
    Mutant(
        "set-up: the replay runs on the same machine",
        "campaigns/models/task.py",
        "        tasks = tasks.exclude(not_on=worker.machine)\n",
        "",
        OF_SETUPS,
    ),
    Mutant(
        "set-up: a completed campaign is opened again",
        REPLAYS,
        "not result.disturbed and campaign.state not in _LIVE",
        "False",
        OF_SETUPS,
    ),
    Mutant(
        "set-up: a campaign waits for a machine that has gone",
        "campaigns/jobs.py",
        "lifecycle.give_up_replays(now=database_now())",
        "0",
        OF_SETUPS,
    ),
    Mutant(
        "set-up: a campaign waits for ever for a machine that takes nothing",
        REPLAYS,
        "        if _has_other_machine(campaign, machine, now):\n",
        "        if _has_other_machine(campaign, machine, now):\n            continue\n",
        OF_SETUPS,
    ),
    Mutant(
        "set-up: a replay is given up while other tasks run",
        REPLAYS,
        '            if campaign.tasks.open().exclude(pk__in=replays.values("pk")).exists():',
        "            if False:",
        OF_SETUPS,
    ),
    Mutant(
        "set-up: a long set-up says nothing in the verdict",
        "campaigns/standings/headline.py",
        '        slow_setups=_count(campaign, "slow_setup"),\n',
        "",
        OF_SETUPS,
    ),
)

PAIRED: Final = (
    Mutant(
        "paired: runs of two classes are a pair",
        "campaigns/race/paired.py",
        "    base = {(run.of_class, run.seed): run.value for run in runs if run.arm == baseline}",
        "    runs = [run._replace(of_class=0) for run in runs]\n"
        "    base = {(run.of_class, run.seed): run.value for run in runs if run.arm == baseline}",
        OF_PAIRED,
    ),
    Mutant(
        "paired: runs on two seeds are a pair",
        "campaigns/race/paired.py",
        "    base = {(run.of_class, run.seed): run.value for run in runs if run.arm == baseline}",
        "    runs = [run._replace(seed=0) for run in runs]\n"
        "    base = {(run.of_class, run.seed): run.value for run in runs if run.arm == baseline}",
        OF_PAIRED,
    ),
    Mutant(
        "paired: hindered runs make pairs",
        "campaigns/standings/paired.py",
        "_UNDISTURBED = ~Q(disturbed=True) & ~Q(slow_setup=True)",
        "_UNDISTURBED = Q()",
        OF_PAIRED,
    ),
    Mutant(
        "paired: a run that another stands in for makes pairs",
        "campaigns/standings/paired.py",
        ".exclude(task__purpose=TaskPurpose.REPLAY)",
        "",
        OF_PAIRED,
    ),
    Mutant(
        "paired: the board of one class has differences",
        "campaigns/standings/paired.py",
        "    return of_class == EVERY_CLASS and len(classes_of(campaign)) > 1",
        "    return True",
        OF_PAIRED,
    ),
    Mutant(
        "paired: seeds that are not shared make pairs",
        "campaigns/standings/paired.py",
        "    if not campaign.shares_seeds:",
        "    if False:",
        OF_PAIRED,
    ),
)
