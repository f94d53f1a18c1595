"""Runs whose steps took too long: how they are noticed, and that they run once more."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from campaigns import jobs, lifecycle
from campaigns.lifecycle.replays import repeat_hindered
from campaigns.models import (
    Campaign,
    CampaignState,
    Result,
    StateChange,
    Task,
    TaskPurpose,
)
from campaigns.standings import arms
from tests import invariants
from tests.factories import active_campaign, at, claim_one, completed, runner, uploaded
from tests.lifecycle.results.test_classes import calibrate
from workers.models import Worker

pytestmark = pytest.mark.django_db

# The only point of this space has the sizes of the calibration's first shape.
SIZES = {"d_model": 64, "n_layers": 2, "n_heads": 2, "d_ff": 256, "batch_size": 32}
SPACE = {
    "parameters": [
        {"name": name, "type": "choice", "values": [value]}
        for name, value in (SIZES | {"context_length": 128}).items()
    ]
    + [{"name": "lr", "type": "float", "low": 0.001, "high": 0.01}]
}
# What a script says that has no description of its cost.
MUTE = b"# a script that says nothing of its cost\n"


def end(step: float | None, *, seconds: float, by: Worker | None = None, **changes: Any) -> Result:
    """Run the next task, 100 steps of `step` seconds each; return its result."""
    attempt = claim_one(by or runner(), now=at(seconds))
    body = completed(attempt.task, changes.pop("value", 3.0))
    took = {"train_seconds": None if step is None else 100 * step}
    body["metrics"] = (body["metrics"] or {}) | took | changes
    answer = lifecycle.submit(attempt.worker, attempt.lease_id, body, now=at(seconds))
    assert answer.verdict == "accepted", answer.message
    return Result.objects.select_related("task").get(attempt=attempt)


def expected_step() -> float:
    """Calibrate the runner; return what a step of the space takes by that."""
    calibrate(runner(), 1.0)
    active = active_campaign(1, search_space=SPACE, name="probe")
    expected = end(0.05, seconds=1).expected_step_seconds
    assert active.tasks.count() == 1
    assert expected
    return expected


@pytest.mark.parametrize(
    "line",
    [
        {"train_seconds": None},
        {"train_seconds": "7.5"},
        {"train_seconds": True},
        {"train_seconds": 0},
        {"train_seconds": -1.0},
        {"train_seconds": 1e300, "steps_completed": 1},
        {"train_seconds": 1.0, "steps_completed": 0, "stop_reason": "budget_too_small"},
    ],
)
def test_a_step_time_that_no_run_has_is_unknown(line: dict[str, Any]) -> None:
    active_campaign(1)
    none = {"val_bpb": None, "eval_nll_nats": None, "eval_bytes": 0, "eval_tokens": 0}
    is_empty = line.get("steps_completed") == 0
    result = end(None, seconds=1, **(line | none if is_empty else line))
    assert (result.step_seconds, result.disturbed) == (None, None)


def test_by_the_workers_calibration_a_run_is_disturbed_from_one_and_a_half_times() -> None:
    expected = expected_step()
    active_campaign(4, search_space=SPACE)
    calm, slow = end(1.49 * expected, seconds=2), end(2.3 * expected, seconds=3)
    assert (calm.disturbed, slow.disturbed) == (False, True)
    assert slow.step_seconds == pytest.approx(2.3 * expected)
    Result.objects.filter(pk=slow.pk).update(foreign_load=1.84)
    slow.refresh_from_db()
    assert slow.disturbance == (
        "disturbed: steps took 2.3x as long as expected; 1.8 cores were used by others"
    )
    assert calm.disturbance == ""
    # Nothing is expected of a worker without calibration that has run nothing like it.
    other = Worker.objects.create(name="other", token_hash="o")
    assert end(9.0 * expected, seconds=4, by=other).disturbed is None


def test_what_is_expected_is_that_of_as_many_threads() -> None:
    calibrate(runner(), 1.0, threads=2)
    active_campaign(6, search_space=SPACE)
    assert end(0.05, seconds=1, threads=2).disturbed is not None
    of_one = [end(step, seconds=n, threads=1) for n, step in enumerate((0.9, 1.0, 1.1, 1.0), 2)]
    assert [result.disturbed for result in of_one] == [None, None, None, False]
    assert of_one[3].expected_step_seconds == 1.0
    assert end(1.0, seconds=7, threads=4).expected_step_seconds is None


@pytest.mark.parametrize("source", [None, MUTE])
def test_without_a_calibration_three_runs_of_equal_cost_say_what_is_expected(
    source: bytes | None,
) -> None:
    """The learning rates differ; the fourth run, of another size, is unknown again."""
    script = uploaded(source, approved=True).pk if source else ""
    Worker.objects.filter(pk=runner().pk).update(accepts_uploaded_scripts=True)
    campaign = active_campaign(5, search_space=SPACE, script=script)
    steps = (0.01, 0.012, 0.014, 0.02, 0.012)
    results = [end(step, seconds=n) for n, step in enumerate(steps, start=1)]
    assert [result.disturbed for result in results] == [None, None, None, True, False]
    assert [result.expected_step_seconds for result in results[3:]] == [0.012, 0.012]
    wide = {"parameters": [dict(p) for p in SPACE["parameters"]]}
    wide["parameters"][0] = {"name": "d_model", "type": "choice", "values": [128]}
    Campaign.objects.filter(pk=campaign.pk).update(state="paused")
    active_campaign(1, search_space=wide, script=script)
    assert end(0.05, seconds=9).disturbed is None


def test_a_disturbed_run_is_replayed_once_and_the_campaign_waits_for_it() -> None:
    expected = expected_step()
    campaign = active_campaign(2, search_space=SPACE)
    first, other = end(3 * expected, seconds=2), end(expected, seconds=3)
    campaign.refresh_from_db()
    assert (campaign.state, campaign.task_count) == (CampaignState.ACTIVE, 3)
    replay = campaign.tasks.get(purpose=TaskPurpose.REPLAY)
    assert (replay.arm_id, replay.seed, replay.seed_index) == (
        first.task.arm_id,
        first.task.seed,
        first.task.seed_index,
    )
    reason = "disturbed: steps took 3.0x as long as expected; it runs once more"
    assert (
        StateChange.objects.get(task=first.task, to_state="completed", subject="task").reason
        == reason
    )
    # Another process comes to the same run.
    assert not repeat_hindered(first, now=at(3))
    # The replay is disturbed, too: the first value stays, and nothing runs a third time.
    assert end(4 * expected, seconds=4).task == replay
    campaign.refresh_from_db()
    assert (campaign.state, campaign.tasks.count()) == (CampaignState.COMPLETED, 3)
    assert Task.objects.get(pk=first.task_id).purpose == TaskPurpose.SCREEN
    assert other.disturbed is False
    invariants.check()


def test_an_undisturbed_replay_takes_the_place_of_the_disturbed_run() -> None:
    expected = expected_step()
    campaign = active_campaign(1, search_space=SPACE)
    first = end(3 * expected, seconds=2, value=2.75)
    assert [row.value for row in arms.rows(campaign, limit=9)] == [2.75]
    replay = end(expected, seconds=3, value=2.5)
    first.refresh_from_db()
    purposes = dict(campaign.tasks.values_list("pk", "purpose"))
    assert purposes == {first.task_id: TaskPurpose.REPLAY, replay.task_id: TaskPurpose.SCREEN}
    assert (first.is_screening, first.is_ranked) == (False, True)
    notes = [run.attempt.answer["note"] for run in (first, replay) if run.attempt.answer]
    assert "it runs once more, disturbed: steps took" in notes[0]
    assert notes[1].endswith("in the place of the run that it repeats")
    campaign.refresh_from_db()
    assert campaign.state == CampaignState.COMPLETED
    assert [row.value for row in arms.rows(campaign, limit=9)] == [2.5]
    invariants.check()


def test_what_races_diverged_or_came_from_a_program_or_a_work_budget_is_not_repeated() -> None:
    expected = expected_step()
    race = active_campaign(2, search_space=SPACE)
    end(expected, seconds=2)
    end(expected, seconds=3)
    lifecycle.start_race(race, [0, 1], seeds=3, now=at(4))
    assert end(3 * expected, seconds=5).disturbed is True
    lifecycle.cancel(race, now=at(6))
    diverged = active_campaign(1, search_space=SPACE)
    nothing = {"val_bpb": None, "eval_nll_nats": None, "train_loss": None}
    assert end(3 * expected, seconds=7, diverged=True, **nothing).disturbed is True
    program = active_campaign(1, search_space=SPACE)
    Worker.objects.update(is_program=True)
    assert end(3 * expected, seconds=8).disturbed is True
    assert program.tasks.count() == 1
    Worker.objects.update(is_program=False)
    work = active_campaign(1, search_space=SPACE)
    Campaign.objects.filter(pk=work.pk).update(
        budget_kind="work", work_unit="steps", work_amount=100.0
    )
    assert end(3 * expected, seconds=9).disturbed is True
    assert not Task.objects.filter(purpose=TaskPurpose.REPLAY).exists()
    assert Campaign.objects.get(pk=diverged.pk).state == CampaignState.COMPLETED


def test_a_replay_that_a_process_did_not_make_is_made_by_the_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = expected_step()
    campaign = active_campaign(1, search_space=SPACE)
    with monkeypatch.context() as patch:
        patch.setattr("campaigns.lifecycle.submissions.repeat_hindered", lambda *_, **__: False)
        disturbed = end(3 * expected, seconds=2)
    Result.objects.filter(pk=disturbed.pk).update(created_at=timezone.now())
    campaign.refresh_from_db()
    assert campaign.state == CampaignState.COMPLETED
    assert (jobs.repeat_disturbed(), jobs.repeat_disturbed()) == (1, 0)
    campaign.refresh_from_db()
    assert (campaign.state, campaign.tasks.count()) == (CampaignState.ACTIVE, 2)
    invariants.check()
