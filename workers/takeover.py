"""Which of several agents with one worker's token claims: the one that began to claim last.

A token that was copied, or a second service on the machine, starts another agent with the same
worker. Both would claim, and each would hold leases that the other does not know.
"""

from __future__ import annotations

import datetime as dt
import uuid

from workers.lifecycle import WorkerError
from workers.models import Worker, WorkerSession


class WorkerInUse(WorkerError):
    """An agent that started later works with this worker's token; this one gets no more tasks."""


def take_over(worker: Worker, boot_id: uuid.UUID, *, now: dt.datetime) -> None:
    """Let only this start of an agent claim for the worker from now on.

    Call it in a transaction that has locked the worker's row, after `lifecycle.see` stored the
    session. Raises WorkerInUse for a start that claimed before and was taken over since.
    """
    if worker.claiming_boot == boot_id:
        return
    session = WorkerSession.objects.filter(worker=worker, boot_id=boot_id)
    # A start that has claimed and is not the worker's any more was taken over.
    if not session.filter(claimed_at=None).update(claimed_at=now):
        raise WorkerInUse
    Worker.objects.filter(pk=worker.pk).update(claiming_boot=boot_id)
    worker.claiming_boot = boot_id
