"""Leases that workers hold: made in bulk, renewed, overdue, taken back."""

import time
import uuid

from copied_rows import copy_tasks

EXPERIMENT = "train_char_lm"
DATASET = "tinyshakespeare"
# A claim hands out no more.
MOST_CLAIMED = 64


def hold(*, prefix: str, count: int, lease_seconds: float) -> list[list[str]]:
    """Let each of these workers hold so many leases, renewed now; return their ids by worker.

    One worker claims some by the verb; the others are copies, which then go to all workers. The
    runs may take two hours. Other campaigns are paused meanwhile: the claim must have none of
    their tasks.
    """
    from campaigns import lifecycle
    from campaigns.clock import database_now
    from campaigns.lifecycle import CampaignSpec
    from campaigns.models import Campaign, CampaignState, Task
    from workers.models import Worker

    rows = list(Worker.objects.filter(name__startswith=f"{prefix}-").order_by("pk"))
    base = min(MOST_CLAIMED, count * len(rows))
    others = list(Campaign.objects.filter(state=CampaignState.ACTIVE))
    for other in others:
        lifecycle.pause(other, now=database_now())
    spec = CampaignSpec(
        name=f"held by {prefix}",
        experiment=EXPERIMENT,
        dataset=DATASET,
        task_count=base,
        time_budget_seconds=7_200.0,
        max_lost_attempts=50,
        races_automatically=False,
    )
    made = lifecycle.create_campaign(spec, owner=None, now=database_now())
    lifecycle.launch(made, now=database_now())
    claim = lifecycle.claim(rows[0], claim_id=uuid.uuid4(), count=base, now=database_now())
    assert len(claim.attempts) == base, claim.reason
    copy_tasks(made.pk, -(-count * len(rows) // base) - 1)
    for other in others:
        lifecycle.resume(other, now=database_now())
    leases = list(
        Task.objects.filter(campaign=made)
        .order_by("pk")
        .values_list("pk", "lease_id")[: count * len(rows)]
    )
    # More copies than wanted stay with the worker that claimed.
    _give([pk for pk, _ in leases], [row.pk for row in rows for _ in range(count)], lease_seconds)
    ids = [str(lease_id) for _, lease_id in leases]
    return [ids[place * count : (place + 1) * count] for place in range(len(rows))]


def _give(tasks: list[int], workers: list[int], lease_seconds: float) -> None:
    """Give each leased task to the worker in the same place, and renew its lease."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE campaigns_task SET worker_id = new.worker, lease_expires_at = "
            "clock_timestamp() + %s * interval '1 s' "
            "FROM unnest(%s::bigint[], %s::bigint[]) AS new(task, worker) WHERE id = new.task",
            [lease_seconds, tasks, workers],
        )
        cursor.execute(
            "UPDATE campaigns_attempt SET worker_id = new.worker "
            "FROM unnest(%s::bigint[], %s::bigint[]) AS new(task, worker) "
            "WHERE task_id = new.task AND outcome = 'running'",
            [tasks, workers],
        )


def renew(*, lease_ids: list[str], seconds: list[float]) -> None:
    """Let each lease last for so many seconds from now."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE campaigns_task SET lease_expires_at = "
            "clock_timestamp() + new.seconds * interval '1 s' "
            "FROM unnest(%s::uuid[], %s::float8[]) AS new(lease, seconds) "
            "WHERE lease_id = new.lease",
            [lease_ids, seconds],
        )


def sweep(*, most: int = 500) -> int:
    """Take back overdue leases, as the background job does; return how many."""
    from campaigns import lifecycle
    from campaigns.clock import database_now

    return int(lifecycle.expire(now=database_now(), limit=most))


def let_run_out() -> int:
    """Let every lease be overdue; return how many there are."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE campaigns_task SET lease_expires_at = clock_timestamp() - interval '1 s' "
            "WHERE state = 'leased'"
        )
        return int(cursor.rowcount)


def expire_all(*, most_seconds: float) -> int:
    """Take back overdue leases until none is left, or the time is up; return how many."""
    end, total = time.monotonic() + most_seconds, 0
    while (moved := sweep()) and time.monotonic() < end:
        total += moved
    return total + moved
