"""Claims by statements: the same rows and answers as the verb, and who is left to it."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from campaigns import lifecycle
from campaigns.answers.leases import claim_reply
from campaigns.lifecycle.charges import CHARGES
from campaigns.lifecycle.statements import claim_tasks
from campaigns.lifecycle.statements.claim import Claimed, claim
from campaigns.models import Attempt, Share, Task
from tests import factories, invariants
from tests.factories import active_campaign, at, work_campaign
from tests.fleets import fleet_token, fleet_worker
from tests.lifecycle.statements import agent_calls, same_rows
from tests.lifecycle.statements.agent_calls import Call
from tests.lifecycle.statements.random_history import Agent, new_agent, settle
from workers import fleets
from workers import lifecycle as worker_lifecycle
from workers.models import Calibration, Worker
from workers.protocol import FailureClass

pytestmark = pytest.mark.django_db
SLOW = {"machine": "slow"}


def by_statement(call: Call) -> Any:
    claimed = claim(call.token_hash, call.body, now=call.now)
    return None if claimed is None else agent_calls.reply_to_claim(claimed.claim, call)


def settled(name: str | Worker = "known", **tells: Any) -> Agent:
    """Return an agent that has claimed before."""
    agent = new_agent(name, **tells)
    settle(agent)
    return agent


def token_hash(agent: Agent) -> str:
    return Worker.objects.get(pk=agent.worker.pk).token_hash


def claimed(agent: Agent, count: int = 1, *, seconds: float = 10) -> Claimed | None:
    body = agent.claim(uuid.uuid4(), count)
    return claim(token_hash(agent), body, now=at(seconds))


def got(agent: Agent, count: int = 1, *, seconds: float = 10) -> int:
    """Return how many tasks a claim by statement got; it must have been taken."""
    answer = claimed(agent, count, seconds=seconds)
    assert answer is not None, "left to the verb"
    invariants.check()
    return len(answer.claim.attempts)


def statements(queries: CaptureQueriesContext) -> list[str]:
    """Return the statements without those that the test's own transaction needs."""
    # The driver does not tell the text of one that it has prepared before.
    texts = [query["sql"] or "" for query in queries.captured_queries]
    return [text for text in texts if "SAVEPOINT" not in text]


@pytest.mark.long
def test_random_histories_lead_to_the_same_rows_as_through_the_verb() -> None:
    taken = same_rows.compare({"claim": by_statement}, range(4))
    assert taken.share("claim") > 0.4


# --- what is taken --------------------------------------------------------------------------------


def test_the_answer_names_the_worker_and_the_time_and_needs_no_further_query() -> None:
    campaign, agent = active_campaign(3), settled()
    answer = claimed(agent, 2)
    assert answer is not None
    assert (answer.worker, answer.now) == (agent.worker, at(10))
    with CaptureQueriesContext(connection) as queries:
        reply = claim_reply(answer.claim, 2, answer.now)
    assert not queries.captured_queries
    assert [lease["task_number"] for lease in reply["leases"]] == [0, 1]
    stored = list(campaign.tasks.filter(state="leased").order_by("number"))
    assert [lease["lease_id"] for lease in reply["leases"]] == [str(t.lease_id) for t in stored]
    assert [attempt.pk for attempt in answer.claim.attempts] == [
        task.attempts.get().pk for task in stored
    ]


def test_without_a_time_the_clock_of_the_database_tells_it() -> None:
    active_campaign(1)
    agent = settled()
    before = factories.dt.datetime.now(factories.dt.UTC)
    answer = claim(token_hash(agent), agent.claim(uuid.uuid4(), 1))
    assert answer is not None
    assert abs(answer.now - before) < factories.dt.timedelta(minutes=1)
    assert answer.claim.attempts[0].started_at == answer.now


@pytest.mark.postgresql_only
@pytest.mark.parametrize("count", [1, 16])
def test_a_claim_is_four_statements_for_any_number_of_tasks(count: int) -> None:
    active_campaign(20)
    agent = settled()
    assert got(agent) == 1  # it compiles, sweeps, and records the call
    token = token_hash(agent)
    with CaptureQueriesContext(connection) as queries:
        answer = claim(token, agent.claim(uuid.uuid4(), count), now=at(10))
    assert answer is not None
    assert len(answer.claim.attempts) == count
    assert len(statements(queries)) == 4, statements(queries)


