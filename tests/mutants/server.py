"""Guards of the server: leases, results, retries, breakers, the journal, who may do what."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

LEASES: Final = "campaigns/lifecycle/leases.py"
SUBMISSIONS: Final = "campaigns/lifecycle/submissions.py"
CAMPAIGNS: Final = "campaigns/lifecycle/campaigns.py"
GROWTH: Final = "campaigns/lifecycle/growth.py"
JOURNAL: Final = "campaigns/lifecycle/journal.py"
RETRY: Final = "campaigns/lifecycle/retry.py"
TASK: Final = "campaigns/models/task.py"
HISTORIES: Final = ("tests/test_lifecycle_histories.py",)
RACES: Final = "tests/test_claim_races.py"

CLAIMS: Final = (
    Mutant(
        "claim: a task that is leased is leased again",
        LEASES,
        "leased = Task.objects.filter(state=TaskState.PENDING).bulk_update(tasks, columns)",
        "leased = Task.objects.bulk_update(tasks, columns)",
        ("tests/test_journal.py::test_a_lease_of_a_task_that_is_not_pending_after_all_is_refused",),
    ),
    Mutant(
        "claim: a task that was not leased gets an attempt",
        LEASES,
        "    if leased != len(tasks):",
        "    if leased > len(tasks):",
        ("tests/test_journal.py::test_a_lease_of_a_task_that_is_not_pending_after_all_is_refused",),
    ),
    Mutant(
        "claim: a repetition gets other leases",
        LEASES,
        "        repeated = attempts_of_claim(worker, claim_id)\n        if repeated:",
        "        repeated = attempts_of_claim(worker, claim_id)\n        if False:",
        HISTORIES,
    ),
    Mutant(
        "claim: two repetitions at once do not wait for each other",
        LEASES,
        "        worker = Worker.objects.select_for_update(no_key=True).get(pk=worker.pk)\n"
        "        repeated",
        "        worker = Worker.objects.get(pk=worker.pk)\n        repeated",
        (f"{RACES}::test_parallel_repetitions_of_one_claim_bring_the_same_leases",),
        "postgresql",
    ),
    Mutant(
        "claim: two claims at once do not skip each other's tasks",
        LEASES,
        'tasks = waiting.select_related("campaign").select_for_update(\n'
        '            skip_locked=True, of=("self",)\n'
        "        )[:count]",
        'tasks = waiting.select_related("campaign")[:count]',
        (f"{RACES}::test_threads_that_claim_all_at_once_never_get_the_same_task",),
        "postgresql",
    ),
    Mutant(
        "claim: leases that ran out are not taken back",
        LEASES,
        "    expire(now=now, limit=max(count, 20))\n",
        "",
        HISTORIES,
    ),
    Mutant(
        "claim: a worker that is shut out gets tasks",
        LEASES,
        "    if worker.state != WorkerState.ACTIVE:",
        "    if worker.state == WorkerState.DRAINING:",
        HISTORIES,
    ),
    Mutant(
        "claim: a paused worker gets tasks",
        LEASES,
        "    if worker.paused_until is not None and worker.paused_until > now:",
        "    if worker.paused_until is not None and worker.paused_until < now:",
        ("tests/test_claim.py::test_a_paused_worker_gets_nothing_until_its_pause_is_over",),
    ),
    Mutant(
        "claim: a paused campaign hands out tasks",
        "campaigns/models/campaign.py",
        "        campaigns = self.filter(state=CampaignState.ACTIVE)\n",
        "        campaigns = self.all()\n",
        HISTORIES,
    ),
    Mutant(
        "claim: a task is handed out before its time",
        TASK,
        "self.filter(state=TaskState.PENDING, available_at__lte=now)",
        "self.filter(state=TaskState.PENDING)",
        ("tests/test_claim.py::test_a_task_is_not_handed_out_before_it_is_available",),
    ),
    Mutant(
        "claim: a simulating worker gets tasks to be measured",
        "campaigns/models/campaign.py",
        "            campaigns = campaigns.filter(allow_simulated=True)\n",
        "            pass\n",
        ("tests/test_claim.py::test_a_simulating_worker_gets_only_tasks_that_may_be_simulated",),
    ),
    Mutant(
        "claim: the lease outlasts the deadline",
        LEASES,
        "task.lease_expires_at = min(now + lease, task.deadline_at)",
        "task.lease_expires_at = now + lease",
        ("tests/test_claim.py::test_a_lease_never_outlasts_the_deadline",),
    ),
)

HELD: Final = (
    Mutant(
        "renew: any lease of the task will do",
        LEASES,
        "pk=attempt.task_id, state=TaskState.LEASED, lease_id=lease_id, deadline_at__gt=now",
        "pk=attempt.task_id, state=TaskState.LEASED, deadline_at__gt=now",
        HISTORIES,
    ),
    Mutant(
        "renew: after the deadline, too",
        LEASES,
        "pk=attempt.task_id, state=TaskState.LEASED, lease_id=lease_id, deadline_at__gt=now",
        "pk=attempt.task_id, state=TaskState.LEASED, lease_id=lease_id",
        HISTORIES,
    ),
    Mutant(
        "renew: past the deadline",
        LEASES,
        'lease_expires_at=Least(\n            F("deadline_at"), '
        'Greatest(F("lease_expires_at"), Value(now + lease))\n        )',
        'lease_expires_at=Greatest(F("lease_expires_at"), Value(now + lease))',
        HISTORIES,
    ),
    Mutant(
        "renew: a heartbeat that was overtaken shortens the lease",
        LEASES,
        'Greatest(F("lease_expires_at"), Value(now + lease))',
        "Value(now + lease)",
        ("tests/test_renew.py::test_a_heartbeat_that_was_overtaken_does_not_shorten_the_lease",),
    ),
    Mutant(
        "release: any lease of the task will do",
        LEASES,
        "            pk=attempt.task_id, state=TaskState.LEASED, lease_id=lease_id\n"
        "        ).update(state=TaskState.PENDING",
        "            pk=attempt.task_id, state=TaskState.LEASED\n"
        "        ).update(state=TaskState.PENDING",
        HISTORIES,
        "postgresql",
    ),
    Mutant(
        "release: a lost lease is released without a word",
        LEASES,
        "    if attempt.outcome != AttemptOutcome.RELEASED:\n        raise LeaseLost",
        "    if attempt.outcome == AttemptOutcome.RUNNING:\n        raise LeaseLost",
        HISTORIES,
    ),
    Mutant(
        "find: the lease of another worker will do",
        LEASES,
        "    found = Attempt.objects.filter(worker=worker, lease_id=lease_id).select_related(",
        "    found = Attempt.objects.filter(lease_id=lease_id).select_related(",
        ("tests/test_submit.py::test_an_unknown_lease_and_one_of_another_worker_are_refused",),
    ),
    Mutant(
        "expire: leases that are not over",
        TASK,
        "return self.filter(state=TaskState.LEASED, lease_expires_at__lt=now)",
        "return self.filter(state=TaskState.LEASED, deadline_at__gt=now)",
        HISTORIES,
    ),
    Mutant(
        "expire: only after the deadline",
        TASK,
        "return self.filter(state=TaskState.LEASED, lease_expires_at__lt=now)",
        "return self.filter(state=TaskState.LEASED, deadline_at__lt=now)",
        HISTORIES,
    ),
    Mutant(
        "expire: a renewal that came first does not count",
        LEASES,
        "guarded = Task.objects.overdue(now).filter(pk=task.pk, lease_id=task.lease_id)",
        "guarded = Task.objects.filter(pk=task.pk, state=TaskState.LEASED)",
        (f"{RACES}::test_expiring_and_renewing_at_once_end_in_one_of_the_two",),
        "postgresql",
    ),
    Mutant(
        "expire: a task can be lost for ever",
        LEASES,
        'lost_attempts__gte=F("max_lost_attempts") - 1',
        'lost_attempts__gte=F("max_lost_attempts")',
        HISTORIES,
    ),
    Mutant(
        "expire: the attempt stays alive",
        LEASES,
        "                AttemptOutcome.LOST,\n                Change(task,",
        "                AttemptOutcome.RELEASED,\n                Change(task,",
        HISTORIES,
    ),
)

SUBMITS: Final = (
    Mutant(
        "result: any lease of the task will do",
        SUBMISSIONS,
        "    held = Q(state=TaskState.LEASED, lease_id=attempt.lease_id)\n",
        "    held = Q(state=TaskState.LEASED)\n",
        HISTORIES,
    ),
    Mutant(
        "result: of a released lease decides a task that waits",
        SUBMISSIONS,
        "    if attempt.outcome == AttemptOutcome.LOST:\n        return held",
        "    if attempt.outcome != AttemptOutcome.LATE:\n        return held",
        HISTORIES,
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
        "rows = Task.objects.select_for_update().filter(pk=attempt.task_id)",
        "rows = Task.objects.filter(pk=attempt.task_id)",
        (
            f"{RACES}::test_fifty_equal_submissions_are_stored_once_and_all_get_the_same_answer",
            f"{RACES}::test_of_conflicting_submissions_one_is_stored_and_the_others_refused",
        ),
        "postgresql",
    ),
    Mutant(
        "result: numbers that do not belong to the task are believed",
        SUBMISSIONS,
        "problems = metrics_problems(metrics) or _contradictions(attempt.task, body, metrics)",
        "problems = metrics_problems(metrics)",
        ("tests/test_submit.py", "-k", "contradict"),
    ),
    Mutant(
        "result: an invented one is ranked",
        SUBMISSIONS,
        "is_ranked=not (simulated or valueless or",
        "is_ranked=not (valueless or",
        ("tests/test_submit.py::test_a_simulated_result_is_stored_and_not_ranked",),
    ),
    Mutant(
        "failure: any lease of the task will do",
        SUBMISSIONS,
        "    held = Task.objects.filter(pk=task.pk, state=TaskState.LEASED, "
        "lease_id=attempt.lease_id)",
        "    held = Task.objects.filter(pk=task.pk, state=TaskState.LEASED)",
        HISTORIES,
        "postgresql",
    ),
    Mutant(
        "failure: a task can fail for ever",
        SUBMISSIONS,
        'held.filter(**{f"{counter}__gte": F(maximum) - 1})',
        'held.filter(**{f"{counter}__gte": F(maximum)})',
        ("tests/test_submit.py", "-k", "second_failure"),
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
        SUBMISSIONS,
        "    if len(failures) < BREAKER_FAILURES:",
        "    if len(failures) <= BREAKER_WINDOW:",
        ("tests/test_journal.py::test_what_the_server_does_by_itself_is_told_with_its_reason",),
    ),
    Mutant(
        "breaker: failures of machines pause a campaign",
        SUBMISSIONS,
        "        if outcome == AttemptOutcome.FAILED and CHARGES[failure_class] is Charge.FAILURE",
        "        if outcome == AttemptOutcome.FAILED",
        ("tests/test_submit.py", "-k", "failures_of_machines_and_networks"),
    ),
    Mutant(
        "breaker: what failed before it was resumed pauses a campaign again",
        SUBMISSIONS,
        "    if campaign.resumed_at is not None:",
        "    if campaign.resumed_at is None and campaign.paused_at:",
        ("tests/test_submit.py::test_a_resumed_campaign_is_judged_by_new_attempts_alone",),
    ),
    Mutant(
        "breaker: a worker with a broken environment goes on",
        SUBMISSIONS,
        "        worker_lifecycle.pause_after_env_error(worker, reason, now=now)\n",
        "        worker_lifecycle.see(worker, now=now)\n",
        ("tests/test_submit.py", "-k", "environment_error"),
    ),
)

ENDS: Final = (
    Mutant(
        "cancel: what runs goes on",
        CAMPAIGNS,
        "    running.filter(task__state=TaskState.CANCELLED).update(",
        "    running.filter(task__state=TaskState.COMPLETED).update(",
        ("tests/test_campaign_verbs.py", "-k", "cancelling_ends"),
    ),
    Mutant(
        "cancel: a cancelled campaign can be resumed by its tasks",
        LEASES,
        "        if campaign.state == CampaignState.CANCELLED:",
        "        if campaign.state == CampaignState.DRAFT:",
        ("tests/test_transition_table.py", "-k", "retrying_a_task"),
    ),
    Mutant(
        "finish: with tasks that are open",
        CAMPAIGNS,
        "    done = running.filter(~Exists(still_open))",
        "    done = running.filter(Exists(still_open) | ~Exists(still_open))",
        HISTORIES,
    ),
    Mutant(
        "finish: never",
        CAMPAIGNS,
        "    finish_if_done(campaign_id, now=now)\n",
        "",
        HISTORIES,
    ),
    Mutant(
        "pause: from any state",
        CAMPAIGNS,
        "        moved = rows.filter(state__in=transition.sources).update(",
        "        moved = rows.update(",
        HISTORIES,
    ),
    Mutant(
        "retry: a task that did not fail",
        LEASES,
        "Task.objects.filter(pk=task.pk, state=TaskState.FAILED).update(",
        "Task.objects.filter(pk=task.pk).exclude(state=TaskState.LEASED).update(",
        HISTORIES,
    ),
    Mutant(
        "steering: anybody may change any campaign",
        "campaigns/steering.py",
        "    if actor is not None and not may_change(actor, campaign):",
        "    if actor is not None and not roles.may_create(actor):",
        ("tests/test_roles.py::test_a_researcher_changes_only_campaigns_of_their_own",),
    ),
)

LINES: Final = (
    Mutant(
        "journal: ends are not written",
        LEASES,
        "    journal.record(actor or journal.agent(attempt.worker), *changes, now=now, "
        "reason=message)\n",
        "",
        HISTORIES,
    ),
    Mutant(
        "journal: claims are not written",
        LEASES,
        "    journal.record(journal.agent(worker), *changes, now=now)\n",
        "",
        HISTORIES,
    ),
    Mutant(
        "journal: cancelled tasks are not written",
        CAMPAIGNS,
        "    journal.record_tasks(actor, tasks.open(), TaskState.CANCELLED, now=now, "
        "reason=reason)\n",
        "",
        HISTORIES,
    ),
    Mutant(
        "journal: a campaign's changes are not written",
        CAMPAIGNS,
        "            journal.record(actor, Change(campaign, before, target), now=now, "
        "reason=reason)\n",
        "            pass\n",
        HISTORIES,
    ),
    Mutant(
        "journal: a retry is not written",
        LEASES,
        '        journal.record(actor, moved_to, now=now, reason="One more try.")\n',
        "",
        ("tests/test_transition_table.py", "-k", "retry_task"),
    ),
    Mutant(
        "journal: the end is written outside of the transaction",
        SUBMISSIONS,
        "    # One transaction: task, attempt and result must agree, and the answer is what was "
        "committed.\n    with transaction.atomic():",
        "    if True:",
        ("tests/test_journal.py", "-k", "cannot_be_written"),
    ),
)

SERVER: Final = (*CLAIMS, *HELD, *SUBMITS, *ENDS, *LINES)
