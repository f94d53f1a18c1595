"""Guards of classes of results, of their noise floors, and of disturbed runs."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

CLASSES: Final = "campaigns/lifecycle/classes.py"
DISTURBED: Final = "campaigns/lifecycle/disturbed.py"
NOISE: Final = "campaigns/standings/noise.py"
SUBMISSIONS: Final = "campaigns/lifecycle/submissions.py"
MIGRATION: Final = "campaigns/migrations/0022_classes_of_results.py"
OF_CLASSES: Final = ("tests/lifecycle/test_classes.py",)
OF_DISTURBED: Final = ("tests/lifecycle/test_disturbed.py",)
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
        '    columns["eval_is_subset"] = is_subset',
        '    columns["eval_is_subset"] = False',
        OF_CLASSES,
    ),
    Mutant(
        "classes: workers of any speed share a band",
        CLASSES,
        "    return other_id if nearest <= SAME_SPEED else worker.pk",
        "    return other_id",
        OF_CLASSES,
    ),
    Mutant(
        "classes: a later calibration moves a worker to another band",
        CLASSES,
        "    if band is not None:",
        "    if False:",
        OF_CLASSES,
    ),
    Mutant(
        "classes: calibrations of any number type are compared",
        CLASSES,
        "device=torch_device(device), dtype=dtype)\n    return None if model",
        "device=torch_device(device))\n    return None if model",
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
        "is_subset=is_subset) if is_measured else None",
        "is_subset=is_subset)",
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
        "        Q(Exists(further), noise_floor=None) | Q(",
        "        Q(Exists(further), noise_floor=None) & Q(",
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
        " and _sizes(params, description) == own",
        "",
        OF_DISTURBED,
    ),
    Mutant(
        "disturbed: a replay is replayed",
        DISTURBED,
        "_REPEATED: Final = (TaskPurpose.SCREEN, TaskPurpose.REPEAT)",
        "_REPEATED: Final = tuple(TaskPurpose)",
        OF_DISTURBED,
    ),
    Mutant(
        "disturbed: runs of a work budget are repeated",
        DISTURBED,
        "        and task.campaign.budget_kind == BudgetKind.TIME\n",
        "",
        OF_DISTURBED,
    ),
    Mutant(
        "disturbed: a run that diverged is repeated",
        DISTURBED,
        "        and not result.diverged\n",
        "",
        OF_DISTURBED,
    ),
    Mutant(
        "disturbed: a second replay is made",
        DISTURBED,
        "        if _others(task).exists():",
        "        if False:",
        OF_DISTURBED,
    ),
    Mutant(
        "disturbed: the disturbed value stays beside a better one",
        SUBMISSIONS,
        "    settle_replay(result)\n",
        "",
        OF_DISTURBED,
    ),
    Mutant(
        "disturbed: a replay counts though it was disturbed, too",
        DISTURBED,
        "not result.is_ranked or result.disturbed:",
        "not result.is_ranked:",
        OF_DISTURBED,
    ),
)