def test_nothing_that_waits_costs_two_statements_and_writes_nothing() -> None:
    agent = settled()
    assert got(agent) == 0  # it compiles, sweeps, and records the call
    rows, token = same_rows.all_rows(), token_hash(agent)
    with CaptureQueriesContext(connection) as queries:
        answer = claim(token, agent.claim(uuid.uuid4(), 1), now=at(10))
    assert answer is not None
    assert (answer.claim.attempts, answer.claim.reason) == ([], "No task waits.")
    assert same_rows.all_rows() == rows
    assert len(statements(queries)) == 2


def test_all_kinds_of_budget_and_campaign_in_one_claim() -> None:
    active_campaign(2, time_budget_seconds=20.0)
    work_campaign(2)
    active_campaign(1, allow_simulated=True)
    active_campaign(1, required_isolation="T1")
    agent = settled("wide", isolation="T1", slots=8)
    Worker.objects.filter(pk=agent.worker.pk).update(slots=8)
    assert got(agent, 6) == 6


def test_a_calibrated_machine_gets_work_with_a_guard_of_its_own() -> None:
    work_campaign(1)
    agent = settled(calibrates=True)
    factories.calibrate(agent.worker, now=at(0))
    answer = claimed(agent)
    assert answer is not None
    (attempt,) = answer.claim.attempts
    assert answer.claim.calibrate is None
    verb = lifecycle.claim(factories.worker(), claim_id=uuid.uuid4(), count=1, now=at(10))
    assert verb.attempts == []
    assert attempt.time_budget_seconds == attempt.config["time_budget_seconds"]


def test_a_fleets_machine_gets_tasks_and_none_that_its_fleet_failed() -> None:
    _, secret = fleet_token()
    first, second = settled(fleet_worker(secret)), settled(fleet_worker(secret))
    active_campaign(1)
    assert got(first) == 1
    attempt = first.worker.attempts.get()
    factories.fail(attempt, now=at(11))
    assert got(second, seconds=16) == 0, "others come first"
    assert claimed(second, seconds=60) is None, "perhaps others are to have it"
    assert got(settled("other"), seconds=60) == 1


def test_a_task_for_other_machines_is_left() -> None:
    task = factories.pending_task()
    Task.objects.update(not_on="slow")
    assert got(settled("here", hardware=SLOW)) == 0
    assert got(settled("there", hardware={"machine": "other"})) == 1
    task.refresh_from_db()
    assert task.state == "leased"


def test_an_agent_that_ends_soon_gets_what_it_can_finish() -> None:
    active_campaign(1, time_budget_seconds=100.0)
    work_campaign(1)  # no speed is known, so its guard is long
    active_campaign(1, time_budget_seconds=20.0)
    agent = settled("short", longest_seconds=60.0)
    answer = claimed(agent, 3)
    assert answer is not None
    (attempt,) = answer.claim.attempts
    assert attempt.budget_seconds == 20.0
    assert answer.claim.reason


def test_a_full_worker_is_told_so_and_a_claim_for_more_than_fits_gets_what_fits() -> None:
    active_campaign(4)
    agent = settled("wide", slots=2)
    Worker.objects.filter(pk=agent.worker.pk).update(slots=2)
    answer = claimed(agent, 3)
    assert answer is not None
    assert len(answer.claim.attempts) == 2
    full = "This worker holds 2 leases, and 2 is its bound"
    assert answer.claim.reason.startswith(full)
    answer = claimed(agent)
    assert answer is not None
    assert (answer.claim.attempts, answer.claim.reason[: len(full)]) == ([], full)
    assert Task.objects.filter(state="leased").count() == 2


def test_the_reason_for_nothing_is_that_of_the_verb() -> None:
    active_campaign(1, required_isolation="T1")
    agent = settled()
    answer = claimed(agent)
    assert answer is not None
    assert answer.claim.reason == (
        "The tasks that wait need isolation T1; this worker holds scripts back by T0."
    )


