"""Work budgets: the steps of each config, the guard of each run, and what is too slow."""

from __future__ import annotations

import math
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from campaigns import lifecycle
from campaigns.fleet.budgets import MAX_WORK_SECONDS
from campaigns.fleet.speeds import recorded_model
from campaigns.lifecycle import InvalidCampaign, WrongState
from campaigns.models import Campaign, CampaignState, Task, TaskState
from experiments import catalog
from tests import invariants
from tests.factories import (
    NOW,
    SMALL_SPACE,
    active_campaign,
    at,
    campaign,
    claim,
    claim_one,
    finish,
    uploaded,
    worker,
)
from workers.models import Calibration, Worker
from workers.protocol import Verdict

pytestmark = pytest.mark.django_db

RECORDED = recorded_model("train_char_lm")
SHAPE = {"n_heads": 2, "n_layers": 2, "d_ff": 256, "batch_size": 32, "context_length": 128}


def space(**params: list[Any]) -> dict[str, Any]:
    """A space of choices: the sizes of the script with `params` instead of some of them."""
    choices = {name: [value] for name, value in SHAPE.items()} | {"d_model": [64, 256]} | params
    lr = {"name": "lr", "type": "float", "low": 1e-4, "high": 1e-2, "log": True}
    return {
        "parameters": [
            lr,
            *({"name": name, "type": "choice", "values": v} for name, v in choices.items()),
        ],
        "constraints": [],
    }


def seconds(amount: float = 60.0, **fields: Any) -> dict[str, Any]:
    """A work budget in seconds of the reference."""
    return {"budget_kind": "work", "work_amount": amount, "search_space": space()} | fields


def steps(amount: float = 100, **fields: Any) -> dict[str, Any]:
    """A work budget in steps, without a cost model: the space lacks what costs."""
    return {"budget_kind": "work", "work_unit": "steps", "work_amount": amount} | fields


def calibrated(machine: Worker, times: float, **fields: Any) -> Calibration:
    """Say that the machine needs so many times the recorded seconds for a step."""
    assert RECORDED is not None
    coefficients = {name: times * value for name, value in RECORDED.coefficients.items()}
    return Calibration.objects.create(
        **{
            "worker": machine,
            "taken_at": NOW,
            "experiment": "train_char_lm",
            "script_sha256": catalog.script_sha256("train_char_lm"),
            "device": "cpu",
            "dtype": "float32",
            "shapes": [],
            "coefficients": coefficients,
        }
        | fields
    )


def online(now: Any = NOW, **fields: Any) -> Worker:
    """A machine that has just called."""
    return worker(last_seen_at=now, **fields)


# --- creation and launch --------------------------------------------------------------------------


def test_seconds_of_work_are_as_many_steps_as_the_reference_makes_in_them() -> None:
    calibrated(online(name="slow"), 4.0)
    calibrated(online(name="median"), 2.0)
    calibrated(online(name="fast"), 1.0)
    launched = active_campaign(12, **seconds())
    assert launched.cost_model["reference"] == "median"
    line = launched.changes.get(to_state="active")
    assert "median, calibrated 2026-01-05 12:00" in line.reason
    assert RECORDED is not None
    description = catalog.script_source("train_char_lm")
    found = {task.params["d_model"]: task for task in launched.tasks.all()}
    for task in found.values():
        own = _recorded_step_seconds(description, task.params)
        assert task.max_steps == round(60 / (2 * own))
        assert task.work_seconds == 60.0
        assert task.config["max_steps"] == task.max_steps
    assert found[64].max_steps > 3 * found[256].max_steps
    # Later calibrations change nothing.
    calibrated(online(), 9.0)
    lifecycle.add_tasks(launched, 12, now=NOW)
    again = {task.params["d_model"]: task.max_steps for task in launched.tasks.all()}
    assert again == {size: task.max_steps for size, task in found.items()}
    invariants.check()


def _recorded_step_seconds(source: bytes, params: dict[str, Any]) -> float:
    from campaigns.work.describe import read_description

    description = read_description(source)
    assert RECORDED is not None
    assert description is not None
    return RECORDED.step_seconds(description, params)


