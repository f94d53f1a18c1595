"""Which rows are stored, and what always holds for them: fields, constraints, indexes, queries.

No code here changes a state: every write to a `state` or `outcome` column is in
`campaigns/lifecycle/`. What must never be true is a named constraint of the database, in addition
to the check in code.
"""

from campaigns.models.accounts import PersonalToken
from campaigns.models.arm import Arm
from campaigns.models.attempt import Attempt, ProgressPoint
from campaigns.models.campaign import Campaign
from campaigns.models.classes import NoiseFloor, ResultClass
from campaigns.models.estimates import ImportanceEstimate
from campaigns.models.journal import StateChange
from campaigns.models.note import MAX_NOTE_LENGTH, Note
from campaigns.models.race import Decision, Race
from campaigns.models.result import Result, ResultQuerySet
from campaigns.models.share import Share
from campaigns.models.sources import Dataset, Package
from campaigns.models.states import (
    HEX_SHA256_LENGTH,
    MAX_BUDGET_SECONDS,
    MAX_LOSS,
    MAX_MIN_EFFECT,
    MAX_RACE_SEEDS,
    MAX_REASON_LENGTH,
    MAX_SEED,
    MAX_TRIES,
    MAX_UNPAID_TRIES,
    MAX_WORK,
    MIN_BUDGET_SECONDS,
    ActorKind,
    AttemptOutcome,
    BudgetKind,
    CampaignState,
    ChangeSubject,
    FailureClass,
    PackageOrigin,
    QueueRank,
    RaceOutcome,
    TaskOrigin,
    TaskPurpose,
    TaskState,
    WorkUnit,
)
from campaigns.models.task import Task, TaskQuerySet
from campaigns.models.task_names import TaskName
from campaigns.models.webhooks import DeliveryState, Webhook, WebhookDelivery, WebhookEvent

__all__ = [
    "HEX_SHA256_LENGTH",
    "MAX_BUDGET_SECONDS",
    "MAX_LOSS",
    "MAX_MIN_EFFECT",
    "MAX_NOTE_LENGTH",
    "MAX_RACE_SEEDS",
    "MAX_REASON_LENGTH",
    "MAX_SEED",
    "MAX_TRIES",
    "MAX_UNPAID_TRIES",
    "MAX_WORK",
    "MIN_BUDGET_SECONDS",
    "ActorKind",
    "Arm",
    "Attempt",
    "AttemptOutcome",
    "BudgetKind",
    "Campaign",
    "CampaignState",
    "ChangeSubject",
    "Dataset",
    "Decision",
    "DeliveryState",
    "FailureClass",
    "ImportanceEstimate",
    "NoiseFloor",
    "Note",
    "Package",
    "PackageOrigin",
    "PersonalToken",
    "ProgressPoint",
    "QueueRank",
    "Race",
    "RaceOutcome",
    "Result",
    "ResultClass",
    "ResultQuerySet",
    "Share",
    "StateChange",
    "Task",
    "TaskName",
    "TaskOrigin",
    "TaskPurpose",
    "TaskQuerySet",
    "TaskState",
    "Webhook",
    "WebhookDelivery",
    "WebhookEvent",
    "WorkUnit",
]