def test_the_order_is_that_of_the_queue_also_in_a_batch() -> None:
    first, second = active_campaign(3, now=at(0)), active_campaign(3, now=at(-5))
    Task.objects.filter(campaign=first, number=2).update(available_at=at(-9))
    answer = claimed(settled(), 5)
    assert answer is not None
    order = [(attempt.task.campaign_id, attempt.task.number) for attempt in answer.claim.attempts]
    # In turn; of each campaign the oldest first.
    assert order == [*((first.pk, n) for n in (2, 0, 1)), *((second.pk, n) for n in (0, 1))]
    assert [attempt.ordinal for attempt in answer.claim.attempts] == [0, 1, 2, 3, 4]


# --- what is left to the verb ---------------------------------------------------------------------


def _updates(**fields: Any) -> Callable[[Agent], Any]:
    return lambda agent: Worker.objects.filter(pk=agent.worker.pk).update(**fields)


def _tells(**fields: Any) -> Callable[[Agent], Any]:
    return lambda agent: agent.tells.update(fields)


def _starts_anew(agent: Agent) -> None:
    agent.boot_id = uuid.uuid4()


def _is_taken_over(agent: Agent) -> None:
    later = uuid.uuid4()
    worker_lifecycle.see(agent.worker, now=at(6), boot_id=later)
    _updates(claiming_boot=later)(agent)


def _fell_silent(agent: Agent) -> None:
    agent.worker.sessions.update(ended_at=at(7))


def _is_flagged(agent: Agent) -> None:
    factories.calibrate(agent.worker, now=at(0))
    Calibration.objects.update(flagged=True)


def _is_to_calibrate(agent: Agent) -> None:
    agent.tells["calibrates"] = True


def _was_calibrated_long_ago(agent: Agent) -> None:
    agent.tells["calibrates"] = True
    factories.calibrate(agent.worker, now=at(-7 * 3600))


def _failed_the_task(agent: Agent) -> None:
    active_campaign(1, now=at(-9))
    attempt = factories.claim_one(agent.worker, now=at(-8))
    factories.fail(attempt, now=at(-8))
    Task.objects.filter(pk=attempt.task_id).update(available_at=at(-60))


def _had_the_task_for_nothing(agent: Agent) -> None:
    active_campaign(1, now=at(-9))
    for _ in range(3):
        attempt = factories.claim_one(agent.worker, now=at(-8))
        lifecycle.release(agent.worker, attempt.lease_id, now=at(-8))


def _loses_its_fleet(agent: Agent) -> None:
    token, secret = fleet_token()
    agent.worker = fleet_worker(secret)
    settle(agent)
    fleets.revoke(token, now=at(6))


