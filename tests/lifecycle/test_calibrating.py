"""lifecycle.claim: when a worker measures its speed, and what it may not have before."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from campaigns import lifecycle
from campaigns.lifecycle import expiry
from campaigns.lifecycle.calibrating import MEASURES_FIRST
from campaigns.models import Attempt, Result
from experiments import catalog
from tests.factories import (
    active_campaign,
    at,
    calibrate,
    calibration_report,
    claim,
    claim_one,
    finish,
    work_campaign,
    worker,
)
from workers.calibration import CalibrationOrder
from workers.models import Calibration, Worker

pytestmark = pytest.mark.django_db
CHAR_LM = "train_char_lm"
HOURS = 3600.0


def asked(by: Worker, seconds: float = 0.0, *, count: int = 1, calibrates: bool = True) -> Any:
    """Claim with an agent that can measure; return its answer."""
    options = {"count": count, "calibrates": calibrates, "now": at(seconds)}
    return lifecycle.claim(by, claim_id=uuid.uuid4(), **options)


def order(*, repeated: bool) -> CalibrationOrder:
    sha256 = catalog.script_sha256(CHAR_LM)
    return {"experiment": CHAR_LM, "script_sha256": sha256, "repeated": repeated}


def test_a_worker_measures_its_speed_before_its_first_task_of_a_work_budget() -> None:
    work_campaign()
    fresh = worker()
    for _ in range(2):  # also when the first answer was lost
        answer = asked(fresh)
        assert (answer.attempts, answer.reason) == ([], MEASURES_FIRST)
        assert answer.calibrate == order(repeated=False)
    calibrate(fresh)
    answer = asked(fresh)
    assert (len(answer.attempts), answer.reason, answer.calibrate) == (1, "", None)


def test_tasks_of_time_budgets_never_wait_for_a_measurement() -> None:
    active_campaign(1)
    answer = asked(worker())
    assert (len(answer.attempts), answer.calibrate) == (1, None)
    active_campaign(1)
    work_campaign()
    both = worker()
    answer = asked(both, count=2)
    assert [attempt.task.campaign.budget_kind for attempt in answer.attempts] == ["time"]
    assert (answer.reason, answer.calibrate) == (MEASURES_FIRST, order(repeated=False))


def test_who_cannot_measure_is_handed_everything() -> None:
    work_campaign(3, allow_simulated=True)
    assert len(claim(worker()).attempts) == 1  # an old agent
    answer = asked(worker(simulates=True))
    assert (len(answer.attempts), answer.calibrate) == (1, None)


def test_a_campaign_that_the_worker_cannot_run_is_no_reason_to_measure() -> None:
    work_campaign(required_isolation="T1")
    answer = asked(worker(isolation="T0"))
    assert (answer.attempts, answer.calibrate) == ([], None)
    assert "isolation T1" in answer.reason


def test_a_measurement_is_repeated_after_six_hours_while_work_waits() -> None:
    campaign = work_campaign(3)
    measured = worker()
    calibrate(measured)
    answers = [asked(measured, seconds) for seconds in (6 * HOURS - 1, 6 * HOURS)]
    assert [answer.calibrate for answer in answers] == [None, order(repeated=True)]
    assert [len(answer.attempts) for answer in answers] == [1, 1]
    lifecycle.pause(campaign, now=at(6 * HOURS))
    assert asked(measured, 7 * HOURS).calibrate is None


def test_a_measurement_of_another_script_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    work_campaign()
    measured = worker()
    calibrate(measured)
    monkeypatch.setattr(catalog, "script_sha256", lambda _name: "f" * 64)
    answer = asked(measured)
    assert answer.attempts == []
    assert answer.calibrate == {**order(repeated=False), "script_sha256": "f" * 64}


def test_a_repetition_without_anything_to_build_on_is_followed_by_a_whole_one() -> None:
    work_campaign()
    measured = worker()
    assert calibrate(measured, places=[0, 6, 7]).coefficients == {}
    answer = asked(measured)
    assert (len(answer.attempts), answer.calibrate) == (1, order(repeated=False))


def test_a_whole_measurement_without_a_fit_is_not_asked_for_again_at_once() -> None:
    work_campaign()
    measured = worker()
    report = calibration_report()
    for shape in report["shapes"]:
        del shape["params"]["n_heads"]
    assert calibrate(measured, shapes=report["shapes"]).coefficients == {}
    assert asked(measured).calibrate is None


@pytest.mark.parametrize(
    ("factors", "is_drift"),
    [
        ((1.6, 1.6, 1.6), True),
        ((0.6, 0.6, 0.6), True),
        ((1.4, 1.6, 1.6), False),
        ((0.6, 1.6, 0.6), False),
        ((1.6, 1.6), False),
    ],
)
def test_three_runs_in_a_row_that_took_another_time_are_a_drift(
    factors: tuple[float, ...], is_drift: bool
) -> None:
    space = catalog.get(CHAR_LM).default_search_space
    work_campaign(len(factors) + 2, search_space=space)
    drifting = worker()
    calibrate(drifting)
    for number, factor in enumerate(factors, start=1):
        (attempt,) = asked(drifting, number).attempts
        finish(attempt, now=at(number))
        params = dict(attempt.task.params)
        [shape] = calibration_report(places=[0])["shapes"]
        assert params.keys() == shape["params"].keys()
        Result.objects.filter(attempt=attempt).update(step_seconds=factor * expected(attempt))
    wanted = order(repeated=True) if is_drift else None
    assert asked(drifting, 60).calibrate == wanted
    if is_drift:  # the runs of before say nothing about the new measurement
        calibrate(drifting, 1.1, now=at(61))
        assert asked(drifting, 62).calibrate is None


def expected(attempt: Attempt) -> float:
    """What the recorded machine needs for a step of the attempt's task."""
    from campaigns.fleet.speeds import description_of, recorded_model

    model = recorded_model(CHAR_LM)
    description = description_of(catalog.script_source(CHAR_LM))
    assert model is not None
    assert description is not None
    return model.step_seconds(description, attempt.task.params)


def test_a_flagged_measurement_keeps_work_away_until_an_operator_admits_it() -> None:
    work_campaign(2)
    odd = worker()
    calibration = calibrate(odd)
    Calibration.objects.filter(pk=calibration.pk).update(flagged=True, value_off=0.02)
    for calibrates in (True, False):
        answer = asked(odd, 7 * HOURS, calibrates=calibrates)
        assert (answer.attempts, answer.calibrate) == ([], None)
        assert "until an operator admits" in answer.reason
    Calibration.objects.filter(pk=calibration.pk).update(admitted_at=at(0))
    assert len(asked(odd).attempts) == 1


def test_a_claim_asks_for_speeds_only_while_a_work_budget_is_active() -> None:
    active_campaign(3)
    by = worker()
    with CaptureQueriesContext(
        connection,
    ) as plain:
        claim_one(by)
    expiry.forget()
    with CaptureQueriesContext(connection) as able:
        assert asked(by).calibrate is None
    assert len(able) == len(plain)
