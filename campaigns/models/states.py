"""The words for states and outcomes, each with a comment, and the limits of numbers."""

from __future__ import annotations

from django.db import models

from workers.protocol import FailureClass as WireFailureClass

HEX_SHA256_LENGTH = 64
# Keeps base_seed + number within the integers that every database and torch accept.
MAX_SEED = 2**31 - 1
# No run could keep a shorter budget.
MIN_BUDGET_SECONDS = 0.1
MAX_BUDGET_SECONDS = 7 * 86_400
# The most tries of one task that may fail; the same limit holds for tries lost with their worker.
MAX_TRIES = 100
# So often a worker may have a task without a try that counts: it gave the task back, lost it, or
# could not run it. Then the task goes to other workers.
MAX_UNPAID_TRIES = 3
# A loss beyond this is not shown: such a run diverged, and larger numbers overflow in charts.
MAX_LOSS = 1e6
# Bits per byte below this share of what a strong compressor reaches on the data are implausible …
PLAUSIBLE_SHARE = 0.5
# … but not where that is so little that the text repeats itself: a model may learn it by heart.
LEAST_BOUND_BPB = 0.2
# The most work of a run, in any unit: a whole number that every database and the script accept.
MAX_WORK = 2**31 - 1
# A larger difference than this is no difference between trained models.
MAX_MIN_EFFECT = 1_000.0
# The most seeds that each arm may run in a race that a person starts.
MAX_RACE_SEEDS = 1_000
# Characters of a stored reason: why a person or the server did something.
MAX_REASON_LENGTH = 500


class CampaignState(models.TextChoices):
    """Where a campaign is. Terminal: completed, cancelled."""

    # Described, not started; may still be changed or deleted.
    DRAFT = "draft"
    # Its tasks are handed out.
    ACTIVE = "active"
    # Hands out no tasks; running ones may finish. `state_reason` says who or what paused it.
    PAUSED = "paused"
    # Every task has ended.
    COMPLETED = "completed"
    # A person ended it; open tasks were cancelled with it.
    CANCELLED = "cancelled"


class TaskState(models.TextChoices):
    """Where a task is. Terminal: completed, failed, cancelled."""

    # Waits for a worker, from `available_at` on.
    PENDING = "pending"
    # A worker holds the lease `lease_id` until `lease_expires_at`.
    LEASED = "leased"
    # Has its one result.
    COMPLETED = "completed"
    # Out of tries; `failure_class` says why.
    FAILED = "failed"
    # Ended by a person.
    CANCELLED = "cancelled"


class TaskOrigin(models.TextChoices):
    """Who chose a task's params."""

    # The campaign's sampler, from its seed.
    SAMPLED = "sampled"
    # A person or an outside optimiser gave them.
    ENQUEUED = "enqueued"


class QueueRank(models.IntegerChoices):
    """Which of a campaign's tasks are handed out first: those with the smallest number."""

    # A race waits for all runs of a look before it decides.
    RACE = 0
    # Somebody asked for these, and may wait for them.
    ENQUEUED = 1
    SAMPLED = 2


class TaskPurpose(models.TextChoices):
    """Why a task exists. Workers are never told."""

    # The arm's first run: a first look at it.
    SCREEN = "screen"
    # A further seed of the arm: a grid or the sampler came back to it, or somebody asked for it.
    REPEAT = "repeat"
    # A run of a race between arms.
    RACE = "race"
    # The same params on the same seed once more.
    REPLAY = "replay"


class RaceOutcome(models.TextChoices):
    """How a race ended."""

    # The leader is proven ahead of every rival.
    CHAMPION = "champion"
    # The race could not tell the arms of its group apart.
    TIE = "tie"
    # No arm was left that runs on more than half of the seeds.
    NONE_FEASIBLE = "none feasible"
    # The campaign was cancelled.
    CANCELLED = "cancelled"


class BudgetKind(models.TextChoices):
    """When a run is over."""

    # After so many seconds on the clock.
    TIME = "time"
    # After so many steps; `time_budget_seconds` is only the guard.
    WORK = "work"


class WorkUnit(models.TextChoices):
    """In what the work of a run is given."""

    # Seconds on the reference: a cost model turns them into steps, config by config.
    SECONDS = "seconds"
    # The same number of steps for every config.
    STEPS = "steps"
    # Steps of batch_size * context_length tokens.
    TOKENS = "tokens"


class PackageOrigin(models.TextChoices):
    """Where a training script comes from."""

    # From the catalog of this installation.
    BUILTIN = "builtin"
    # Uploaded by a researcher; no worker gets it before an operator has approved its hash.
    UPLOADED = "uploaded"


class AttemptOutcome(models.TextChoices):
    """How an attempt ended."""

    # Has not ended.
    RUNNING = "running"
    # Brought the task's result.
    COMPLETED = "completed"
    # Brought the task's result, which is that the loss became NaN or infinite.
    DIVERGED = "diverged"
    # Brought no usable result; `failure_class` says why.
    FAILED = "failed"
    # The lease ran out; the worker may still come back with a result.
    LOST = "lost"
    # The worker gave the task back unrun.
    RELEASED = "released"
    # A person cancelled the task while it ran.
    CANCELLED = "cancelled"
    # Came back with a result after another attempt or a person had decided the task.
    LATE = "late"


class ChangeSubject(models.TextChoices):
    """What a row of the journal is about."""

    CAMPAIGN = "campaign"
    TASK = "task"
    ATTEMPT = "attempt"


class ActorKind(models.TextChoices):
    """Who changed a state."""

    # Somebody with an account, or at the server's command line.
    PERSON = "person"
    # An agent, or a person's own program that asks for tasks.
    WORKER = "worker"
    # The server itself: a sweep, a breaker.
    SYSTEM = "system"


class FailureClass(models.TextChoices):
    """Why an attempt failed; the words of the wire protocol, with labels for pages."""

    LOST = WireFailureClass.LOST, "worker lost"
    SCRIPT_ERROR = WireFailureClass.SCRIPT_ERROR, "script error"
    NO_JSON = WireFailureClass.NO_JSON, "no result line"
    INVALID_RESULT = WireFailureClass.INVALID_RESULT, "invalid result"
    TIMEOUT = WireFailureClass.TIMEOUT, "timeout"
    OOM = WireFailureClass.OOM, "out of memory"
    DISK_FULL = WireFailureClass.DISK_FULL, "disk full"
    OUTPUT_FLOOD = WireFailureClass.OUTPUT_FLOOD, "output flood"
    ENV_ERROR = WireFailureClass.ENV_ERROR, "worker environment"
    REFUSED = WireFailureClass.REFUSED, "refused by the worker"
    TOO_SLOW = WireFailureClass.TOO_SLOW, "too slow"
