"""Guards of leases: which worker gets a task, keeps it, and loses it."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

LEASES: Final = "campaigns/lifecycle/leases.py"
TRANSITIONS: Final = "campaigns/lifecycle/transitions.py"
CLAIMING: Final = "campaigns/lifecycle/claims.py"
REASONS: Final = "campaigns/lifecycle/claim_reasons.py"
FAIR: Final = "tests/lifecycle/test_fair_claims.py"
TASK: Final = "campaigns/models/task.py"
HISTORIES: Final = ("tests/lifecycle/histories/test_histories.py",)
RACES: Final = "tests/lifecycle/test_claim_races.py"

CLAIMS: Final = (
    Mutant(
        "claim: a task that is leased is leased again",
        CLAIMING,
        "leased = Task.objects.filter(state=TaskState.PENDING).bulk_update(tasks, ",
        "leased = Task.objects.bulk_update(tasks, ",
        (
            "tests/lifecycle/test_journal.py::test_a_lease_of_a_task_that_is_not_pending_after_all_is_refused",
        ),
    ),
    Mutant(
        "claim: a task that was not leased gets an attempt",
        CLAIMING,
        "    if leased != len(tasks):",
        "    if leased > len(tasks):",
        (
            "tests/lifecycle/test_journal.py::test_a_lease_of_a_task_that_is_not_pending_after_all_is_refused",
        ),
    ),
    Mutant(
        "claim: a repetition gets other leases",
        CLAIMING,
        "        if Attempt.objects.of_claim(worker.pk, claim_id).exists():",
        "        if False:",
        HISTORIES,
    ),
    Mutant(
        "claim: two repetitions at once do not wait for each other",
        CLAIMING,
        "        rows = claiming_alone(Worker.objects.select_for_update(no_key=True))\n",
        "        rows = Worker.objects.all()\n",
        (f"{RACES}::test_parallel_repetitions_of_one_claim_bring_the_same_leases",),
        "postgresql",
    ),
    Mutant(
        "claim: two claims at once do not skip each other's tasks",
        "campaigns/lifecycle/claim_turns.py",
        'return waiting.select_related("campaign").select_for_update('
        'skip_locked=True, of=("self",))',
        'return waiting.select_related("campaign")',
        (f"{RACES}::test_a_claim_does_not_wait_for_tasks_that_another_is_about_to_take",),
        "postgresql",
    ),
    Mutant(
        "claim: leases that ran out are not taken back",
        CLAIMING,
        "    sweep(now=now)\n",
        "",
        HISTORIES,
    ),
    Mutant(
        "claim: a worker that is shut out gets tasks",
        REASONS,
        "    if worker.state != WorkerState.ACTIVE:",
        "    if worker.state == WorkerState.DRAINING:",
        HISTORIES,
    ),
    Mutant(
        "claim: a worker goes on where it could not begin",
        CLAIMING,
        "    if not error_count:\n",
        "    if error_count is not None:\n",
        (
            "tests/lifecycle/test_claim.py::test_who_could_not_begin_in_one_campaign_gets_others_first",
        ),
    ),
    Mutant(
        "claim: a paused worker gets tasks",
        REASONS,
        "    if worker.paused_until is not None and worker.paused_until > now:",
        "    if worker.paused_until is not None and worker.paused_until < now:",
        (
            "tests/lifecycle/test_claim.py::test_a_paused_worker_gets_nothing_until_its_pause_is_over",
        ),
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
        ("tests/lifecycle/test_claim.py::test_a_task_is_not_handed_out_before_it_is_available",),
    ),
    Mutant(
        "claim: a simulating worker gets tasks to be measured",
        "campaigns/models/campaign.py",
        "            campaigns = campaigns.filter(allow_simulated=True)\n",
        "            pass\n",
        (
            "tests/lifecycle/test_claim.py::test_a_simulating_worker_gets_only_tasks_that_may_be_simulated",
        ),
    ),
    Mutant(
        "claim: a worker holds as many leases as it likes",
        CLAIMING,
        "        count = min(choice.count, bound - held)\n",
        "        count = choice.count\n",
        HISTORIES,
    ),
    Mutant(
        "claim: a worker tells more slots than one may have",
        CLAIMING,
        "min(slots, MAX_SLOTS)",
        "slots",
        (f"{FAIR}::test_a_worker_holds_at_most_the_slots_that_it_told_and_never_more_than_64",),
    ),
    Mutant(
        "claim: a worker has a task for nothing again and again",
        CLAIMING,
        "    if any(history.is_to_be_checked for history in histories.values()):\n",
        "    if not histories and tasks is None:\n",
        (FAIR, "-k", "three_times_for_nothing"),
    ),
    Mutant(
        "claim: a worker that is alone never gets a task again",
        TASK,
        "        Q(Exists(can_still)) | Q(Exists(recent[last_allowed]))\n",
        "        Q(campaign__isnull=False)\n",
        (FAIR, "-k", "no_other_machine_can_run"),
    ),
    Mutant(
        "claim: one task that cannot be leased fails the claim of others",
        CLAIMING,
        "        leased = _lease_chosen(choice, _lease_each)\n",
        "        raise\n",
        (f"{FAIR}::test_a_claim_goes_on_when_one_of_its_tasks_breaks_a_constraint",),
    ),
    Mutant(
        "claim: the lease outlasts the deadline",
        CLAIMING,
        "task.lease_expires_at = min(now + worker.pace.lease_time, task.deadline_at)",
        "task.lease_expires_at = now + worker.pace.lease_time",
        ("tests/lifecycle/test_claim.py::test_a_lease_never_outlasts_the_deadline",),
    ),
    Mutant(
        "claim: one failing worker spends all tries of all tasks",
        TASK,
        "    return failed | too_often",
        "    return too_often",
        (FAIR, "-k", "fails_everything"),
    ),
)

HELD: Final = (
    Mutant(
        "renew: any lease of the task will do",
        LEASES,
        "Task.objects.filter(held_by(lease_id), before_deadline(now), pk=attempt.task_id)",
        "Task.objects.filter(before_deadline(now), pk=attempt.task_id, state=TaskState.LEASED)",
        ("tests/lifecycle/test_renew.py", *HISTORIES),
    ),
    Mutant(
        "renew: after the deadline, too",
        LEASES,
        "Task.objects.filter(held_by(lease_id), before_deadline(now), pk=attempt.task_id)",
        "Task.objects.filter(held_by(lease_id), pk=attempt.task_id)",
        HISTORIES,
    ),
    Mutant(
        "renew: past the deadline",
        TRANSITIONS,
        'Least(F("deadline_at"), Greatest(F("lease_expires_at"), until))',
        'Greatest(F("lease_expires_at"), until)',
        HISTORIES,
    ),
    Mutant(
        "renew: a heartbeat that was overtaken shortens the lease",
        TRANSITIONS,
        'Greatest(F("lease_expires_at"), until)',
        "until",
        (
            "tests/lifecycle/test_renew.py::test_a_heartbeat_that_was_overtaken_does_not_shorten_the_lease",
        ),
    ),
    Mutant(
        "release: any lease of the task will do",
        LEASES,
        "        held = Task.objects.filter(held_by(lease_id), pk=attempt.task_id)",
        "        held = Task.objects.filter(state=TaskState.LEASED, pk=attempt.task_id)",
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
        "attempt = attempts_to_end().get(worker=worker, lease_id=lease_id)",
        "attempt = attempts_to_end().get(lease_id=lease_id)",
        (
            "tests/lifecycle/results/test_submit.py::test_an_unknown_lease_and_one_of_another_worker_are_refused",
        ),
    ),
)
