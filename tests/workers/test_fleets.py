"""Fleet tokens and ephemeral workers: enrolment, retirement, revival, and one calibration each."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Any

import pytest

from campaigns import lifecycle as campaign_lifecycle
from campaigns.fleet import calibrations
from campaigns.models import TaskState
from tests.concurrency import in_parallel
from tests.factories import (
    NOW,
    active_campaign,
    at,
    calibrate,
    calibration_report,
    claim,
    claim_one,
    completed_task,
    worker,
)
from tests.fleets import fleet_token, fleet_worker
from workers import fleets, lifecycle
from workers.fleets import FleetFull, FleetTokenRevoked
from workers.lifecycle import EnrolmentRefused, WorkerError, WrongWorkerState
from workers.models import Calibration, Worker, WorkerState
from workers.tokens import FLEET_PREFIX, hash_token

pytestmark = pytest.mark.django_db
KEY = "node-0001"
SILENCE = 600


def test_one_token_enrols_many_machines_and_names_their_workers() -> None:
    token, secret = fleet_token(name_prefix="lab")
    first, worker_secret = fleets.enrol(secret, machine_key=KEY, now=NOW)
    second, _ = fleets.enrol(secret, machine_key="node-0002", now=NOW)
    assert secret.startswith(FLEET_PREFIX)
    assert first.token_hash == hash_token(worker_secret)
    assert first.name.startswith("lab-")
    assert first.name != second.name
    assert KEY not in first.name
    assert (first.state, first.fleet_token, first.machine_job) == ("active", token, 1)
    token.refresh_from_db()
    assert (token.token_hash, token.last_used_at) == (hash_token(secret), NOW)


def test_an_unknown_a_revoked_and_an_expired_token_enrol_nobody() -> None:
    revoked, revoked_secret = fleet_token()
    fleets.revoke(revoked, now=NOW)
    _, expired_secret = fleet_token(expires_at=NOW)
    for secret in ("xf_unknown", revoked_secret, expired_secret):
        with pytest.raises(EnrolmentRefused, match="unknown, revoked or expired"):
            fleets.enrol(secret, machine_key=KEY, now=NOW)
    with pytest.raises(FleetTokenRevoked):
        fleets.revoke(revoked, now=NOW)


def test_a_full_fleet_takes_nobody_until_a_worker_ends() -> None:
    _, secret = fleet_token(max_live=1)
    first, _ = fleets.enrol(secret, machine_key=KEY, now=NOW)
    with pytest.raises(FleetFull) as refusal:
        fleets.enrol(secret, machine_key="node-0002", now=NOW)
    assert refusal.value.retry_after >= fleets.RETRY_AFTER_SECONDS
    lifecycle.leave(first, now=NOW)
    assert fleets.enrol(secret, machine_key="node-0002", now=NOW)[0].state == "active"


def test_a_silent_worker_leaves_its_place_without_the_job() -> None:
    _, secret = fleet_token(max_live=1)
    fleets.enrol(secret, machine_key=KEY, now=NOW)
    with pytest.raises(FleetFull):
        fleets.enrol(secret, machine_key="node-0002", now=at(SILENCE))
    fleets.enrol(secret, machine_key="node-0002", now=at(SILENCE + 1))


def test_the_next_job_on_a_machine_gets_the_retired_worker_with_a_new_token() -> None:
    _, secret = fleet_token()
    first, old = fleets.enrol(secret, machine_key=KEY, now=NOW, hardware={"cpu_count": 4})
    lifecycle.leave(first, now=NOW)
    first.refresh_from_db()
    assert first.state == WorkerState.RETIRED
    assert first.token_hash not in {hash_token(old), ""}
    again, new = fleets.enrol(secret, machine_key=KEY, now=at(5))
    assert (again.pk, again.name, again.state) == (first.pk, first.name, "active")
    assert again.token_hash == hash_token(new)
    assert again.hardware == {"cpu_count": 4}


def test_a_second_job_beside_the_first_has_a_worker_of_its_own() -> None:
    _, secret = fleet_token()
    first, _ = fleets.enrol(secret, machine_key=KEY, now=NOW)
    second, _ = fleets.enrol(secret, machine_key=KEY, now=NOW)
    assert (second.name, second.machine_job) == (f"{first.name}-2", 2)
    lifecycle.leave(second, now=NOW)
    lifecycle.leave(first, now=NOW)
    # The lowest comes back first, so that a machine with one job has one worker.
    assert fleets.enrol(secret, machine_key=KEY, now=NOW)[0].pk == first.pk


def test_the_same_key_under_another_token_is_another_worker() -> None:
    (_, one), (_, other) = fleet_token(name_prefix="lab"), fleet_token(name_prefix="lab")
    first, _ = fleets.enrol(one, machine_key=KEY, now=NOW)
    second, _ = fleets.enrol(other, machine_key=KEY, now=NOW)
    assert first.pk != second.pk
    assert first.name != second.name


def test_a_name_that_somebody_has_is_avoided() -> None:
    _, secret = fleet_token(name_prefix="lab")
    first, _ = fleets.enrol(secret, machine_key=KEY, now=NOW)
    taken = f"{first.name}-2"
    worker(taken)
    second, _ = fleets.enrol(secret, machine_key=KEY, now=NOW)
    assert second.name.startswith(first.name)
    assert second.name != taken


def test_a_disabled_worker_keeps_its_machine_out() -> None:
    _, secret = fleet_token()
    first, _ = fleets.enrol(secret, machine_key=KEY, now=NOW)
    lifecycle.disable(first)
    with pytest.raises(EnrolmentRefused, match="disabled"):
        fleets.enrol(secret, machine_key=KEY, now=NOW)


def test_a_pause_after_an_error_outlives_the_job() -> None:
    _, secret = fleet_token()
    first, _ = fleets.enrol(secret, machine_key=KEY, now=NOW)
    lifecycle.pause_after_env_error(first, "no torch", now=NOW)
    lifecycle.leave(first, now=NOW)
    again, _ = fleets.enrol(secret, machine_key=KEY, now=at(1))
    assert (again.pause_reason, again.paused_until) == ("no torch", at(60))


def test_only_the_silent_are_retired_and_not_while_they_hold_a_lease() -> None:
    silent, talking, holding = fleet_worker(), fleet_worker(), fleet_worker()
    ordinary = worker(last_seen_at=NOW)
    active_campaign(1)
    claim_one(holding)
    Worker.objects.filter(pk=talking.pk).update(last_seen_at=at(2))
    assert fleets.retire_silent(now=at(SILENCE + 1)) == 1
    states = dict(Worker.objects.values_list("pk", "state"))
    assert states == {
        silent.pk: "retired",
        talking.pk: "active",
        holding.pk: "active",
        ordinary.pk: "active",
    }
    campaign_lifecycle.expire(now=at(SILENCE + 1))
    assert fleets.retire_silent(now=at(SILENCE + 1)) == 1


def test_silent_workers_are_retired_in_batches_the_longest_silent_first() -> None:
    first, second = fleet_worker(), fleet_worker(now=at(1))
    assert fleets.retire_silent(now=at(5000), limit=1) == 1
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.state, second.state) == ("retired", "active")


def test_a_good_bye_gives_the_tasks_back_and_ends_the_worker_once() -> None:
    machine = fleet_worker()
    active_campaign(1)
    attempt = claim_one(machine)
    assert campaign_lifecycle.leave(machine, now=at(1)) == 1
    attempt.task.refresh_from_db()
    assert attempt.task.state == TaskState.PENDING
    with pytest.raises(WrongWorkerState):
        lifecycle.leave(machine, now=at(2))


def test_a_retired_worker_stands_in_no_list_and_no_count() -> None:
    machine = fleet_worker()
    assert Worker.objects.machines().online(NOW).get() == machine
    lifecycle.leave(machine, now=NOW)
    machine.refresh_from_db()
    assert not Worker.objects.machines().exists()
    assert not Worker.objects.online(NOW).exists()
    assert not machine.is_online(NOW)


def test_what_nothing_refers_to_is_deleted_after_a_week() -> None:
    unused, used, live = fleet_worker(), fleet_worker(), fleet_worker()
    completed_task(by=used)
    for machine in (unused, used):
        lifecycle.leave(machine, now=NOW)
    assert fleets.prune(now=NOW + fleets.KEPT_FOR) == 0
    assert fleets.prune(now=NOW + fleets.KEPT_FOR + dt.timedelta(seconds=1)) == 1
    assert set(Worker.objects.filter(fleet_token__isnull=False)) == {used, live}


def test_a_revoked_token_and_a_weaker_tier_get_no_tasks() -> None:
    active_campaign(3)
    revoked, weak = fleet_worker(), fleet_worker(tier="T1", isolation="T0")
    strong = fleet_worker(tier="T1", isolation="T1")
    assert revoked.fleet_token is not None
    fleets.revoke(revoked.fleet_token, now=NOW)
    assert "revoked" in claim(revoked).reason
    assert "wants isolation T1" in claim(weak).reason
    assert len(claim(strong).attempts) == 1
    assert set(Worker.objects.in_scope()) == {strong}


def test_all_jobs_of_a_machine_share_what_one_measured() -> None:
    _, secret = fleet_token()
    first, _ = fleets.enrol(secret, machine_key=KEY, now=NOW)
    beside, _ = fleets.enrol(secret, machine_key=KEY, now=NOW)
    elsewhere, _ = fleets.enrol(secret, machine_key="node-0002", now=NOW)
    calibrations.take(first, calibration_report(), now=at(1))
    assert newest(beside) == newest(first) == at(1)
    later, _ = fleets.enrol(secret, machine_key=KEY, now=at(2))
    assert (later.machine_job, newest(later)) == (3, at(1))
    assert not elsewhere.calibrations.exists()
    # One that was retired meanwhile catches up when it comes back, once.
    lifecycle.leave(beside, now=at(3))
    calibrate(first, 1.5, now=at(300))
    for _ in range(2):
        again, _ = fleets.enrol(secret, machine_key=KEY, now=at(301))
        assert (again.pk, newest(again)) == (beside.pk, at(300))
        assert again.calibrations.count() == 2
        lifecycle.leave(again, now=at(302))


def newest(machine: Worker) -> dt.datetime:
    calibration = machine.calibrations.first()
    assert isinstance(calibration, Calibration)
    return calibration.taken_at


# --- races ----------------------------------------------------------------------------------------


def enrolment(secret: str, key: str) -> Any:
    try:
        return fleets.enrol(secret, machine_key=key, now=NOW)[0]
    except WorkerError as refusal:
        return type(refusal)


@pytest.mark.django_db(transaction=True)
def test_machines_that_enrol_at_once_do_not_exceed_the_bound() -> None:
    token, secret = fleet_token(max_live=2)
    keys = itertools.count()
    answers = in_parallel([lambda: enrolment(secret, f"machine-{next(keys)}")] * 5)
    assert answers.count(FleetFull) == 3
    assert Worker.objects.live_of(token).count() == 2


@pytest.mark.django_db(transaction=True)
def test_jobs_that_enrol_at_once_on_one_machine_get_different_workers() -> None:
    token, secret = fleet_token()
    lifecycle.leave(fleets.enrol(secret, machine_key=KEY, now=NOW)[0], now=NOW)
    answers = in_parallel([lambda: enrolment(secret, KEY)] * 4)
    assert sorted(each.machine_job for each in answers) == [1, 2, 3, 4]
    assert Worker.objects.live_of(token).count() == 4
