"""How many queries a submission costs, under either budget."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from campaigns import lifecycle
from campaigns.models import Attempt, Campaign
from tests.factories import active_campaign, at, claim_one, completed, work_campaign, worker
from workers.protocol import Submission

pytestmark = pytest.mark.django_db


def submit(attempt: Attempt, body: Submission) -> None:
    lifecycle.submit(attempt.worker, attempt.lease_id, body, now=at(10))


def test_a_submission_costs_few_queries(
    django_assert_max_num_queries: Any, django_capture_on_commit_callbacks: Any
) -> None:
    active_campaign(3)
    holder = worker()
    first, second = (claim_one(holder) for _ in range(2))
    first.worker = second.worker = holder
    # The first result of a worker makes its class, which is known after the commit.
    with django_capture_on_commit_callbacks(execute=True):
        submit(first, completed(first.task))
    # Lock and read the lease, read what earlier steps took, move task and attempt, store the
    # result, finish the campaign.
    with django_assert_max_num_queries(17):
        submit(second, completed(second.task))


@pytest.mark.parametrize("make", [active_campaign, work_campaign])
def test_a_submission_reads_nothing_twice_whatever_the_budget(
    make: Callable[[int], Campaign],
    django_assert_num_queries: Any,
    django_capture_on_commit_callbacks: Any,
) -> None:
    make(4)
    holder = worker()
    *earlier, last = [claim_one(holder) for _ in range(3)]
    last.worker = holder
    with django_capture_on_commit_callbacks(execute=True):
        for attempt in earlier:
            submit(attempt, completed(attempt.task, train_seconds=1.0))
    # Lock the lease and read it; write task, result, attempt and journal; the worker's pause, the
    # campaign's revision, races, open tasks and webhooks; around the writing a savepoint.
    with django_assert_num_queries(11 + 2):
        submit(last, completed(last.task, train_seconds=1.0))
