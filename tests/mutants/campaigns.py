"""Guards of campaigns: how tasks and campaigns end, who may end them, and their journal."""

from __future__ import annotations

from typing import Final

from tests.mutants.leases import CLAIMING, HISTORIES, LEASES
from tests.mutants.mutant import Mutant

SUBMISSIONS: Final = "campaigns/lifecycle/submissions.py"
CAMPAIGNS: Final = "campaigns/lifecycle/campaigns.py"
ENDINGS: Final = "campaigns/lifecycle/endings.py"

ENDS: Final = (
    Mutant(
        "cancel: what runs goes on",
        CAMPAIGNS,
        "    running.filter(task__state=TaskState.CANCELLED).update(",
        "    running.filter(task__state=TaskState.COMPLETED).update(",
        ("tests/lifecycle/test_campaign_verbs.py", "-k", "cancelling_ends"),
    ),
    Mutant(
        "cancel: a cancelled campaign can be resumed by its tasks",
        LEASES,
        "        if campaign.state == CampaignState.CANCELLED:",
        "        if campaign.state == CampaignState.DRAFT:",
        ("tests/lifecycle/test_transition_table.py", "-k", "retrying_a_task"),
    ),
    Mutant(
        "finish: with tasks that are open",
        ENDINGS,
        "    return unasked.filter(~Exists(still_open), ~Exists(races))",
        "    return unasked.filter(~Exists(races))",
        (
            "tests/lifecycle/test_claim_races.py::test_a_campaign_is_not_completed_while_one_of_its_tasks_is_being_retried",
        ),
        database="postgresql",
    ),
    Mutant(
        "finish: never",
        ENDINGS,
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
        ("tests/access/test_roles.py::test_a_researcher_changes_only_campaigns_of_their_own",),
    ),
    Mutant(
        "accounts: who was shut out keeps a session",
        "xeenet_site/accounts.py",
        "if user is None or not self.user_can_authenticate(user):",
        "if user is None:",
        ("tests/access/test_accounts.py", "-k", "shut_out"),
    ),
    Mutant(
        "accounts: a wrong password is hashed once more",
        "xeenet_site/accounts.py",
        "            raise PermissionDenied\n",
        "            return None\n",
        ("tests/access/test_accounts.py", "-k", "hashed_once"),
    ),
)

LINES: Final = (
    Mutant(
        "journal: ends are not written",
        LEASES,
        "    journal.record(by, *end_changes(attempt, outcome, task_change), now=now, "
        "reason=message)\n",
        "",
        HISTORIES,
    ),
    Mutant(
        "journal: claims are not written",
        CLAIMING,
        "    journal.record(journal.agent(worker), *changes, now=choice.now)\n",
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
        '        journal.record(actor, change, now=now, reason="One more try.")\n',
        "",
        ("tests/lifecycle/test_transition_table.py", "-k", "retry_task"),
    ),
    Mutant(
        "journal: the end is written outside of the transaction",
        SUBMISSIONS,
        "    # One transaction: task, attempt and result must agree, and the answer is what was "
        "committed.\n    with transaction.atomic():",
        "    if True:",
        ("tests/lifecycle/test_journal.py", "-k", "cannot_be_written"),
    ),
)
