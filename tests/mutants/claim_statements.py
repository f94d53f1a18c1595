"""Guards of the statements that claims are made with."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

CLAIM: Final = "campaigns/lifecycle/statements/claim.py"
MOVES: Final = "campaigns/lifecycle/statements/claim_moves.py"
TESTS: Final = "tests/lifecycle/statements/test_claim.py"
RACES: Final = "tests/lifecycle/statements/test_claim_races.py"
UNUSUAL: Final = f"{TESTS}::test_the_unusual_is_left_to_the_verb_and_nothing_is_changed"
BETWEEN: Final = f"{TESTS}::test_what_changes_between_the_statements_undoes_the_whole_claim"
TWICE: Final = f"{RACES}::test_a_worker_that_claims_twice_at_once_never_holds_more_than_it_can"

CLAIM_STATEMENTS: Final = (
    Mutant(
        "claim statement: a repetition gets other leases",
        CLAIM,
        "    if offered.is_repeated or not _has_slots(worker, data, offered.held):\n",
        "    if not _has_slots(worker, data, offered.held):\n",
        (f"{TESTS}::test_a_repeated_claim_is_left_to_the_verb_also_when_nothing_waits_any_more",),
    ),
    Mutant(
        "claim statement: slots are not noted",
        CLAIM,
        "    if offered.is_repeated or not _has_slots(worker, data, offered.held):\n",
        "    if offered.is_repeated:\n",
        (f"{UNUSUAL}[other slots]",),
    ),
    Mutant(
        "claim statement: a worker holds as many leases as it likes",
        CLAIM,
        '    count = min(data["count"], _room(data, offered.held))\n',
        '    count = data["count"]\n',
        (TESTS, "-k", "a_full_worker"),
    ),
    Mutant(
        "claim statement: an agent gets what it cannot finish",
        CLAIM,
        "        if budgets[task.pk] <= longest\n",
        "",
        (TESTS, "-k", "an_agent_that_ends_soon"),
    ),
    Mutant(
        "claim statement: two claims of a worker run at once",
        CLAIM,
        "        caller.is_alone\n        and worker.claiming_boot",
        "        worker.claiming_boot",
        (TWICE,),
        "postgresql",
    ),
    Mutant(
        "claim: the verb claims beside a statement of the same worker",
        "campaigns/lifecycle/claims.py",
        "        rows = claiming_alone(Worker.objects.select_for_update(no_key=True))\n",
        "        rows = Worker.objects.select_for_update(no_key=True)\n",
        (TWICE,),
        "postgresql",
    ),
    Mutant(
        "claim statement: a start that was taken over gets tasks",
        CLAIM,
        '        and worker.claiming_boot == data["boot_id"]\n',
        "",
        (f"{UNUSUAL}[an earlier start]",),
    ),
    Mutant(
        "claim statement: a closed session is not opened again",
        CLAIM,
        "        and caller.session_seen_at is not None\n",
        "",
        (f"{UNUSUAL}[a closed session]",),
    ),
    Mutant(
        "claim statement: what the agent tells of its machine is not stored",
        CLAIM,
        "        and all(getattr(worker, name) == value for name, value in described.items())\n",
        "",
        (f"{UNUSUAL}[another version]",),
    ),
    Mutant(
        "claim statement: a worker that is shut out or paused gets tasks",
        CLAIM,
        "        and not why_nothing(worker, now)\n",
        "",
        (f"{UNUSUAL}[paused]",),
    ),
    Mutant(
        "claim statement: a worker goes on where it could not begin",
        CLAIM,
        "        and not worker.consecutive_env_errors\n",
        "",
        (f"{UNUSUAL}[after an error of its environment]",),
    ),
    Mutant(
        "claim statement: a flagged machine gets work budgets",
        "campaigns/lifecycle/statements/claim_speeds.py",
        "    if newest.is_held_back:\n        return False\n",
        "",
        (f"{UNUSUAL}[a flagged calibration]",),
    ),
    Mutant(
        "claim statement: nobody measures its speed",
        CLAIM,
        " and claim_speeds.are_known(worker, data, now)",
        "",
        (f"{UNUSUAL}[no calibration]",),
    ),
    Mutant(
        "claim statement: a task that does not wait any more is leased",
        MOVES,
        "(Exists(may_claim), pk=task, state=TaskState.PENDING)",
        "(Exists(may_claim), pk=task)",
        (f"{BETWEEN}[a task is leased]",),
    ),
    Mutant(
        "claim statement: a worker that drains meanwhile gets tasks",
        MOVES,
        "(Exists(may_claim), pk=task, state=TaskState.PENDING)",
        "(pk=task, state=TaskState.PENDING)",
        (f"{BETWEEN}[the worker drains]",),
    ),
    Mutant(
        "claim statement: a part of a claim is kept",
        MOVES,
        "    if len(made) < len(attempts):\n",
        "    if not made:\n",
        (f"{BETWEEN}[a task is cancelled]",),
    ),
    Mutant(
        "claim statement: a task goes back to whom it is not to go",
        MOVES,
        " WHERE is_to_be_checked IS NOT TRUE",
        "",
        (UNUSUAL, "-k", "failed or nothing"),
        "postgresql",
    ),
    Mutant(
        "claim statement: a task goes back to whom it is not to go, on SQLite",
        MOVES,
        "            if is_to_be_checked:\n",
        "            if not last_number:\n",
        (UNUSUAL, "-k", "failed or nothing"),
    ),
)
