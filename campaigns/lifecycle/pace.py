"""Which heartbeat interval the answer to a worker's heartbeat tells it.

The longer lease comes before the longer interval: an agent that waits longer holds no lease that
lasts only for the shorter interval. The other way round the shorter interval is told first, and
leases last long until the next heartbeat.
"""

from __future__ import annotations

import datetime as dt

from django.db import transaction
from django.db.models import F, Value
from django.db.models.functions import Greatest, Least

from campaigns.models import Task, TaskState
from workers import fleet_size
from workers import lifecycle as worker_lifecycle
from workers.models import Worker
from workers.pace import Pace


def next_pace(worker: Worker, *, now: dt.datetime) -> Pace:
    """Return the pace to tell a worker whose heartbeat has renewed its leases; store it first.

    Call it after the renewals, outside of a transaction, with the worker as read before them. A
    longer lease time is granted to all that the worker holds, also to what the heartbeat did not
    name; while another transaction holds one of these tasks, the pace stays as it is.
    """
    pace = worker.pace
    # People's own programs may take the interval of their ask for good.
    if worker.is_program or (wanted := fleet_size.fleet_pace(now).nearest(pace)) == pace:
        return pace
    # One transaction: claims, which lock the worker first, see the new lease time with the renewed
    # leases, or neither.
    with transaction.atomic():
        Worker.objects.select_for_update(no_key=True).get(pk=worker.pk)
        if wanted.lease_seconds > pace.lease_seconds and not _renew_all(worker, wanted, now):
            return pace
        worker_lifecycle.note_pace(worker, wanted)
    return wanted


def _renew_all(worker: Worker, pace: Pace, now: dt.datetime) -> bool:
    """Renew all leases of the worker that have not run out; return False if one is locked."""
    leased = Task.objects.filter(worker=worker, state=TaskState.LEASED)
    # Not waiting for locks: whoever holds one may wait for another task of this worker.
    locked = list(leased.select_for_update(no_key=True, skip_locked=True).values_list("pk"))
    if len(locked) < leased.count():
        return False
    leased.filter(lease_expires_at__gte=now).update(
        lease_expires_at=Least(
            F("deadline_at"), Greatest(F("lease_expires_at"), Value(now + pace.lease_time))
        )
    )
    return True
