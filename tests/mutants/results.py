"""Guards of results: what decides a task, what counts as a try, and what is paused."""

from __future__ import annotations

from typing import Final

from tests.mutants.leases import HISTORIES, RACES
from tests.mutants.mutant import Mutant

SUBMISSIONS: Final = "campaigns/lifecycle/submissions.py"
RETRY: Final = "campaigns/lifecycle/retry.py"
BELIEF: Final = "campaigns/lifecycle/belief.py"
BELIEVED: Final = ("tests/lifecycle/results/test_belief.py",)
BREAKERS: Final = "campaigns/lifecycle/breakers.py"
BROKEN: Final = "tests/lifecycle/test_breakers.py"

SUBMITS: Final = (
    Mutant(
        "result: any lease of the task will do",
        SUBMISSIONS,
        "    held = held_by(attempt.lease_id)\n",
        "    held = Q(state=TaskState.LEASED)\n",
        HISTORIES,
    ),
    Mutant(
        "result: of a released lease decides a task that waits",
        SUBMISSIONS,
        "    if attempt.outcome == AttemptOutcome.LOST:\n        return held",
        "    if attempt.outcome != AttemptOutcome.LATE:\n        return held",
        (
            "tests/lifecycle/results/test_submit.py::test_a_result_for_a_released_lease_is_kept_as_late",
        ),
    ),
    Mutant(
        "result: late, though nobody else has the task, is thrown away",
        SUBMISSIONS,
        "        return held | Q(state=TaskState.PENDING)\n",
        "        return held\n",
        HISTORIES,
    ),
    Mutant(
        "result: a finished task is decided again",
        SUBMISSIONS,
        "        return held | Q(state=TaskState.PENDING)\n",
        "        return ~Q(state=TaskState.CANCELLED)\n",
        HISTORIES,
    ),
    Mutant(
        "result: another body for the same lease passes for the first",
        SUBMISSIONS,
        "    if attempt.submission_digest != digest or attempt.answer is None:",
        "    if attempt.answer is None:",
        HISTORIES,
    ),
    Mutant(
        "result: the same body again is taken for a new one",
        SUBMISSIONS,
        "        if attempt.submission_digest:\n",
        "        if attempt.submission_digest == 0:\n",
        HISTORIES,
    ),
    Mutant(
        "result: equal ones at once do not wait for each other",
        SUBMISSIONS,
        'locked = Task.objects.select_for_update(of=("self",)).order_by()',
        "locked = Task.objects.order_by()",
        (
            f"{RACES}::test_fifty_equal_submissions_are_stored_once_and_all_get_the_same_answer",
            f"{RACES}::test_of_conflicting_submissions_one_is_stored_and_the_others_refused",
        ),
        "postgresql",
    ),
    Mutant(
        "result: numbers that do not belong to the task are believed",
        BELIEF,
        "    problems = _not_of_its_task(attempt, body, metrics)\n",
        "    problems: list[str] = []\n",
        ("tests/lifecycle/results/test_submit.py", "-k", "contradict"),
    ),
    Mutant(
        "belief: counters that no training has are believed",
        BELIEF,
        "    if metrics[value] is not None:\n        names",
        "    if False:\n        names",
        BELIEVED,
    ),
    Mutant(
        "belief: a run may be longer than its lease",
        BELIEF,
        "    elif seconds > lease_seconds + CLOCK_TOLERANCE_SECONDS:\n",
        "    elif seconds < 0:\n",
        BELIEVED,
    ),
    Mutant(
        "belief: a device that the worker did not tell of is believed",
        BELIEF,
        '    if problem := _unknown_device(attempt, metrics["device_used"]):\n',
        '    if problem := "":\n',
        BELIEVED,
    ),
    Mutant(
        "belief: a value that no model reaches is ranked",
        BELIEF,
        "value is not None and bound is not None and value < bound",
        "value is None and bound is not None",
        BELIEVED,
    ),
    Mutant(
        "belief: a result of before its bound was known stays ranked",
        BELIEF,
        "    judge_again(dataset)\n",
        "",
        BELIEVED,
    ),
    Mutant(
        "belief: any result is admitted",
        BELIEF,
        "Result.objects.filter(task=task, implausible=True).update(",
        "Result.objects.filter(task=task).update(",
        BELIEVED,
    ),
    Mutant(
        "belief: what an operator admitted is judged again",
        BELIEF,
        "is_ranked=True, admitted_at=None, value__lt=bound",
        "is_ranked=True, value__lt=bound",
        BELIEVED,
    ),
    Mutant(
        "belief: an owner admits a result of the own campaign",
        "campaigns/steering.py",
        'not for the campaign\'s owner."""\n'
        "    if actor is not None and not roles.may_operate(actor):\n",
        'not for the campaign\'s owner."""\n'
        "    if actor is not None and not may_change(actor, task.campaign):\n",
        BELIEVED,
    ),
    Mutant(
        "belief: exports hold what does not count",
        "campaigns/exports/rows.py",
        "campaign.results.filter(implausible=False).order_by",
        "campaign.results.order_by",
        ("tests/api/test_exports.py",),
    ),
    Mutant(
        "result: an invented one is ranked",
        BELIEF,
        "    measured = not (simulated or valueless or diverged)\n",
        "    measured = not (valueless or diverged)\n",
        (
            "tests/lifecycle/results/test_submit.py::test_a_simulated_result_is_stored_and_not_ranked",
        ),
    ),
    Mutant(
        "failure: any lease of the task will do",
        SUBMISSIONS,
        "    held = Task.objects.filter(held_by(attempt.lease_id), pk=task.pk)",
        "    held = Task.objects.filter(pk=task.pk, state=TaskState.LEASED)",
        HISTORIES,
        "postgresql",
    ),
    Mutant(
        "failure: a task can fail for ever",
        SUBMISSIONS,
        'held.filter(**{f"{counter}__gte": F(maximum) - 1})',
        'held.filter(**{f"{counter}__gte": F(maximum)})',
        ("tests/lifecycle/results/test_submit_failures.py", "-k", "second_failure"),
    ),
    Mutant(
        "failure: the worker's fault is charged to the task",
        RETRY,
        "    FailureClass.ENV_ERROR: Charge.FREE,",
        "    FailureClass.ENV_ERROR: Charge.FAILURE,",
        HISTORIES,
    ),
    Mutant(
        "failure: nobody's fault is charged to the task",
        RETRY,
        "    FailureClass.LOST: Charge.LOSS,",
        "    FailureClass.LOST: Charge.FAILURE,",
        HISTORIES,
    ),
    Mutant(
        "breaker: a failing campaign goes on",
        BREAKERS,
        "    if len(failed := _failures(window)) < BREAKER_FAILURES:",
        "    if len(failed := _failures(window)) <= BREAKER_WINDOW:",
        (
            "tests/lifecycle/test_journal.py::test_what_the_server_does_by_itself_is_told_with_its_reason",
        ),
    ),
    Mutant(
        "breaker: failures of machines pause a campaign",
        BREAKERS,
        "    return [attempt for attempt in attempts if attempt.charge is Charge.FAILURE]\n",
        "    return [attempt for attempt in attempts if attempt.charge is not None]\n",
        (f"{BROKEN}::test_what_machines_could_not_run_is_no_failure_of_the_tasks",),
    ),
    Mutant(
        "breaker: what failed before it was resumed pauses a campaign again",
        BREAKERS,
        "    if campaign.resumed_at is not None:",
        "    if campaign.resumed_at is None and campaign.paused_at:",
        (f"{BROKEN}::test_a_resumed_campaign_is_judged_by_new_attempts_alone",),
    ),
    Mutant(
        "breaker: one worker pauses a campaign that others run",
        BREAKERS,
        "        if counts[attempt.owner] <= share:\n",
        "        if share:\n",
        (BROKEN, "-k", "one_worker_that_fails_ten_tasks"),
    ),
    Mutant(
        "breaker: a worker that is alone does not count alone",
        BREAKERS,
        "    if owners <= 1:\n        return BREAKER_WINDOW\n",
        "    if owners <= 1:\n        return _LEAST_SHARE\n",
        (BROKEN, "-k", "alone_online"),
    ),
    Mutant(
        "breaker: a campaign that no worker can run goes on",
        SUBMISSIONS,
        "            pause_troubled(campaign, now=now)\n",
        "            pass\n",
        (BROKEN, "-k", "three_workers_cannot_run"),
    ),
    Mutant(
        "breaker: one worker's trouble pauses a campaign",
        BREAKERS,
        "max(2, min(TROUBLED_WORKERS, campaign.machines(now).owner_count()))",
        "1",
        (BROKEN, "-k", "both_must_be_in_trouble or three_workers_cannot_run"),
    ),
    Mutant(
        "breaker: the trouble of few pauses a campaign that more can run",
        BREAKERS,
        "> len(troubled):\n        return\n",
        "> len(troubled):\n        pass\n",
        (BROKEN, "-k", "more_workers_can_run"),
    ),
    Mutant(
        "breaker: a worker with a broken environment goes on",
        SUBMISSIONS,
        "        worker_lifecycle.pause_after_env_error(worker, reason, now=now)\n",
        "        worker_lifecycle.see(worker, now=now)\n",
        ("tests/lifecycle/results/test_submit_failures.py", "-k", "environment_error"),
    ),
)
