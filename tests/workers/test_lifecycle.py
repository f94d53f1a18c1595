"""workers.lifecycle: enrolment, presence, pauses and the states of a worker."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable

import pytest

from tests.factories import NOW, at, user, worker, worker_with_token
from tests.fleets import fleet_worker
from workers import lifecycle
from workers.lifecycle import EnrolmentRefused, WorkerNameTaken, WrongWorkerState
from workers.models import EnrolmentToken, Worker, WorkerSession, WorkerState
from workers.tokens import ENROLMENT_PREFIX, WORKER_PREFIX, hash_token, new_token

pytestmark = pytest.mark.django_db

# --- enrolment ------------------------------------------------------------------------------------


def test_an_invitation_makes_one_worker_with_a_token_that_is_stored_as_a_hash() -> None:
    ada = user("ada")
    invitation, secret = lifecycle.invite(now=NOW, label="the lab's big box", created_by=ada)
    enrolled, token = lifecycle.enrol(
        secret, now=at(60), name="big", hardware={"cpu_count": 2}, agent_version="1.2"
    )
    enrolled.refresh_from_db()
    assert (enrolled.name, enrolled.state, enrolled.enrolled_at) == (
        "big",
        WorkerState.ACTIVE,
        at(60),
    )
    assert (enrolled.hardware, enrolled.agent_version) == ({"cpu_count": 2}, "1.2")
    assert secret.startswith(ENROLMENT_PREFIX)
    assert token.startswith(WORKER_PREFIX)
    assert enrolled.token_hash == hash_token(token)
    invitation.refresh_from_db()
    assert (invitation.used_at, invitation.worker, invitation.created_by) == (at(60), enrolled, ada)
    assert secret not in str(vars(invitation))
    assert token not in str(vars(enrolled))


def test_a_used_an_expired_and_an_unknown_invitation_make_no_worker() -> None:
    _, used = lifecycle.invite(now=NOW)
    lifecycle.enrol(used, now=NOW)
    _, expired = lifecycle.invite(now=NOW)
    day = 24 * 3600
    for secret, seconds in ((used, 1), (expired, day), ("xe_unknown", 1), ("", 1)):
        with pytest.raises(EnrolmentRefused):
            lifecycle.enrol(secret, now=at(seconds))
    assert Worker.objects.count() == 1
    assert lifecycle.enrol(expired, now=at(day - 1))[0].state == WorkerState.ACTIVE


def test_a_name_that_is_taken_leaves_the_invitation_usable() -> None:
    worker("ada")
    invitation, secret = lifecycle.invite(now=NOW)
    with pytest.raises(WorkerNameTaken):
        lifecycle.enrol(secret, now=NOW, name="ada")
    invitation.refresh_from_db()
    assert invitation.used_at is None
    assert lifecycle.enrol(secret, now=NOW, name="bob")[0].name == "bob"


def test_workers_enrolled_without_a_name_get_different_ones() -> None:
    names = set()
    for _ in range(3):
        _, secret = lifecycle.invite(now=NOW)
        names.add(lifecycle.enrol(secret, now=NOW)[0].name)
    assert len(names) == 3


def test_registering_makes_a_worker_and_uses_up_its_own_invitation() -> None:
    enrolled, token = lifecycle.register("local", now=NOW)
    assert enrolled.token_hash == hash_token(token)
    assert EnrolmentToken.objects.get().used_at == NOW
    with pytest.raises(WorkerNameTaken):
        lifecycle.register("local", now=NOW)


def test_tokens_are_long_random_and_told_apart_by_their_prefix() -> None:
    tokens = {new_token("xw_") for _ in range(100)}
    assert len(tokens) == 100
    assert all(len(token) == 3 + 43 for token in tokens)
    assert len({hash_token(token) for token in tokens}) == 100
    assert hash_token("xw_a") == hash_token("xw_a")


# --- presence -------------------------------------------------------------------------------------


def test_a_worker_is_online_for_the_lease_time_after_its_last_word() -> None:
    machine = worker()
    assert not machine.is_online(NOW)
    lifecycle.see(machine, now=NOW)
    machine.refresh_from_db()
    for seconds, online in ((0, True), (45, True), (46, False)):
        assert machine.is_online(at(seconds)) is online
        assert Worker.objects.online(at(seconds)).filter(pk=machine.pk).exists() is online


def test_a_disabled_worker_is_not_online() -> None:
    machine = worker()
    lifecycle.see(machine, now=NOW)
    lifecycle.disable(machine)
    machine.refresh_from_db()
    assert not machine.is_online(NOW)
    assert not Worker.objects.online(NOW).exists()


def test_each_start_of_an_agent_is_one_session() -> None:
    machine, first, second = worker(), uuid.uuid4(), uuid.uuid4()
    for seconds, boot_id in ((0, first), (10, first), (20, second), (30, second)):
        lifecycle.see(machine, now=at(seconds), boot_id=boot_id)
    sessions = WorkerSession.objects.order_by("started_at")
    assert list(sessions.values_list("boot_id", "started_at", "last_seen_at")) == [
        (first, at(0), at(10)),
        (second, at(20), at(30)),
    ]


def test_presence_is_written_when_it_is_older_than_half_a_heartbeat_interval() -> None:
    machine, boot_id = worker(), uuid.uuid4()
    seen = []
    # The last calls are those after the database's clock was set back by a minute.
    for seconds in (0, 5, 5.1, 10, 10.2, -49, -49):
        lifecycle.see(machine, now=at(seconds), boot_id=boot_id)
        machine.refresh_from_db()
        session = machine.sessions.get()
        assert session.last_seen_at == machine.last_seen_at
        seen.append(machine.last_seen_at)
    assert seen == [at(0), at(0), at(5.1), at(5.1), at(10.2), at(-49), at(-49)]


def test_a_session_is_written_although_its_worker_was_seen_lately() -> None:
    machine, first, second = worker(), uuid.uuid4(), uuid.uuid4()
    lifecycle.see(machine, now=NOW, boot_id=first)
    lifecycle.close_silent_sessions(now=at(100))
    Worker.objects.update(last_seen_at=at(100), refused_scripts="a" * 64)
    lifecycle.see(machine, now=at(101), boot_id=first)
    assert machine.sessions.get().ended_at is None
    machine.refresh_from_db()
    assert (machine.last_seen_at, machine.refused_scripts) == (at(100), "a" * 64)
    lifecycle.see(machine, now=at(101), boot_id=second)
    machine.refresh_from_db()
    assert (machine.last_seen_at, machine.refused_scripts) == (at(100), "")
    assert machine.sessions.get(boot_id=second).started_at == at(101)


def test_a_silent_session_ends_at_its_last_word_and_goes_on_when_the_worker_returns() -> None:
    machine, boot_id = worker(), uuid.uuid4()
    lifecycle.see(machine, now=NOW, boot_id=boot_id)
    assert lifecycle.close_silent_sessions(now=at(45)) == 0
    assert lifecycle.close_silent_sessions(now=at(46)) == 1
    assert lifecycle.close_silent_sessions(now=at(47)) == 0
    assert WorkerSession.objects.get().ended_at == NOW
    lifecycle.see(machine, now=at(50), boot_id=boot_id)
    assert WorkerSession.objects.get().ended_at is None


def test_sessions_are_closed_in_batches_the_longest_silent_first() -> None:
    for seconds in range(3):
        lifecycle.see(worker(), now=at(seconds), boot_id=uuid.uuid4())
    assert lifecycle.close_silent_sessions(now=at(100), limit=2) == 2
    assert WorkerSession.objects.get(ended_at=None).last_seen_at == at(2)


def test_what_an_agent_says_of_its_machine_is_kept_and_an_empty_word_changes_no_hardware() -> None:
    machine = worker()
    lifecycle.describe(machine, hardware={"devices": ["cuda", "cpu"]}, simulates=False, version="2")
    lifecycle.describe(machine, hardware={}, simulates=True, version="3")
    machine.refresh_from_db()
    assert (machine.hardware, machine.simulates, machine.agent_version) == (
        {"devices": ["cuda", "cpu"]},
        True,
        "3",
    )
    assert machine.device == "cuda"
    assert worker().device == ""


# --- pauses ---------------------------------------------------------------------------------------


def test_each_environment_error_in_a_row_doubles_the_pause_up_to_an_hour() -> None:
    machine, pauses = worker(), []
    for _ in range(9):
        lifecycle.pause_after_env_error(machine, "no torch", now=NOW)
        machine.refresh_from_db()
        assert machine.paused_until is not None
        pauses.append((machine.paused_until - NOW).total_seconds())
    assert pauses == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
    assert (machine.pause_reason, machine.state) == ("no torch", WorkerState.ACTIVE)


def test_a_good_result_makes_the_next_pause_short_again() -> None:
    machine = worker()
    for _ in range(3):
        lifecycle.pause_after_env_error(machine, "no torch", now=NOW)
        machine.refresh_from_db()
    lifecycle.note_good_result(machine)
    machine.refresh_from_db()
    assert (machine.paused_until, machine.pause_reason) == (None, "")
    lifecycle.pause_after_env_error(machine, "no torch", now=NOW)
    machine.refresh_from_db()
    assert machine.paused_until == at(60)


def test_an_operator_lifts_a_pause() -> None:
    machine = worker()
    lifecycle.pause_after_env_error(machine, "x" * 900, now=NOW)
    lifecycle.resume(machine)
    machine.refresh_from_db()
    assert (
        machine.state,
        machine.paused_until,
        machine.pause_reason,
        machine.consecutive_env_errors,
    ) == (
        WorkerState.ACTIVE,
        None,
        "",
        0,
    )


# --- states ---------------------------------------------------------------------------------------

VERBS: dict[str, tuple[Callable[[Worker], object], set[str], str]] = {
    "drain": (lifecycle.drain, {"active"}, "draining"),
    "resume": (lifecycle.resume, {"draining", "disabled"}, "active"),
    "disable": (lifecycle.disable, {"active", "draining"}, "disabled"),
    "leave": (functools.partial(lifecycle.leave, now=NOW), {"active", "draining"}, "disabled"),
    "rotate": (lifecycle.rotate_token, {"active", "draining"}, ""),
}


@pytest.mark.parametrize("state", WorkerState.values)
@pytest.mark.parametrize("verb", sorted(VERBS))
def test_a_verb_moves_a_worker_as_its_row_says_or_not_at_all(verb: str, state: str) -> None:
    machine = fleet_worker() if state == WorkerState.RETIRED else worker()
    Worker.objects.filter(pk=machine.pk).update(state=state)
    machine.state = state
    move, sources, target = VERBS[verb]
    if state in sources:
        move(machine)
        machine.refresh_from_db()
        assert machine.state == (target or state)
    else:
        with pytest.raises(WrongWorkerState, match=machine.name):
            move(machine)
        machine.refresh_from_db()
        assert machine.state == state


def test_a_rotated_token_replaces_the_old_one() -> None:
    machine, old = worker_with_token()
    new = lifecycle.rotate_token(machine)
    assert not Worker.objects.filter(token_hash=hash_token(old)).exists()
    assert Worker.objects.get(token_hash=hash_token(new)) == machine


@pytest.mark.parametrize(
    ("known", "slots", "held", "expected"),
    [
        (None, 2, 0, 2),
        (None, 3, 2, 3),
        # A result that is not delivered yet is no place.
        (1, 2, 1, 1),
        (2, 3, 3, 2),
        (3, 2, 1, 2),
        # The agent began again with more.
        (1, 4, 1, 3),
        (1, 4, 0, 4),
        (4, 1, 1, 1),
    ],
)
def test_how_many_tasks_an_agent_runs_at_once_lies_between_its_free_places_and_its_slots(
    known: int | None, slots: int, held: int, expected: int
) -> None:
    machine = worker(slots=known)
    lifecycle.note_slots(machine, slots, held=held)
    machine.refresh_from_db()
    assert machine.slots == expected