def test_tokens_and_steps_need_no_model_and_few_tokens_are_two_steps() -> None:
    sizes = {
        "parameters": [
            {"name": "batch_size", "type": "choice", "values": [1, 4, 512]},
            {"name": "context_length", "type": "choice", "values": [64]},
        ],
        "constraints": [],
    }
    tokens = active_campaign(
        3,
        budget_kind="work",
        work_unit="tokens",
        work_amount=1000,
        search_space=sizes,
        sampler="grid",
    )
    found = {task.params["batch_size"]: task.max_steps for task in tokens.tasks.all()}
    assert found == {1: 16, 4: 4, 512: 2}
    assert set(active_campaign(2, **steps(77)).tasks.values_list("max_steps", "work_seconds")) == {
        (77, None)
    }


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        (seconds(time_budget_seconds=60.0), "time_budget_seconds", "a work budget has no time"),
        (seconds(None), "work_amount", "must be a number from 0.1 to 60,480"),
        (seconds(math.nan), "work_amount", "must be a number"),
        (seconds(math.inf), "work_amount", "must be a number"),
        (seconds(True), "work_amount", "must be a number"),
        (seconds("60"), "work_amount", "must be a number"),
        (seconds(0), "work_amount", "must be a number"),
        (seconds(60_481), "work_amount", "to 60,480"),
        (steps(1e300), "work_amount", "must be a number from 2 to 2,147,483,646"),
        (steps(2.5), "work_amount", "whole number of steps"),
        (steps(1), "work_amount", "from 2"),
        (steps(work_unit="flop"), "work_unit", "must be one of seconds, steps, tokens"),
        (steps(work_unit="tokens"), "work_unit", "batch_size and context_length"),
        (
            seconds(2_000_000_000, work_unit="steps"),
            "work_amount",
            "is too much: 2,000,000,000 steps would take",
        ),
        (seconds(search_space=SMALL_SPACE), "search_space", "no config of it has such a run"),
        ({"budget_kind": "flop"}, "budget_kind", "must be time or work"),
        ({"work_amount": 60}, "work_amount", "belongs to a work budget"),
        ({"work_unit": "steps"}, "work_unit", "belongs to a work budget"),
        ({"time_budget_seconds": None}, "time_budget_seconds", "or else a work budget"),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused_with_what_to_change(
    fields: dict[str, Any], field: str, words: str
) -> None:
    with pytest.raises(InvalidCampaign) as refused:
        campaign(**fields)
    assert list(refused.value.errors) == [field]
    assert words in refused.value.errors[field][0]
    assert not Campaign.objects.exists()


def test_a_script_that_does_not_say_its_cost_takes_no_seconds() -> None:
    script = uploaded(b"# no DESCRIBE\n", approved=True)
    with pytest.raises(InvalidCampaign, match="does not say what a step costs"):
        campaign(**seconds(script=script.pk))
    assert campaign(**steps(script=script.pk)).time_budget_seconds == MAX_WORK_SECONDS


def test_max_steps_is_reserved_for_new_campaigns_and_old_ones_keep_it() -> None:
    old = {
        "parameters": [{"name": "max_steps", "type": "int", "low": 5, "high": 9}],
        "constraints": [],
    }
    with pytest.raises(InvalidCampaign, match="reserved: use a work budget in steps"):
        campaign(search_space=old)
    draft = campaign()
    Campaign.objects.filter(pk=draft.pk).update(search_space=old)
    draft.refresh_from_db()
    lifecycle.launch(draft, now=NOW)
    lifecycle.add_tasks(draft, 1, now=NOW)
    task = lifecycle.enqueue(draft, {"max_steps": 7}, now=NOW)
    assert (task.config["max_steps"], task.max_steps) == (7, None)
    assert claim_one(worker()).config["max_steps"] in range(5, 10)


def test_an_arm_without_a_finite_cost_fails_at_once_and_the_campaign_completes() -> None:
    # 2e15 tokens a step: a run of two steps would take longer than any may.
    draft = campaign(
        task_count=2, sampler="grid", **seconds(search_space=_grid(batch_size=[32, 2**50]))
    )
    lifecycle.launch(draft, now=NOW)
    endless = draft.tasks.get(state=TaskState.FAILED)
    assert (endless.max_steps, endless.failure_class) == (None, "too_slow")
    assert "2 steps would take" in endless.arm.infeasible
    with pytest.raises(WrongState, match="no such run"):
        lifecycle.retry_task(endless, now=NOW)
    with pytest.raises(InvalidCampaign, match="are infeasible: 2 steps would take"):
        lifecycle.enqueue(draft, endless.params, now=NOW)
    with pytest.raises(InvalidCampaign, match="1 is infeasible: 2 steps would take"):
        lifecycle.start_race(draft, [0, 1], now=NOW)
    finish(claim_one(worker()))
    draft.refresh_from_db()
    assert draft.state == CampaignState.COMPLETED
    # The grid begins again with the arm that can run, then comes the one that cannot.
    lifecycle.add_tasks(draft, 1, now=NOW)
    finish(claim_one(worker()))
    lifecycle.add_tasks(draft, 1, now=NOW)
    assert draft.state == CampaignState.COMPLETED
    invariants.check()


