"""campaigns.standings.task_counts: the incremental count equals a full count."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from campaigns import lifecycle
from campaigns.models import Campaign, TaskState
from campaigns.standings.task_counts import failed_by_class, tasks_by_state
from tests.factories import active_campaign, at, campaign, claim_one, fail, run, worker
from workers.protocol import FailureClass

pytestmark = pytest.mark.django_db


def _counted_one_by_one(observed: Campaign) -> dict[str, int]:
    return dict.fromkeys(TaskState.values, 0) | Counter(
        observed.tasks.values_list("state", flat=True)
    )


def _counted(observed: Campaign) -> dict[str, int]:
    return tasks_by_state(Campaign.objects.get(pk=observed.pk))


def test_counts_follow_every_change_of_state() -> None:
    observed = campaign(task_count=6, max_failed_attempts=1)
    assert set(_counted(observed).values()) == {0}
    lifecycle.launch(observed, now=at(0))
    by = worker()

    def claim_and_wait_for_its_end() -> None:
        claim_one(by, now=at(10))
        assert _counted(observed) == _counted_one_by_one(observed)
        lifecycle.expire(now=at(10_000))

    def release_what_another_claims() -> None:
        # The worker that lost a task gets none for a while.
        attempt = claim_one(worker(), now=at(10_002))
        lifecycle.release(attempt.worker, attempt.lease_id, now=at(10_003))

    changes = [
        lambda: run(3.0, seconds=1),
        lambda: fail(claim_one(worker(), now=at(2)), FailureClass.TIMEOUT, now=at(3)),
        lambda: lifecycle.retry_task(observed.tasks.filter(state="failed")[0], now=at(4)),
        lambda: lifecycle.cancel_task(observed.tasks.filter(state="pending")[0], now=at(5)),
        claim_and_wait_for_its_end,
        lambda: lifecycle.add_tasks(observed, 3, now=at(10_001)),
        release_what_another_claims,
        lambda: lifecycle.cancel(observed, now=at(10_004)),
    ]
    for change in changes:
        change()
        # Twice: the second count starts from what the first has cached.
        assert _counted(observed) == _counted_one_by_one(observed)
        assert _counted(observed) == _counted_one_by_one(observed)


def test_an_end_is_seen_though_its_process_died_before_moving_the_revision() -> None:
    observed = active_campaign(3)
    run(3.0, seconds=1)
    before = Campaign.objects.get(pk=observed.pk).revision
    assert _counted(observed)["completed"] == 1
    run(3.1, seconds=2)
    Campaign.objects.filter(pk=observed.pk).update(revision=before)

    assert _counted(observed) == _counted_one_by_one(observed)
    assert _counted(observed)["completed"] == 2


@pytest.mark.parametrize("tasks", [3, 30], ids=["", "with runs kept for a race"])
def test_ended_tasks_are_not_counted_again_at_the_next_look(
    django_assert_num_queries: Any, tasks: int
) -> None:
    active_campaign(tasks, races_automatically=True)
    run(3.0, seconds=1)
    observed = Campaign.objects.get()
    first = tasks_by_state(observed)
    with django_assert_num_queries(1) as captured:
        assert tasks_by_state(observed) == first
    (query,) = captured.captured_queries
    assert "completed" not in query["sql"]


def test_failed_tasks_are_counted_by_class_most_frequent_first() -> None:
    observed = active_campaign(4, max_failed_attempts=1)
    for number, kind in enumerate([FailureClass.OOM, FailureClass.TIMEOUT, FailureClass.TIMEOUT]):
        fail(claim_one(worker(), now=at(number)), kind, now=at(number))
    assert list(failed_by_class(observed).items()) == [("timeout", 2), ("oom", 1)]
