"""Every named database constraint refuses a row that breaks it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from django.db import IntegrityError, transaction
from django.db.models import Model

from campaigns import lifecycle
from campaigns.models import (
    Attempt,
    Campaign,
    Decision,
    ImportanceEstimate,
    NoiseFloor,
    Note,
    ProgressPoint,
    Race,
    Result,
    ResultClass,
    StateChange,
    Task,
    Webhook,
    WebhookDelivery,
)
from tests.factories import (
    NOW,
    active_campaign,
    at,
    calibrate,
    claim_one,
    completed_task,
    failed_task,
    leased_task,
    pending_task,
    run,
    user,
    worker,
)
from tests.fleets import fleet_token, fleet_worker
from workers import lifecycle as worker_lifecycle
from workers.models import Worker, WorkerSession

pytestmark = pytest.mark.django_db


def change(row: Model, **fields: Any) -> None:
    """A raw UPDATE, past every check in code."""
    type(row)._default_manager.filter(pk=row.pk).update(**fields)


def copy(row: Model, **fields: Any) -> None:
    """A raw INSERT of the same row under another id."""
    row.pk = None
    row._state.adding = True
    for name, value in fields.items():
        setattr(row, name, value)
    row.save(force_insert=True)


def two_tasks() -> tuple[Task, Task]:
    first, second = active_campaign(2).tasks.all()
    return first, second


def worked() -> Task:
    return pending_task(budget_kind="work", work_unit="steps", work_amount=10)


def duplicate_number() -> None:
    first, second = two_tasks()
    change(second, number=first.number)


def duplicate_seed() -> None:
    first, second = two_tasks()
    change(second, seed=first.seed, arm=first.arm)


def duplicate_arm(column: str) -> None:
    first, second = two_tasks()
    change(second.arm, **{column: getattr(first.arm, column)})


def race(**changes: Any) -> Race:
    """Start a race of two arms; change its columns."""
    row = lifecycle.start_race(active_campaign(2), [0, 1], now=at(5))
    if changes:
        change(row, **changes)
    return row


def decision(**changes: Any) -> Decision:
    """Cancel the campaign of a race; change the columns of its decision."""
    row = race()
    lifecycle.cancel(row.campaign, now=at(6))
    if changes:
        change(row.decisions.get(), **changes)
    return row.decisions.get()


def two_live_attempts() -> None:
    copy(leased_task(), number=2, lease_id=uuid.uuid4(), claim_id=uuid.uuid4())


def duplicate_attempt_number() -> None:
    attempt = Attempt.objects.get(task=completed_task())
    copy(attempt, lease_id=uuid.uuid4(), claim_id=uuid.uuid4())


def two_attempts_at_one_place_of_a_claim() -> None:
    copy(Attempt.objects.get(task=completed_task()), number=2, lease_id=uuid.uuid4())


def duplicate_progress_point() -> None:
    attempt = leased_task()
    for _ in range(2):
        ProgressPoint.objects.create(attempt=attempt, seq=0, elapsed_seconds=1.0, step=1)


def duplicate_session() -> None:
    agent, boot_id = worker(), uuid.uuid4()
    worker_lifecycle.see(agent, now=at(0), boot_id=boot_id)
    copy(WorkerSession.objects.get())


def delivery() -> WebhookDelivery:
    hook = Webhook.objects.create(owner=user(), url="https://example.org/", secret="for-tests")
    return hook.deliveries.create(event="new_best", event_key="1", payload={})


def journalled(**fields: Any) -> None:
    leased_task()
    change(StateChange.objects.get(subject="attempt"), **fields)


def valueless(**fields: Any) -> None:
    active_campaign(1)
    run(None)
    change(Result.objects.get(value=None), **fields)


def ranked(**fields: Any) -> None:
    change(Result.objects.get(task=completed_task()), **fields)


def result_class() -> ResultClass:
    completed_task()
    return ResultClass.objects.get()


def floor(**fields: Any) -> None:
    NoiseFloor.objects.create(result_class=result_class(), as_of=NOW, **fields)


def note(**fields: Any) -> None:
    """Store a note on an arm, with these fields instead."""
    arm = pending_task().arm
    given = {"arm": arm, "text": "again", "edited_at": at(1)} | fields
    Note.objects.create(campaign=arm.campaign, **given)


def share(**fields: Any) -> None:
    change(active_campaign(1).share, **fields)


CASES: list[tuple[str, Callable[[], None]]] = [
    ("campaign_state_known", lambda: change(active_campaign(1), state="running")),
    ("campaign_isolation_known", lambda: change(active_campaign(1), required_isolation="")),
    ("share_account_sane", lambda: share(account=-1.0)),
    ("share_account_sane", lambda: share(account=float("inf"))),
    ("share_weight_sane", lambda: share(weight=0.0)),
    ("share_weight_sane", lambda: share(weight=100.1)),
    ("share_place_sane", lambda: share(place=0)),
    ("share_place_sane", lambda: share(place=1_001)),
    ("package_origin_known", lambda: change(active_campaign(1).package, origin="sent")),
    (
        "package_judged_one_way",
        lambda: change(active_campaign(1).package, approved_at=NOW, declined_at=NOW),
    ),
    ("campaign_has_tasks", lambda: change(active_campaign(1), task_count=0)),
    ("campaign_budget_positive", lambda: change(active_campaign(1), time_budget_seconds=0.0)),
    ("campaign_budget_positive", lambda: change(active_campaign(1), time_budget_seconds=604_801.0)),
    ("campaign_launched_with_metric", lambda: change(active_campaign(1), metric="")),
    ("campaign_launched_with_metric", lambda: change(active_campaign(1), metric_version=None)),
    ("campaign_seeds_in_range", lambda: change(active_campaign(1), base_seed=2**31)),
    ("campaign_may_try", lambda: change(active_campaign(1), max_failed_attempts=0)),
    ("campaign_kept_runs_counted", lambda: change(active_campaign(1), kept_runs=2)),
    ("campaign_undrawn_counted", lambda: change(active_campaign(1), undrawn_tasks=1)),
    ("campaign_undrawn_counted", lambda: change(active_campaign(1), drawing_since=NOW)),
    ("campaign_min_effect_sane", lambda: change(active_campaign(1), min_effect=-0.1)),
    ("campaign_race_seeds_sane", lambda: change(active_campaign(1), race_seeds=2)),
    ("campaign_may_try", lambda: change(active_campaign(1), max_lost_attempts=0)),
    ("campaign_work_is_whole", lambda: change(active_campaign(1), budget_kind="work")),
    ("campaign_work_is_whole", lambda: change(active_campaign(1), budget_kind="flop")),
    ("campaign_work_is_whole", lambda: change(active_campaign(1), work_amount=5.0)),
    ("campaign_work_is_whole", lambda: change(active_campaign(1), cost_model={})),
    ("campaign_work_is_whole", lambda: change(worked().campaign, work_unit="flop")),
    ("campaign_work_is_whole", lambda: change(worked().campaign, work_amount=None)),
    ("campaign_work_is_whole", lambda: change(worked().campaign, work_amount=0.0)),
    ("campaign_work_is_whole", lambda: change(worked().campaign, work_amount=float("inf"))),
    ("task_steps_positive", lambda: change(worked(), max_steps=0)),
    ("task_work_sane", lambda: change(pending_task(), work_seconds=1.0)),
    ("task_work_sane", lambda: change(worked(), work_seconds=0.0)),
    ("task_work_sane", lambda: change(worked(), work_seconds=float("inf"))),
    ("task_state_known", lambda: change(pending_task(), state="waiting")),
    ("task_leased_has_lease", lambda: change(pending_task(), state="leased")),
    ("task_leased_has_lease", lambda: change(pending_task(), lease_id=uuid.uuid4())),
    ("task_leased_has_lease", lambda: change(pending_task(), worker=worker())),
    ("task_leased_has_lease", lambda: change(pending_task(), deadline_at=at(5))),
    ("task_leased_has_lease", lambda: change(leased_task().task, lease_id=None)),
    ("task_leased_has_lease", lambda: change(leased_task().task, worker=None)),
    ("task_leased_has_lease", lambda: change(leased_task().task, lease_expires_at=None)),
    ("task_leased_has_lease", lambda: change(leased_task().task, deadline_at=None)),
    ("task_leased_has_lease", lambda: change(leased_task().task, state="pending")),
    ("task_tries_bounded", lambda: change(pending_task(), failed_attempts=3)),
    ("task_tries_bounded", lambda: change(pending_task(), lost_attempts=6)),
    ("task_failed_has_class", lambda: change(failed_task(), failure_class="")),
    ("task_finished_when_terminal", lambda: change(completed_task(), finished_at=None)),
    ("task_finished_when_terminal", lambda: change(pending_task(), finished_at=at(5))),
    ("task_number_once", duplicate_number),
    ("task_seed_once", duplicate_seed),
    ("task_purpose_known", lambda: change(pending_task(), purpose="fun")),
    ("arm_origin_known", lambda: change(pending_task().arm, origin="stars")),
    ("arm_number_once", lambda: duplicate_arm("number")),
    ("arm_params_once", lambda: duplicate_arm("params_sha256")),
    ("race_number_once", lambda: copy(race())),
    ("race_outcome_known", lambda: race(outcome="glory", ended_at=at(7))),
    ("race_ended_has_outcome", lambda: race(ended_at=at(7))),
    ("race_ended_has_outcome", lambda: race(outcome="tie")),
    ("race_numbers_sane", lambda: race(min_effect=-1.0)),
    ("race_numbers_sane", lambda: race(floor_sd=float("inf"))),
    ("decision_look_once", lambda: copy(decision())),
    ("decision_outcome_known", lambda: decision(outcome="glory")),
    ("decision_champion_leads", lambda: decision(outcome="champion")),
    ("attempt_outcome_known", lambda: change(leased_task(), outcome="won", ended_at=at(5))),
    ("attempt_ended_unless_running", lambda: change(leased_task(), ended_at=at(5))),
    ("attempt_ended_unless_running", lambda: change(leased_task(), outcome="completed")),
    ("attempt_one_live_per_task", two_live_attempts),
    ("attempt_number_once", duplicate_attempt_number),
    ("attempt_of_claim_once", two_attempts_at_one_place_of_a_claim),
    ("progress_point_once", duplicate_progress_point),
    ("result_value_finite", lambda: ranked(value=1.1e12, sort_key=1.1e12)),
    ("result_value_finite", lambda: ranked(value=-1.1e12, sort_key=1.1e12)),
    ("result_value_finite", lambda: ranked(value=float("inf"), sort_key=float("inf"))),
    ("result_value_finite", lambda: ranked(value=float("-inf"), sort_key=float("inf"))),
    ("result_sort_key_of_value", lambda: ranked(sort_key=None)),
    ("result_sort_key_of_value", lambda: ranked(sort_key=2.5)),
    ("result_sort_key_of_value", lambda: valueless(sort_key=3.0)),
    ("result_ranked_was_measured", lambda: ranked(value=None, sort_key=None)),
    ("result_ranked_was_measured", lambda: ranked(simulated=True)),
    ("result_ranked_was_measured", lambda: ranked(diverged=True)),
    ("result_implausible_unranked", lambda: ranked(implausible=True)),
    ("result_speed_sane", lambda: ranked(foreign_load=-0.1)),
    ("result_speed_sane", lambda: ranked(foreign_load=float("inf"))),
    ("note_of_arm_or_task", lambda: note(arm=None)),
    ("note_of_arm_or_task", lambda: note(task=pending_task())),
    ("worker_slots_sane", lambda: change(worker(), slots=0)),
    ("worker_slots_sane", lambda: change(worker(), slots=10_000)),
    ("calibration_numbers_sane", lambda: change(calibrate(worker()), speed=0.0)),
    ("calibration_numbers_sane", lambda: change(calibrate(worker()), fit_error=-0.1)),
    ("calibration_numbers_sane", lambda: change(calibrate(worker()), foreign_load=float("inf"))),
    ("calibration_numbers_sane", lambda: change(calibrate(worker()), value_off=1e6)),
    ("result_train_loss_sane", lambda: ranked(train_loss=-1e7)),
    ("result_train_loss_sane", lambda: ranked(train_loss=float("inf"))),
    ("result_speed_sane", lambda: ranked(step_seconds=0.0)),
    ("result_speed_sane", lambda: ranked(step_seconds=float("inf"))),
    ("result_speed_sane", lambda: ranked(foreign_load=-1.0)),
    ("result_speed_sane", lambda: ranked(foreign_load=float("inf"))),
    ("result_disturbed_by_expectation", lambda: ranked(disturbed=False)),
    ("result_disturbed_by_expectation", lambda: ranked(expected_step_seconds=-1.0)),
    (
        "result_disturbed_by_expectation",
        lambda: ranked(disturbed=True, expected_step_seconds=1.0, step_seconds=None),
    ),
    (
        "result_slow_setup_measured",
        lambda: ranked(is_ranked=False, simulated=True, slow_setup=True),
    ),
    ("class_budget_kind_known", lambda: change(result_class(), budget_kind="money")),
    ("noise_floor_sane", lambda: floor(sd=None, pairs=1)),
    ("noise_floor_sane", lambda: floor(sd=0.1, pairs=0)),
    ("noise_floor_sane", lambda: floor(sd=-0.1, pairs=1)),
    ("noise_floor_sane", lambda: floor(sd=float("inf"), pairs=1)),
    ("noise_floor_sane", lambda: floor(sd=0.1, pairs=1, bad_seed_rate=1.1)),
    ("change_names_its_subject", lambda: journalled(attempt=None)),
    ("change_names_its_subject", lambda: journalled(subject="task", task=None)),
    ("change_names_its_subject", lambda: journalled(subject="campaign")),
    ("change_actor_known", lambda: journalled(actor_kind="nobody")),
    ("worker_owner_pause_sane", lambda: change(worker(), owner_pauses_until=at(9))),
    ("worker_state_known", lambda: change(worker(), state="gone")),
    ("worker_isolation_known", lambda: change(worker(), isolation="T9")),
    ("worker_session_once", duplicate_session),
    ("worker_of_fleet_once", lambda: copy(fleet_worker(), name="other", token_hash="other")),
    ("worker_of_fleet_has_machine", lambda: change(fleet_worker(), machine_key="")),
    ("worker_retired_of_fleet", lambda: change(worker(), state="retired")),
    ("fleet_token_max_live_sane", lambda: fleet_token(max_live=0)),
    ("fleet_token_tier_known", lambda: fleet_token(tier="T9")),
    ("delivery_state_known", lambda: change(delivery(), state="lost")),
    ("delivery_once", lambda: copy(delivery())),
    (
        "importance_once_per_device",
        lambda: copy(ImportanceEstimate.objects.create(campaign=active_campaign(), device="cpu")),
    ),
]


@pytest.mark.parametrize(
    ("name", "breach"), CASES, ids=[f"{number}-{name}" for number, (name, _) in enumerate(CASES)]
)
def test_the_database_refuses_what_must_never_be_true(
    name: str, breach: Callable[[], None]
) -> None:
    with pytest.raises(IntegrityError) as refused, transaction.atomic():
        breach()
    assert _names(str(refused.value), name)


def _names(message: str, name: str) -> bool:
    if name in message:
        return True
    if name == "task_state_known":
        # An unknown state breaks both, and PostgreSQL names the first in alphabetical order.
        return "task_finished_when_terminal" in message
    # For a unique constraint SQLite names the columns, not the constraint.
    fields = {
        "task_number_once": "campaigns_task.campaign_id, campaigns_task.number",
        "task_seed_once": "campaigns_task.arm_id, campaigns_task.seed",
        "race_number_once": "campaigns_race.campaign_id, campaigns_race.number",
        "decision_look_once": "campaigns_decision.race_id, campaigns_decision.look",
        "arm_number_once": "campaigns_arm.campaign_id, campaigns_arm.number",
        "arm_params_once": "campaigns_arm.campaign_id, campaigns_arm.package_id",
        "attempt_one_live_per_task": "campaigns_attempt.task_id",
        "attempt_number_once": "campaigns_attempt.task_id, campaigns_attempt.number",
        "attempt_of_claim_once": "campaigns_attempt.worker_id, campaigns_attempt.claim_id",
        "progress_point_once": "campaigns_progresspoint.attempt_id, campaigns_progresspoint.seq",
        "importance_once_per_device": "campaigns_importanceestimate.campaign_id",
        "delivery_once": "campaigns_webhookdelivery.event_key",
        "worker_session_once": "workers_workersession.worker_id, workers_workersession.boot_id",
        "worker_of_fleet_once": "workers_worker.machine_key, workers_worker.machine_job",
    }
    return fields.get(name, "no such constraint") in message


def test_a_value_that_is_not_a_number_is_never_ranked() -> None:
    # PostgreSQL refuses NaN as too large; SQLite stores NULL, which a ranked result must not have.
    with pytest.raises(IntegrityError, match="result_"), transaction.atomic():
        ranked(value=float("nan"), sort_key=float("nan"))


def test_every_named_constraint_is_broken_here() -> None:
    named = {
        constraint.name
        for label in ("campaigns", "workers")
        for model in apps.get_app_config(label).get_models()
        for constraint in model._meta.constraints
    }
    assert {name for name, _ in CASES} == named


@pytest.mark.parametrize(
    "breach",
    [
        lambda: copy(only_attempt(), number=2, outcome="failed", ended_at=at(1)),
        lambda: copy(Result.objects.get(task=completed_task())),
        lambda: copy(result_class()),
        lambda: copy(worker(), name="another"),
        lambda: copy(worker(), token_hash="0" * 64),
    ],
    ids=["one lease id", "one result per task", "one class per key", "one token", "one name"],
)
def test_what_is_unique_stays_unique(breach: Callable[[], None]) -> None:
    with pytest.raises(IntegrityError, match=r"(?i)unique"), transaction.atomic():
        breach()


def only_attempt() -> Attempt:
    pending_task()
    return claim_one(worker())


@pytest.mark.parametrize("row", [Worker, Campaign, Task])
def test_what_results_hang_on_cannot_be_lost_by_accident(row: type[Model]) -> None:
    from django.db.models import ProtectedError

    task = completed_task()
    if row is Worker:
        with pytest.raises(ProtectedError):
            Worker.objects.all().delete()
        assert Result.objects.filter(task=task).exists()
    else:
        # Deleting a campaign or a task on purpose deletes its attempts and results too.
        row._default_manager.all().delete()
        assert not Result.objects.exists()
        assert not Attempt.objects.exists()