def _grid(**params: list[Any]) -> dict[str, Any]:
    body = space(d_model=[64], **params)
    return body | {"parameters": body["parameters"][1:]}


def test_a_launch_that_draws_nothing_but_endless_runs_is_refused() -> None:
    # The space has one config that can run; the grid's first is not that one.
    draft = campaign(
        task_count=1, sampler="grid", **seconds(search_space=_grid(batch_size=[2**50, 32]))
    )
    with pytest.raises(InvalidCampaign, match="no task can run: 2 steps would take"):
        lifecycle.launch(draft, now=NOW)
    draft.refresh_from_db()
    assert (draft.state, draft.arms.count()) == (CampaignState.DRAFT, 0)


# --- the guard ------------------------------------------------------------------------------------


def test_the_guard_is_ten_times_what_the_claiming_worker_should_need() -> None:
    calibrated(online(), 1.0)
    one = space(d_model=[64])
    active_campaign(4, **seconds(search_space=one))
    guards = {}
    for times in (0.01, 1.0, 3.0, 1e9):
        machine = online()
        calibrated(machine, times)
        guards[times] = claim_one(machine).budget_seconds
    task = Task.objects.first()
    assert task is not None
    assert task.max_steps is not None
    dataset = task.campaign.dataset
    evaluated = catalog.get("train_char_lm").eval_bytes_allowed(dataset.size_bytes)["full"]
    per_step = 60 / task.max_steps
    expected = 60 + per_step * 0.5 * evaluated / (32 * 128)
    assert guards[1.0] == pytest.approx(10 * expected, rel=0.002)
    assert guards[3.0] == pytest.approx(3 * guards[1.0])
    assert (guards[0.01], guards[1e9]) == (30.0, 604_800.0)


def test_without_its_own_calibration_the_slowest_worker_online_counts() -> None:
    one = seconds(search_space=space(d_model=[64]))
    active_campaign(3, **one)
    by_catalog = claim_one(online()).budget_seconds
    calibrated(online(), 2.0)
    calibrated(online(), 3.0)
    calibrated(worker(last_seen_at=at(-10_000)), 50.0)
    assert claim_one(online()).budget_seconds == pytest.approx(3 * by_catalog)
    # Steps of a script of which nothing is known.
    active_campaign(1, **steps())
    claim_one(online())
    assert claim_one(online()).budget_seconds == MAX_WORK_SECONDS


def test_deadline_config_and_checks_read_the_guard_of_the_attempt() -> None:
    machine = online()
    active_campaign(1, **seconds(search_space=space(d_model=[64])))
    calibrated(machine, 4.0)
    attempt = claim_one(machine)
    guard = attempt.budget_seconds
    assert guard > 4 * 600
    assert attempt.config["time_budget_seconds"] == guard
    assert attempt.task.deadline_at == at(guard + 60 + 15 + 60)
    assert attempt.task.campaign.time_budget_seconds < 1000
    late = at(guard + 20)
    assert finish(attempt, wall_time_seconds=guard + 10, now=late).verdict is Verdict.ACCEPTED


def test_a_claim_asks_once_more_for_the_guards_and_only_where_it_gives_work() -> None:
    counts = {}
    for name, fields in {"time": {}, "work": seconds()}.items():
        launched = active_campaign(5, **fields)
        claim(online(), 1)  # reads script and data set once for the process
        machine = online()
        with CaptureQueriesContext(connection) as queries:
            assert len(claim(machine, 4).attempts) == 4
        counts[name] = len(queries)
        lifecycle.cancel(launched, now=NOW)
    # Two more ask whether the worker measures its speed first.
    assert counts["work"] == counts["time"] + 1 + 2


def test_a_worker_whose_values_differ_gets_no_work_until_it_is_admitted() -> None:
    machine = online()
    calibrated(machine, 1.0)
    flagged = calibrated(machine, 1.0, flagged=True, taken_at=at(5))
    active_campaign(2, **seconds())
    answer = claim(machine)
    assert not answer.attempts
    assert "until an operator admits" in answer.reason
    assert claim(online()).attempts
    active_campaign(1)
    assert claim_one(machine).task.max_steps is None
    Calibration.objects.filter(pk=flagged.pk).update(admitted_at=NOW)
    assert claim_one(machine).task.max_steps is not None
