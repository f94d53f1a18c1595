"""The contents of the tables of a database at one moment, for its invariants. Only reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connections, transaction

from campaigns.models import Arm, Attempt, Campaign, Decision, Race, Result, StateChange, Task


class CampaignRow(NamedTuple):
    """Columns of a campaign that say how many tasks it has, and who is expected to ask for more."""

    state: str
    task_count: int
    kept_runs: int
    undrawn_tasks: int
    asked_at: Any


class ArmRow(NamedTuple):
    """Columns of an arm."""

    campaign_id: int
    number: int
    params: dict[str, Any]
    infeasible: str


class BudgetRow(NamedTuple):
    """Columns of a campaign: when its runs are over."""

    budget_kind: str
    work_unit: str
    cost_model: Any


class RaceRow(NamedTuple):
    """Columns of a race."""

    campaign_id: int
    outcome: str
    number: int
    arms: list[int]
    chosen_from: int | None


class DecisionRow(NamedTuple):
    """Columns of a decision."""

    race_id: int
    look: int
    outcome: str
    saw: Any


class TaskRow(NamedTuple):
    """Columns of a task."""

    campaign_id: int
    arm_id: int
    params: dict[str, Any]
    seed: int
    seed_index: int | None
    max_steps: int | None
    purpose: str
    state: str
    lease_id: UUID | None
    worker_id: int | None


class AttemptRow(NamedTuple):
    """Columns of an attempt."""

    task_id: int
    outcome: str
    lease_id: UUID
    worker_id: int
    submission_digest: str
    answer: Any


class ResultRow(NamedTuple):
    """Columns of a result."""

    task_id: int
    is_screening: bool
    attempt_id: int
    campaign_id: int
    arm_id: int
    result_class_id: int | None
    is_ranked: bool
    implausible: bool
    disturbed: bool | None
    slow_setup: bool | None

    @property
    def hindrances(self) -> int:
        """How much kept the run from coming as far as it can."""
        return bool(self.disturbed) + bool(self.slow_setup)


class ChangeRow(NamedTuple):
    """Columns of a journal entry."""

    pk: int
    subject: str
    campaign_id: int
    task_id: int
    attempt_id: int
    from_state: str
    to_state: str

    @property
    def subject_id(self) -> int:
        """The primary key of the campaign, task or attempt that changed."""
        key: int = getattr(self, f"{self.subject}_id")
        return key


@dataclass(frozen=True)
class Rows:
    """The contents of the tables at one moment; dictionaries are by primary key."""

    campaigns: dict[int, str]
    campaign_rows: dict[int, CampaignRow]
    # The base seed of each campaign; None where tasks have seeds of their own.
    base_seeds: dict[int, int | None]
    budgets: dict[int, BudgetRow]
    arms: dict[int, ArmRow]
    races: dict[int, RaceRow]
    decisions: list[DecisionRow]
    tasks: dict[int, TaskRow]
    attempts: dict[int, AttemptRow]
    results: list[ResultRow]
    changes: list[ChangeRow]


def read(using: str) -> Rows:
    """Read all tables in one snapshot."""
    connection = connections[using]
    outermost = not connection.in_atomic_block
    with transaction.atomic(using=using):
        if outermost and connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        campaigns = Campaign.objects.using(using).order_by()
        arms = Arm.objects.using(using).order_by().values_list("pk", *ArmRow._fields)
        races = Race.objects.using(using).order_by().values_list("pk", *RaceRow._fields)
        decisions = Decision.objects.using(using).order_by("race", "look")
        decisions = decisions.values_list(*DecisionRow._fields)
        tasks = Task.objects.using(using).order_by().values_list("pk", *TaskRow._fields)
        attempts = Attempt.objects.using(using).order_by().values_list("pk", *AttemptRow._fields)
        results = Result.objects.using(using).order_by().values_list(*ResultRow._fields)
        changes = StateChange.objects.using(using).order_by("pk")
        return Rows(
            campaigns=dict(campaigns.values_list("pk", "state")),
            campaign_rows={
                pk: CampaignRow(*columns)
                for pk, *columns in campaigns.values_list("pk", *CampaignRow._fields)
            },
            base_seeds={
                pk: base_seed if shared else None
                for pk, base_seed, shared in campaigns.values_list(
                    "pk", "base_seed", "shares_seeds"
                )
            },
            budgets={
                pk: BudgetRow(*columns)
                for pk, *columns in campaigns.values_list("pk", *BudgetRow._fields)
            },
            arms={pk: ArmRow(*columns) for pk, *columns in arms},
            races={pk: RaceRow(*columns) for pk, *columns in races},
            decisions=[DecisionRow(*columns) for columns in decisions],
            tasks={pk: TaskRow(*columns) for pk, *columns in tasks},
            attempts={pk: AttemptRow(*columns) for pk, *columns in attempts},
            results=[ResultRow(*columns) for columns in results],
            changes=[ChangeRow(*c) for c in changes.values_list(*ChangeRow._fields)],
        )
