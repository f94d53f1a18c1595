"""The transition tables as data: from which states each verb starts, and where it may lead.

The verbs of a campaign read their row here. The verbs of a task have their guard in their own
UPDATE, because it also guards the lease; a test compares every pair of state and verb with the row.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Q
from django.db.models.expressions import Combinable

from campaigns.models import CampaignState, TaskState


@dataclass(frozen=True)
class Transition:
    """From any of `sources` to one of `targets`; anything else is refused."""

    sources: frozenset[str]
    targets: frozenset[str]


def _transition(sources: set[str], *targets: str) -> Transition:
    return Transition(frozenset(sources), frozenset(targets))


_DRAFT, _ACTIVE, _PAUSED = CampaignState.DRAFT, CampaignState.ACTIVE, CampaignState.PAUSED
_PENDING, _LEASED = TaskState.PENDING, TaskState.LEASED

CAMPAIGN_TRANSITIONS: Final = {
    "launch": _transition({_DRAFT}, _ACTIVE),
    "pause": _transition({_ACTIVE}, _PAUSED),
    "resume": _transition({_PAUSED}, _ACTIVE),
    "cancel": _transition({_DRAFT, _ACTIVE, _PAUSED}, CampaignState.CANCELLED),
    # More tasks: a completed campaign runs again.
    "grow": _transition({_ACTIVE, _PAUSED, CampaignState.COMPLETED}, _ACTIVE, _PAUSED),
    # Only when no task is open, no race runs or is due, and nobody will ask again.
    "finish": _transition({_ACTIVE, _PAUSED}, CampaignState.COMPLETED),
    # Completed: it only waited for a race that was switched off.
    "set_race_options": _transition(
        {_DRAFT, _ACTIVE, _PAUSED}, _DRAFT, _ACTIVE, _PAUSED, CampaignState.COMPLETED
    ),
}

TASK_TRANSITIONS: Final = {
    "claim": _transition({_PENDING}, _LEASED),
    "renew": _transition({_LEASED}, _LEASED),
    "release": _transition({_LEASED}, _PENDING),
    "expire": _transition({_LEASED}, _PENDING, TaskState.FAILED),
    # Pending too: the lease ran out, and no worker has taken the task since.
    "submit_result": _transition({_LEASED, _PENDING}, TaskState.COMPLETED),
    "submit_failure": _transition({_LEASED}, _PENDING, TaskState.FAILED),
    # Nobody is fast enough for its work.
    "give_up": _transition({_PENDING}, TaskState.FAILED),
    "cancel_task": _transition({_PENDING, _LEASED}, TaskState.CANCELLED),
    "retry_task": _transition({TaskState.FAILED}, _PENDING),
}

# The columns that only a leased task has, with their values in every other state.
NO_LEASE: Final[dict[str, Any]] = {
    "lease_id": None,
    "worker": None,
    "lease_expires_at": None,
    "deadline_at": None,
}


def held_by(lease_id: Any) -> Q:
    """Return the condition under which a lease holds its task; the lease may be an expression."""
    return Q(state=TaskState.LEASED, lease_id=lease_id)


def completion(now: dt.datetime | Combinable) -> dict[str, Any]:
    """Return what a result sets of its task."""
    return {
        "state": TaskState.COMPLETED,
        "finished_at": now,
        "failure_class": "",
        **NO_LEASE,
    }


def return_to_queue(now: dt.datetime | Combinable) -> dict[str, Any]:
    """Return what a release sets of its task."""
    return {"state": TaskState.PENDING, "available_at": now, **NO_LEASE}
