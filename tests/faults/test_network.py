"""Network faults between agents and two web servers: no result is lost or counts twice.

Real servers and agents on PostgreSQL, as in production. No q-cluster runs, so only claims take back
expired leases here.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from campaigns.clock import database_now
from campaigns.models import Attempt, AttemptOutcome, Result, Task, TaskState
from tests.chaos.proxy import Fault
from tests.chaos.services import SHORT_TIMES
from tests.chaos.stack import ENOUGH_SECONDS, Stack, claim, result_of
from tests.chaos.work import make_campaign
from tests.processes import wait_until
from workers.agent.connection.client import Client, RequestRefused, ServerUnavailable
from workers.protocol import ErrorCode, Verdict

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.postgresql_only,
    pytest.mark.long,
]

WEB_SERVERS = 2
LEASE_SECONDS = float(SHORT_TIMES["XEENET_LEASE_SECONDS"])
LOST_ON_THE_WAY = [Fault.DROP_REQUEST, Fault.CUT_REPLY, Fault.HALF_REPLY]


def until_answered(call: Callable[[], Any], tries: int = 2) -> Any:
    """Retry after ServerUnavailable, as the outbox does, but without its waits."""
    for _ in range(tries - 1):
        try:
            return call()
        except ServerUnavailable:
            continue
    return call()


def test_a_hundred_results_whose_first_answer_is_lost_are_each_accepted_once(stack: Stack) -> None:
    make_campaign(100)
    clients = [stack.client("first"), stack.client("second")]  # a worker may hold 64 leases
    leases = [(client, lease) for client in clients for lease in claim(client, 50)]
    stack.proxy.break_next("/result", Fault.CUT_REPLY, times=100)
    for client, lease in leases:
        with pytest.raises(ServerUnavailable):
            client.submit(lease["lease_id"], result_of(lease))
    assert Result.objects.count() == 100  # committed, although no client got an answer
    for client, lease in leases:
        assert client.submit(lease["lease_id"], result_of(lease))["verdict"] == Verdict.ACCEPTED
    assert Result.objects.count() == 100
    assert set(Task.objects.values_list("state", flat=True)) == {TaskState.COMPLETED}


@pytest.mark.parametrize("fault", LOST_ON_THE_WAY, ids=lambda fault: fault.name.lower())
def test_a_claim_that_breaks_on_the_way_brings_its_leases_the_next_time(
    stack: Stack, fault: Fault
) -> None:
    make_campaign(6)
    client, claim_id = stack.client("steady"), str(uuid.uuid4())
    stack.proxy.break_next("/leases/claim", fault)
    leases = until_answered(lambda: claim(client, 3, claim_id))
    assert len(leases) == 3
    assert Attempt.objects.count() == 3
    assert {lease["lease_id"] for lease in claim(client, 3, claim_id)} == {
        lease["lease_id"] for lease in leases
    }


@pytest.mark.parametrize("fault", LOST_ON_THE_WAY, ids=lambda fault: fault.name.lower())
def test_a_result_a_heartbeat_and_a_release_may_each_break_on_the_way_and_come_again(
    stack: Stack, fault: Fault
) -> None:
    make_campaign(2)
    client = stack.client("steady")
    finished, returned = claim(client, 2)
    stack.proxy.break_next("/", fault)
    beat = {"boot_id": str(uuid.uuid4()), "leases": [{"lease_id": finished["lease_id"]}]}
    answers = until_answered(lambda: client.heartbeat(beat))["leases"]
    assert [answer["answer"] for answer in answers] == ["continue"]
    stack.proxy.break_next("/", fault)
    body = result_of(finished)
    reply = until_answered(lambda: client.submit(finished["lease_id"], body))
    assert reply["verdict"] == Verdict.ACCEPTED
    stack.proxy.break_next("/", fault)
    until_answered(lambda: client.release(returned["lease_id"], "not today"))
    outcomes = Attempt.objects.order_by("task__number").values_list("outcome", flat=True)
    assert set(outcomes) == {AttemptOutcome.COMPLETED, AttemptOutcome.RELEASED}


def test_of_fifty_submissions_at_once_to_two_servers_one_is_stored_and_equals_agree(
    stack: Stack,
) -> None:
    make_campaign(1)
    client = stack.client("steady")
    (lease,) = claim(client)
    bodies = [result_of(lease, train_loss=2.0 + number % 2) for number in range(50)]

    def submit(number: int) -> str:
        try:
            return client.submit(lease["lease_id"], bodies[number])["verdict"]
        except RequestRefused as refused:
            return refused.code

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(submit, range(50)))
    stored = int(Result.objects.get().train_loss - 2.0)
    by_body = {number % 2: answers[number] for number in range(50)}
    assert by_body == {stored: Verdict.ACCEPTED, 1 - stored: ErrorCode.RESULT_CONFLICT}
    assert Counter(answers) == {Verdict.ACCEPTED: 25, ErrorCode.RESULT_CONFLICT: 25}


def test_results_that_found_no_server_arrive_although_their_agents_were_killed_meanwhile(
    stack: Stack,
) -> None:
    make_campaign(3)
    stack.proxy.break_next("/result", Fault.DROP_REQUEST, times=1_000_000)
    fleet = stack.start_fleet("patient", agents=3, simulate=True)
    wait_until(lambda: fleet.waiting_results() == 3, "three results on disk", ENOUGH_SECONDS)
    stack.proxy.refuse()
    fleet.kill()
    measured = set(Attempt.objects.values_list("lease_id", flat=True))
    assert Result.objects.count() == 0
    fleet.start()
    wait_until(lambda: "of a former start" in fleet.log_text(), "the next start", ENOUGH_SECONDS)
    stack.proxy.heal()
    wait_until(lambda: fleet.waiting_results() == 0, "empty outboxes", ENOUGH_SECONDS)
    handed_in = Attempt.objects.filter(lease_id__in=measured).exclude(submission_digest="")
    assert handed_in.count() == 3
    done = Task.objects.filter(state=TaskState.COMPLETED)
    wait_until(lambda: done.count() == 3, "three results", ENOUGH_SECONDS)


def test_what_a_frozen_agent_hands_in_after_another_took_over_is_kept_and_moves_nothing(
    stack: Stack,
) -> None:
    make_campaign(1)
    hold = stack.proxy.hold_next("/result", Fault.HOLD_REQUEST)
    frozen = stack.start_fleet("frozen", simulate=True)
    assert hold.reached.wait(ENOUGH_SECONDS)  # the result is measured, on disk and on its way
    frozen.freeze()
    heir = stack.client("heir")
    (lease,) = poll_until_leased(heir)
    body = result_of(lease, train_loss=1.25)
    assert heir.submit(lease["lease_id"], body)["verdict"] == Verdict.ACCEPTED
    hold.drop()
    frozen.thaw()
    handed_in = Attempt.objects.exclude(submission_digest="")
    wait_until(lambda: handed_in.count() == 2, "the late result", ENOUGH_SECONDS)
    late = Attempt.objects.get(outcome=AttemptOutcome.LATE)
    assert late.submission["metrics"]["seed"] == lease["config"]["seed"]
    assert (Result.objects.get().train_loss, Result.objects.get().is_ranked) == (1.25, True)


def test_a_killed_agents_task_is_had_by_the_first_who_asks_after_its_lease(stack: Stack) -> None:
    make_campaign(1, params={"behaviour": "wait", "gate": "/never"})
    victim, heir = stack.start_fleet("victim"), stack.client("heir")
    wait_until(lambda: " runs: " in victim.log_text(), "a running script", ENOUGH_SECONDS)
    victim.kill()
    killed_at = database_now()
    expires_at = Task.objects.get().lease_expires_at
    assert expires_at is not None
    waits = [0.0]
    while True:
        claimed_at, started_at = database_now(), time.monotonic()
        reply = ask(heir)
        if reply["leases"]:
            break
        assert claimed_at <= expires_at, "a claim after the lease's end got nothing"
        time.sleep(reply["wait_seconds"])  # the wait that the server requests
        waits.append(time.monotonic() - started_at)
    assert len(waits) > 1, "the lease had expired before the first claim"
    waits.append(waits[-1] + time.monotonic() - started_at)  # add the time of the last request
    second = Attempt.objects.get(number=2)
    assert (second.started_at - killed_at).total_seconds() <= LEASE_SECONDS + max(waits)
    assert Attempt.objects.get(number=1).outcome == AttemptOutcome.LOST


@pytest.mark.parametrize("what", ["packages", "datasets"])
def test_a_task_whose_files_cannot_be_fetched_goes_back_and_its_worker_is_not_blamed(
    stack: Stack, what: str
) -> None:
    make_campaign(1)
    stack.proxy.break_next(f"/{what}/", Fault.DROP_REQUEST, times=4)  # all tries of a download
    stack.start_fleet(f"without-{what}")
    done = Task.objects.filter(state=TaskState.COMPLETED)
    wait_until(done.exists, "the result of the next attempt", ENOUGH_SECONDS)
    first, second = Attempt.objects.order_by("number")
    assert (first.outcome, second.outcome) == (AttemptOutcome.RELEASED, AttemptOutcome.COMPLETED)
    assert first.message.startswith("the server did not deliver the task's files: ")
    worker = first.worker
    assert (worker.paused_until, worker.consecutive_env_errors) == (None, 0)
    task = Task.objects.get()
    assert (task.failed_attempts, task.lost_attempts) == (0, 0)


def ask(client: Client) -> Any:
    """Claim one task; return the whole reply."""
    return client.claim(
        {
            "claim_id": str(uuid.uuid4()),
            "boot_id": str(uuid.uuid4()),
            "count": 1,
            "simulate": False,
        }
    )


def poll_until_leased(client: Client) -> Any:
    """Claim as often as the server says, until there is a task; return its lease in a list."""
    end = time.monotonic() + ENOUGH_SECONDS
    while not (reply := ask(client))["leases"]:
        assert time.monotonic() < end, reply["reason"]
        time.sleep(reply["wait_seconds"])
    return reply["leases"]