UNUSUAL: dict[str, Callable[[Agent], Any]] = {
    "disabled": _updates(state="disabled"),
    "draining": _updates(state="draining"),
    "paused": _updates(paused_until=at(11), pause_reason="its environment"),
    "after an error of its environment": _updates(consecutive_env_errors=1),
    "a new start": _starts_anew,
    "an earlier start": _is_taken_over,
    "a closed session": _fell_silent,
    "another version": _tells(agent_version="2.0"),
    "other hardware": _tells(hardware={"machine": "another", "devices": ["cuda"]}),
    "no torch any more": _tells(simulate=True),
    "another tier": _tells(isolation="T1"),
    "uploaded scripts allowed": _tells(accepts_uploaded_scripts=True),
    "other scripts": _tells(scripts=["0" * 64]),
    "any script allowed": _tells(runs_server_code=True),
    "a flagged calibration": _is_flagged,
    "no calibration": _is_to_calibrate,
    "an old calibration": _was_calibrated_long_ago,
    "a task that it failed": _failed_the_task,
    "a task that it had for nothing": _had_the_task_for_nothing,
    "a revoked fleet": _loses_its_fleet,
    "other slots": lambda agent: setattr(agent, "slots", 5),
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_the_unusual_is_left_to_the_verb_and_nothing_is_changed(name: str) -> None:
    active_campaign(1)
    work_campaign(1)
    agent = settled()
    assert got(agent, seconds=8) == 1, "it is usual before"
    UNUSUAL[name](agent)
    rows = same_rows.all_rows()
    assert claimed(agent, 3) is None
    assert same_rows.all_rows() == rows


def test_a_token_that_is_unknown_opens_nothing() -> None:
    active_campaign(1)
    assert claim("no hash of a token", settled().claim(uuid.uuid4(), 1), now=at(10)) is None


def test_a_repeated_claim_is_left_to_the_verb_also_when_nothing_waits_any_more() -> None:
    active_campaign(2)
    agent = settled()
    body = agent.claim(uuid.uuid4(), 2)
    first = claim(token_hash(agent), body, now=at(10))
    assert first is not None
    assert claim(token_hash(agent), body, now=at(11)) is None
    again = lifecycle.claim(agent.worker, claim_id=body["claim_id"], count=2, now=at(11))
    assert again.attempts == first.claim.attempts


def _second(tasks: Any) -> Any:
    return Task.objects.filter(pk=list(tasks)[1].pk)


@pytest.mark.parametrize(
    "change",
    [
        lambda _: Worker.objects.update(state="draining"),
        lambda tasks: _second(tasks).update(state="cancelled", finished_at=at(9)),
        lambda tasks: _second(tasks).update(
            state="leased",
            lease_id=uuid.uuid4(),
            worker=Worker.objects.get(),
            lease_expires_at=at(50),
            deadline_at=at(90),
        ),
    ],
    ids=["the worker drains", "a task is cancelled", "a task is leased"],
)
def test_what_changes_between_the_statements_undoes_the_whole_claim(
    change: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    active_campaign(3)
    agent = settled()
    in_turn = claim_tasks.Pick.in_turn

    def pick_and_change(*arguments: Any) -> Any:
        tasks = in_turn(*arguments)
        change(tasks)
        return tasks

    monkeypatch.setattr(claim_tasks.Pick, "in_turn", pick_and_change)
    rows = same_rows.all_rows()
    assert claimed(agent, 3) is None
    assert same_rows.all_rows() == rows, "the change is undone, too: one transaction"


@pytest.mark.postgresql_only
def test_a_task_that_cannot_be_leased_is_left_to_the_verb() -> None:
    attempt = factories.leased_task(now=at(5))
    # The next attempt's number is beyond what the column holds.
    Attempt.objects.filter(pk=attempt.pk).update(number=2**31 - 1)
    lifecycle.release(attempt.worker, attempt.lease_id, now=at(6))
    agent = settled()
    rows = same_rows.all_rows()
    assert claimed(agent) is None
    assert same_rows.all_rows() == rows


def test_what_the_worker_failed_is_left_out_by_class() -> None:
    work_campaign(2)
    agent = settled()
    assert got(agent, seconds=8) == 1
    factories.fail(agent.worker.attempts.get(), FailureClass.TOO_SLOW, now=at(9))
    assert got(agent, seconds=70) == 0, "as much work as it was too slow for"


# --- in turn --------------------------------------------------------------------------------------


def numbers(answer: Claimed | None) -> list[tuple[int, int]]:
    """Return campaign and number of each task of a claim, which must have been taken."""
    assert answer is not None, "left to the verb"
    return [(each.task.campaign_id, each.task.number) for each in answer.claim.attempts]


def test_a_campaign_without_a_further_task_leaves_its_turns_to_the_others() -> None:
    small, large = active_campaign(1), active_campaign(9)
    assert sorted(numbers(claimed(settled(), 5))) == [
        (small.pk, 0),
        *((large.pk, number) for number in range(4)),
    ]
    invariants.check()


def test_what_a_statement_hands_out_is_charged_once_it_is_committed(
    django_capture_on_commit_callbacks: Any,
) -> None:
    first, second = active_campaign(9), active_campaign(9, time_budget_seconds=30.0)
    agent = settled()
    got = []
    for _ in range(8):
        with django_capture_on_commit_callbacks(execute=True):
            got += [campaign for campaign, _ in numbers(claimed(agent))]
    assert (got.count(first.pk), got.count(second.pk)) == (6, 2)
    assert claimed(agent, 2) is not None  # rolled back with the test
    CHARGES.fold()
    accounts = dict(Share.objects.values_list("pk", "account"))
    assert accounts == {first.pk: 60.0, second.pk: 60.0}


def test_the_owners_order_and_the_weights_are_those_of_the_verb() -> None:
    owner = factories.user()
    later, first = (active_campaign(30, owner=owner) for _ in range(2))
    heavy = active_campaign(30)
    lifecycle.set_place(first, 1)
    lifecycle.set_weight(heavy, 2.0)
    answer = numbers(claimed(settled(), 40))
    by_campaign = Counter(campaign for campaign, _ in answer)
    assert by_campaign == {first.pk: 20, heavy.pk: 20}
    assert later.tasks.filter(state="leased").count() == 0
