"""The offline check of the database against the results that web servers acknowledged.

- **lost**: the database does not have an acknowledged result as it was acknowledged.
- **doubled**: more than one result decided a task, or a task counts more than once.
- **broken**: any other violation (see `tests.invariants`).

Needs Django set up; reads the default database.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from django.db.models import Count, Q

from campaigns.clock import database_now
from campaigns.models import (
    Attempt,
    AttemptOutcome,
    Campaign,
    ChangeSubject,
    StateChange,
    Task,
    TaskState,
)
from campaigns.standings import arms
from campaigns.standings.progress import campaign_progress
from tests import invariants
from tests.chaos.proxy import Acknowledgement
from workers.protocol import Verdict

DECIDED = (AttemptOutcome.COMPLETED, AttemptOutcome.DIVERGED)


@dataclass
class Findings:
    """The violations that the check found, one sentence each."""

    acknowledged: int = 0  # results, each lease counted once
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether there is no violation."""
        return not (self.lost or self.doubled or self.broken)


def check(acks: Iterable[Acknowledgement]) -> Findings:
    """Compare the acknowledgements with the database, after servers and agents have ended."""
    findings = Findings()
    by_lease: dict[str, set[str]] = defaultdict(set)
    for ack in acks:
        by_lease[ack.lease_id].add(ack.verdict)
    findings.acknowledged = len(by_lease)
    _check_acknowledged(by_lease, findings)
    _check_decisions(findings)
    _check_counts(findings)
    _check_losses(findings)
    findings.broken += invariants.violations()
    return findings


def _check_acknowledged(by_lease: dict[str, set[str]], findings: Findings) -> None:
    """Each acknowledged result is stored, and every submission of it got the same answer."""
    attempts = {
        str(attempt.lease_id): attempt
        for attempt in Attempt.objects.select_related("task", "task__result").defer("submission")
    }
    accepted: dict[int, list[str]] = defaultdict(list)
    for lease_id, verdicts in by_lease.items():
        attempt = attempts.get(lease_id)
        if attempt is None:
            findings.lost.append(f"lease {lease_id}: acknowledged, but there is no such attempt")
            continue
        stored = (attempt.answer or {}).get("verdict")
        if not attempt.submission_digest or {stored} != verdicts:
            received = ", ".join(sorted(verdicts))
            findings.lost.append(
                f"lease {lease_id}: the agent was told {received}, stored is {stored}"
            )
        if Verdict.ACCEPTED not in verdicts:
            continue
        accepted[attempt.task_id].append(lease_id)
        result = getattr(attempt.task, "result", None)
        if attempt.task.state != TaskState.COMPLETED or result is None:
            findings.lost.append(f"lease {lease_id}: accepted, but its task has no result")
        elif result.attempt_id != attempt.pk:
            findings.lost.append(f"lease {lease_id}: accepted, but the result is another's")
    for task_id, leases in accepted.items():
        if len(leases) > 1:
            findings.doubled.append(f"task {task_id}: accepted from {len(leases)} leases")


def _check_decisions(findings: Findings) -> None:
    """A completed task has one result and one deciding attempt; other tasks have neither."""
    tasks = Task.objects.annotate(
        results=Count("result", distinct=True),
        deciders=Count("attempts", filter=Q(attempts__outcome__in=DECIDED), distinct=True),
    )
    columns = "pk", "state", "results", "deciders"
    for pk, state, results, deciders in tasks.values_list(*columns):
        due = 1 if state == TaskState.COMPLETED else 0
        if (results, deciders) != (due, due):
            findings.doubled.append(
                f"task {pk}: {state}, with {results} results and {deciders} deciders"
            )


def _check_counts(findings: Findings) -> None:
    """Pages and API count each task exactly once."""
    now = database_now()
    for campaign in Campaign.objects.all():
        progress = campaign_progress(campaign, now=now)
        completed = campaign.tasks.filter(state=TaskState.COMPLETED).count()
        if (progress.total, progress.completed) != (campaign.tasks.count(), completed):
            findings.doubled.append(f"campaign {campaign.pk}: its progress counts {progress}")
        board = [row.arm for row in arms.rows(campaign, limit=campaign.task_count)]
        if len(board) != len(set(board)):
            findings.doubled.append(f"campaign {campaign.pk}: its leaderboard names an arm twice")


def _check_losses(findings: Findings) -> None:
    """Every expired lease was taken back once, no matter which process noticed it."""
    lost = (
        StateChange.objects.filter(subject=ChangeSubject.ATTEMPT, to_state=AttemptOutcome.LOST)
        .values_list("task")
        .annotate(times=Count("pk"))
        .order_by()
    )
    times = dict(lost.values_list("task", "times"))
    for task in Task.objects.filter(Q(lost_attempts__gt=0) | Q(pk__in=times)):
        if task.lost_attempts != times.get(task.pk, 0):
            findings.broken.append(
                f"task {task.pk}: charged for {task.lost_attempts} losses, "
                f"and {times.get(task.pk, 0)} leases were taken back"
            )
