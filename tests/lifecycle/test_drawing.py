"""Large launches: the first tasks in the request, the others in slices, the same points as ever."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, connection
from django_q.models import OrmQ

from campaigns import jobs, lifecycle
from campaigns.clock import database_now
from campaigns.lifecycle import InvalidCampaign, WrongState, drawing
from campaigns.models import (
    Campaign,
    CampaignState,
    StateChange,
    Task,
    TaskOrigin,
    TaskPurpose,
    TaskState,
)
from campaigns.search.seeds import seed_at
from campaigns.standings.progress import campaign_progress, outlook
from campaigns.standings.task_counts import tasks_by_state
from tests import invariants
from tests.concurrency import in_parallel
from tests.factories import (
    NOW,
    SMALL_SPACE,
    active_campaign,
    at,
    campaign,
    claim,
    run_pending,
    uploaded,
    worker,
)
from tests.lifecycle.results.test_disturbed import SPACE, end, expected_step
from tests.lifecycle.test_work_budgets import seconds, space
from tests.processes import ROOT, database_environment, wait_until

TWO_POINTS = {"parameters": [{"name": "d_model", "type": "choice", "values": [64, 128]}]}
# Half of its configs are more work than any run may have: so many tokens a step.
HALF = seconds(search_space=space(batch_size=[32, 2**50]))


@pytest.fixture
def slices(monkeypatch: pytest.MonkeyPatch) -> int:
    """Let a slice be ten tasks."""
    of_ten(monkeypatch)
    return 10


def of_ten(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("drawing", "campaigns", "growth"):
        monkeypatch.setattr(f"campaigns.lifecycle.{module}.SLICE", 10)


def draw_all(of: Campaign) -> None:
    """Let the background job make all that is left."""
    jobs.draw_tasks(of.pk)
    of.refresh_from_db()
    assert of.undrawn_tasks == 0


def made(of: Campaign) -> tuple[Any, ...]:
    """Return all that the draws of a campaign decide: arms, tasks, and how many there are."""
    arms = of.arms.order_by("number").values_list(
        *("number", "params", "params_sha256", "origin", "infeasible", "package", "created_at")
    )
    tasks = of.tasks.order_by("number").values_list(
        *("number", "arm__number", "params", "seed", "seed_index", "purpose", "origin", "state"),
        *("max_steps", "work_seconds", "failure_class", "available_at", "created_at"),
        *("max_failed_attempts", "max_lost_attempts", "finished_at", "not_on"),
    )
    of.refresh_from_db()
    return list(arms), list(tasks), of.draws, of.task_count, of.kept_runs, of.undrawn_tasks


@pytest.mark.django_db
@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({}, id="random"),
        pytest.param({"search_space": TWO_POINTS}, id="few points, drawn again and again"),
        pytest.param({"search_space": TWO_POINTS, "sampler": "grid"}, id="grid"),
        pytest.param(HALF, id="a work budget with infeasible arms"),
        pytest.param({"races_automatically": True}, id="with runs kept for a race"),
    ],
)
def test_slices_make_the_same_arms_tasks_and_seeds_as_one_go(
    fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = active_campaign(57, **fields)
    assert whole.undrawn_tasks == 0
    of_ten(monkeypatch)
    sliced = active_campaign(57, **fields)
    assert sliced.tasks.count() == 10
    assert sliced.undrawn_tasks == 57 - whole.kept_runs - 10
    invariants.check()
    draw_all(sliced)
    assert made(sliced) == made(whole)
    # An infeasible task has its line in the journal, whoever made it.
    changes = StateChange.objects.filter(task__isnull=False).order_by("task__number")
    reasons = [
        list(changes.filter(campaign=of).values_list("task__number", "reason", "at"))
        for of in (whole, sliced)
    ]
    assert reasons[0] == reasons[1]
    invariants.check()


@pytest.mark.django_db
def test_added_tasks_are_the_same_in_slices_too(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = active_campaign(3, shares_seeds=False, search_space=TWO_POINTS)
    sliced = active_campaign(3, shares_seeds=False, search_space=TWO_POINTS)
    lifecycle.add_tasks(whole, 40, now=at(5))
    of_ten(monkeypatch)
    lifecycle.add_tasks(sliced, 35, now=at(5))
    assert (sliced.task_count, sliced.undrawn_tasks, sliced.tasks.count()) == (38, 25, 13)
    # More of them, while the first are being made: ten of all that is left at once.
    lifecycle.add_tasks(sliced, 5, now=at(6))
    assert (sliced.task_count, sliced.undrawn_tasks, sliced.tasks.count()) == (43, 20, 23)
    draw_all(sliced)
    assert made(sliced) == made(whole)
    invariants.check()


@pytest.mark.django_db
def test_what_is_added_meanwhile_takes_the_next_numbers_and_leaves_the_points_alone(
    slices: int,
) -> None:
    sliced = active_campaign(30)
    drawn = [task.params for task in active_campaign(30).tasks.order_by("number")]
    own = lifecycle.enqueue(sliced, {"lr": 0.001, "d_model": 128}, now=at(1))
    again = lifecycle.run_again(own.arm, 2, now=at(1))
    assert [own.number, *(task.number for task in again)] == [10, 11, 12]
    sliced.refresh_from_db()
    assert (sliced.task_count, sliced.undrawn_tasks) == (33, 20)
    invariants.check()
    draw_all(sliced)
    sampled = sliced.tasks.filter(origin=TaskOrigin.SAMPLED).order_by("number")
    assert [task.params for task in sampled][:10] == drawn[:10]
    assert sliced.draws == 30
    fresh = active_campaign(30)
    draw_all(fresh)
    assert [task.params for task in sampled] == [
        task.params for task in fresh.tasks.order_by("number")
    ]
    invariants.check()


@pytest.mark.django_db
def test_a_drawn_point_that_was_enqueued_meanwhile_runs_on_its_next_seed(slices: int) -> None:
    sliced = active_campaign(30, search_space=TWO_POINTS, sampler="grid")
    lifecycle.enqueue(sliced, {"d_model": 64}, seed=seed_at(42, 7), now=at(1))
    draw_all(sliced)
    of_arm = sliced.tasks.filter(arm__number=0).order_by("number")
    indices = [task.seed_index for task in of_arm]
    assert sorted(i for i in indices if i is not None) == list(range(16))
    assert indices.index(7) == 5
    invariants.check()


@pytest.mark.django_db
def test_a_campaign_is_not_done_while_tasks_are_to_be_made(slices: int) -> None:
    running, now = active_campaign(30, now=database_now()), database_now()
    known = campaign_progress(running, now=now)
    assert (known.pending, known.undrawn, known.total, known.fraction) == (10, 20, 30, 0.0)
    assert sum(tasks_by_state(running).values()) == 10
    assert outlook([running], now=now).waiting[running.pk] == 30
    Task.objects.update(state=TaskState.CANCELLED, finished_at=now)
    running.refresh_from_db()
    assert campaign_progress(running, now=now).fraction == pytest.approx(1 / 3)
    assert lifecycle.finish_done_campaigns(now=now) == 0
    running.refresh_from_db()
    assert running.state == CampaignState.ACTIVE
    with pytest.raises(IntegrityError, match="campaign_undrawn_counted"):
        Campaign.objects.update(state=CampaignState.COMPLETED)


@pytest.mark.django_db
def test_without_any_job_the_next_slice_comes_when_nothing_is_open(slices: int) -> None:
    running = active_campaign(25)
    for ended in (10, 20, 25):
        running.refresh_from_db()
        assert (running.tasks.count(), running.state) == (ended, CampaignState.ACTIVE)
        run_pending(running, lambda task: 3.0)
        invariants.check()
    running.refresh_from_db()
    assert (running.state, running.task_count) == (CampaignState.COMPLETED, 25)


@pytest.mark.django_db
def test_no_race_begins_before_all_tasks_are_made(slices: int) -> None:
    running = active_campaign(40, races_automatically=True)
    arms = running.task_count - running.kept_runs
    run_pending(running, lambda task: 3.0 + task.number)
    running.refresh_from_db()
    assert (running.races.count(), running.undrawn_tasks) == (0, arms - 20)
    with pytest.raises(WrongState, match="are still being made"):
        lifecycle.start_race(running, [0, 1], now=at(5))
    while running.undrawn_tasks:
        run_pending(running, lambda task: 3.0 + task.number)
        running.refresh_from_db()
    run_pending(running, lambda task: 3.0 + task.number)
    race = running.races.get()
    assert race.chosen_from == arms
    invariants.check()


@pytest.mark.django_db
def test_a_cancelled_campaign_has_the_tasks_that_were_made(slices: int) -> None:
    running = active_campaign(30)
    lifecycle.cancel(running, now=at(1))
    running.refresh_from_db()
    assert (running.task_count, running.undrawn_tasks) == (10, 0)
    assert jobs.draw_tasks(running.pk) == jobs.draw_tasks() == 0
    assert running.tasks.filter(state=TaskState.CANCELLED).count() == 10
    invariants.check()


@pytest.mark.django_db
def test_a_paused_campaign_is_made_whole_and_hands_out_nothing(slices: int) -> None:
    running = active_campaign(30)
    lifecycle.pause(running, now=at(1))
    draw_all(running)
    assert (running.state, running.tasks.count()) == (CampaignState.PAUSED, 30)
    assert claim(worker(), now=at(2)).attempts == []


@pytest.mark.django_db
def test_a_repeated_run_counts_beside_the_tasks_to_be_made(slices: int) -> None:
    expected = expected_step()
    running = active_campaign(30, search_space=SPACE)
    assert end(3 * expected, seconds=2).disturbed
    replay = running.tasks.get(purpose=TaskPurpose.REPLAY)
    running.refresh_from_db()
    assert (replay.number, running.task_count, running.undrawn_tasks) == (10, 31, 20)
    draw_all(running)
    assert running.tasks.count() == 31
    invariants.check()


@pytest.mark.django_db
def test_a_launch_whose_first_slice_cannot_run_looks_at_the_other_points(slices: int) -> None:
    # On a grid the first half of the points is too much work: the last parameter changes fastest.
    own = space(batch_size=[2**50, 32])["parameters"][1:]
    own.sort(key=lambda parameter: parameter["name"] != "batch_size")
    own.append({"name": "seed_of_data", "type": "int", "low": 1, "high": 6})
    package = uploaded(approved=True).pk
    halves = seconds(search_space={"parameters": own}, sampler="grid", script=package)
    running = active_campaign(24, **halves)
    assert set(running.tasks.values_list("state", flat=True)) == {TaskState.FAILED}
    draw_all(running)
    assert running.tasks.filter(state=TaskState.PENDING).count() == 12
    lone = campaign(task_count=12, **halves)
    with pytest.raises(InvalidCampaign, match="no task can run"):
        lifecycle.launch(lone, now=NOW)


@pytest.mark.django_db
def test_a_point_that_cannot_be_drawn_ends_the_making_and_says_why(
    slices: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = active_campaign(30)
    sample = drawing.sample

    def without_15(space: Any, sampler: str, base_seed: int, draw: int) -> Any:
        if draw == 15:
            raise drawing.UnsatisfiableSpace("10,000 draws in a row broke a constraint: lr > 1.")
        return sample(space, sampler, base_seed, draw)

    monkeypatch.setattr(drawing, "sample", without_15)
    assert jobs.draw_tasks() == 5
    running.refresh_from_db()
    assert (running.task_count, running.undrawn_tasks, running.tasks.count()) == (15, 0, 15)
    line = running.changes.get(from_state=CampaignState.ACTIVE)
    assert line.reason.startswith("Only 15 of 30 tasks were made. 10,000 draws in a row")
    invariants.check()


@pytest.mark.django_db
def test_a_launch_is_refused_whose_points_take_too_many_steps_together(
    slices: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("campaigns.lifecycle.arms.DRAW_STEPS", 10)
    monkeypatch.setattr("campaigns.lifecycle.arms.LAUNCH_STEPS", 500)
    draft = campaign(task_count=1000, search_space=SMALL_SPACE)
    with pytest.raises(InvalidCampaign, match="takes more than 500 steps; they are enough for"):
        lifecycle.launch(draft, now=NOW)


@pytest.mark.django_db
def test_a_launch_asks_for_the_job_that_goes_on_and_only_if_anything_is_left(
    slices: int, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        active_campaign(10)
    assert OrmQ.objects.count() == 0
    with django_capture_on_commit_callbacks(execute=True):
        running = active_campaign(30)
    (asked,) = OrmQ.objects.all()
    assert (asked.task["func"], asked.task["args"]) == ("campaigns.jobs.draw_tasks", (running.pk,))


@pytest.mark.django_db
def test_a_slice_that_another_process_drew_meanwhile_is_not_drawn_again(
    slices: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = active_campaign(30)
    draw = drawing.sample

    def beaten(*arguments: Any) -> Any:
        monkeypatch.setattr(drawing, "sample", draw)
        assert drawing.draw_slice(running.pk, now=NOW) == 10
        return draw(*arguments)

    monkeypatch.setattr(drawing, "sample", beaten)
    assert drawing.draw_slice(running.pk, now=NOW) == 0
    assert running.tasks.count() == 20
    draw_all(running)
    assert (running.tasks.count(), running.draws) == (30, 30)
    invariants.check()


@pytest.mark.django_db
def test_a_campaign_whose_slices_another_process_drew_and_ran_meanwhile_is_not_done(
    slices: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = active_campaign(30)
    Task.objects.update(state=TaskState.CANCELLED, finished_at=NOW)
    draw = drawing.sample

    def beaten(*arguments: Any) -> Any:
        monkeypatch.setattr(drawing, "sample", draw)
        assert drawing.draw_slice(running.pk, now=NOW) == 10
        Task.objects.update(state=TaskState.CANCELLED, finished_at=NOW)
        return draw(*arguments)

    monkeypatch.setattr(drawing, "sample", beaten)
    assert not lifecycle.finish_if_done(running.pk, now=NOW)
    running.refresh_from_db()
    assert (running.state, running.undrawn_tasks) == (CampaignState.ACTIVE, 10)


@pytest.mark.django_db
def test_a_job_ends_in_time_and_asks_for_another(
    slices: int, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    running = active_campaign(40)
    # Asked when the job begins, and before each slice.
    turns = iter([0.0, 1.0, 2.0])
    with monkeypatch.context() as clock, django_capture_on_commit_callbacks(execute=True):
        clock.setattr("time.monotonic", lambda: next(turns, 99.0))
        assert jobs.draw_tasks(running.pk) == 20
    assert OrmQ.objects.count() == 1


@pytest.mark.django_db
def test_the_slices_of_a_campaign_that_fails_keep_no_other_waiting(
    slices: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, other = active_campaign(30), active_campaign(30)
    Campaign.objects.filter(pk=broken.pk).update(sampler="gone")
    assert jobs.draw_tasks() == 20
    other.refresh_from_db()
    assert other.undrawn_tasks == 0


@pytest.mark.django_db(transaction=True)
def test_two_jobs_and_a_person_at_once_make_each_draw_once(
    slices: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = active_campaign(200)
    point = {"lr": 0.001, "d_model": 128}

    def add() -> None:
        for _ in range(5):
            lifecycle.enqueue(running, point, now=at(1))
            lifecycle.add_tasks(Campaign.objects.get(pk=running.pk), 1, now=at(1))

    in_parallel([lambda: jobs.draw_tasks(running.pk), jobs.draw_tasks, add])
    draw_all(running)
    assert (running.draws, running.task_count, running.tasks.count()) == (205, 210, 210)
    monkeypatch.undo()
    whole = active_campaign(205)
    sampled = running.tasks.filter(origin=TaskOrigin.SAMPLED).order_by("number")
    assert [task.params for task in sampled] == [
        task.params for task in whole.tasks.order_by("number")
    ]
    invariants.check()


# Ten slices of a thousand; each kill comes at whatever moment it comes.
KILLS = 3


@pytest.mark.django_db(transaction=True)
def test_a_process_that_is_killed_between_slices_or_in_one_loses_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {"parameters": [{"name": "d_model", "type": "int", "low": 1, "high": 3000}]}
    now = database_now()
    killed = active_campaign(9_000, search_space=small, now=now)
    assert killed.undrawn_tasks == 8_000
    code = (
        f"import django; django.setup(); from campaigns import jobs; jobs.draw_tasks({killed.pk})"
    )
    environment = database_environment(tmp_path)
    for _ in range(KILLS):
        killed.refresh_from_db()
        before = killed.draws
        process = subprocess.Popen([sys.executable, "-c", code], env=environment, cwd=ROOT)

        def has_begun(before: int = before) -> bool:
            return Campaign.objects.get(pk=killed.pk).draws > before

        wait_until(has_begun, "a slice was made", 60)
        process.kill()
        process.wait(30)
        connection.close()
        invariants.check()
    killed.refresh_from_db()
    assert killed.state == CampaignState.ACTIVE
    assert killed.undrawn_tasks == 9_000 - killed.tasks.count()
    draw_all(killed)
    monkeypatch.setattr("campaigns.lifecycle.campaigns.SLICE", 9_000)
    whole = active_campaign(9_000, search_space=small, now=now)
    assert whole.undrawn_tasks == 0
    assert made(killed) == made(whole)
    invariants.check()
