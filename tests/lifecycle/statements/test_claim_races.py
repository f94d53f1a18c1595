"""Claims by statements under real concurrency: each thread has its own connection."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db.models import Value

from campaigns import lifecycle
from campaigns.lifecycle.statements import claim_moves, claim_worker
from campaigns.lifecycle.statements.claim import claim
from campaigns.models import Attempt, Task
from tests import invariants
from tests.concurrency import closing, in_parallel, wait_until_blocked
from tests.factories import active_campaign, at, worker
from tests.lifecycle.statements.random_history import Agent, new_agent, settle
from workers.models import Worker, WorkerQuerySet

pytestmark = pytest.mark.django_db(transaction=True)
Body = dict[str, Any]


def settled(name: str) -> tuple[Agent, str]:
    """Return an agent that has claimed before, and the hash of its token."""
    agent = new_agent(name)
    settle(agent)
    return agent, Worker.objects.get(pk=agent.worker.pk).token_hash


def leases(token: str, agent: Agent, body: Body) -> tuple[list[uuid.UUID], bool]:
    """Claim by statement, else through the verb; return the leases, and whether it was taken."""
    taken = claim(token, body, now=at(10))
    if taken is not None:
        return [attempt.lease_id for attempt in taken.claim.attempts], True
    wants = {name: body[name] for name in ("claim_id", "count", "boot_id")}
    answer = lifecycle.claim(agent.worker, slots=body.get("slots"), now=at(10), **wants)
    return [attempt.lease_id for attempt in answer.attempts], False


def test_claims_by_statement_and_verb_at_once_never_get_the_same_task() -> None:
    active_campaign(40)
    agents = [settled(f"w{number}") for number in range(4)]

    def claim_until_empty(agent: Agent, token: str) -> list[uuid.UUID]:
        got: list[uuid.UUID] = []
        while found := leases(token, agent, agent.claim(uuid.uuid4(), 3))[0]:
            got += found
        return got

    def claim_by_verb() -> list[uuid.UUID]:
        by, got = worker(), []
        while found := lifecycle.claim(by, claim_id=uuid.uuid4(), count=3, now=at(10)).attempts:
            got += [attempt.lease_id for attempt in found]
        return got

    calls = [lambda pair=pair: claim_until_empty(*pair) for pair in agents]
    got = [lease for each in in_parallel([*calls, claim_by_verb, claim_by_verb]) for lease in each]
    assert len(got) == len(set(got)) == Attempt.objects.count()
    assert max(Counter(Attempt.objects.values_list("task", flat=True)).values()) == 1
    invariants.check()


def test_parallel_repetitions_of_one_claim_bring_the_same_leases() -> None:
    active_campaign(20)
    agent, token = settled("w")
    body = agent.claim(uuid.uuid4(), 3)
    answers = in_parallel([lambda: leases(token, agent, body)] * 8)
    first = answers[0][0]
    assert len(first) == 3
    assert all(lease_ids == first for lease_ids, _ in answers)
    assert sum(taken for _, taken in answers) <= 1
    assert Attempt.objects.count() == 3


def while_writing(monkeypatch: pytest.MonkeyPatch, act: Callable[[], Any]) -> None:
    """Let the first claim do `act` when it has locked its tasks, and has written nothing."""
    write, is_first = claim_moves.write, [True]

    def write_later(*arguments: Any) -> bool:
        if is_first.pop() if is_first else False:
            act()
        return write(*arguments)

    monkeypatch.setattr(claim_moves, "write", write_later)


@pytest.mark.postgresql_only
def test_a_worker_that_claims_twice_at_once_never_holds_more_than_it_can(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    active_campaign(4)
    agent, token = settled("w")
    agent.slots = 1
    Worker.objects.update(slots=1)
    others: list[Any] = []
    by_verb = ThreadPoolExecutor(1)

    def claim_again() -> None:
        with ThreadPoolExecutor(1) as pool:
            body = agent.claim(uuid.uuid4(), 1)
            again = closing(lambda: claim(token, body, now=at(10)))
            assert pool.submit(again).result(timeout=60) is None, "it does not wait"
        body = agent.claim(uuid.uuid4(), 1)
        others.append(by_verb.submit(closing(lambda: leases(token, agent, body))))
        wait_until_blocked(others[0])

    while_writing(monkeypatch, claim_again)
    assert len(leases(token, agent, agent.claim(uuid.uuid4(), 1))[0]) == 1
    assert others[0].result(timeout=60) == ([], False), "the verb waited, and counted"
    by_verb.shutdown()
    assert Task.objects.filter(state="leased").count() == 1


@pytest.mark.postgresql_only
def test_a_claim_does_not_wait_for_tasks_that_another_is_about_to_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    active_campaign(2)
    (first, token), (second, token_of_second) = settled("first"), settled("second")
    got: list[Any] = []

    def claim_beside() -> None:
        body = second.claim(uuid.uuid4(), 2)
        with ThreadPoolExecutor(1) as pool:
            call = closing(lambda: leases(token_of_second, second, body))
            got.append(pool.submit(call).result(timeout=60))

    while_writing(monkeypatch, claim_beside)
    assert len(leases(token, first, first.claim(uuid.uuid4(), 1))[0]) == 1
    ((found, was_taken),) = got
    assert (len(found), was_taken) == (1, True)


@pytest.mark.postgresql_only
def test_the_index_holds_a_repetition_even_without_the_workers_lock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both claims have locked other tasks and seen no repetition before either writes."""

    def always_alone(workers: WorkerQuerySet) -> WorkerQuerySet:
        return workers.annotate(is_alone=Value(True))

    monkeypatch.setattr(claim_worker, "claiming_if_alone", always_alone)
    claim_worker._reading.cache_clear()
    active_campaign(4)
    agent, token = settled("w")
    body = agent.claim(uuid.uuid4(), 2)
    write, both = claim_moves.write, threading.Barrier(2)

    def write_together(*arguments: Any) -> bool:
        both.wait(timeout=60)
        return write(*arguments)

    monkeypatch.setattr(claim_moves, "write", write_together)
    try:
        first, second = in_parallel([lambda: leases(token, agent, body)] * 2)
    finally:
        claim_worker._reading.cache_clear()
    assert first[0] == second[0]
    assert {first[1], second[1]} == {True, False}, "one was left to the verb"
    assert Attempt.objects.count() == 2
    invariants.check()
