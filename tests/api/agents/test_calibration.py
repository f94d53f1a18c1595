"""POST workers/me/calibration: what is stored of a worker's speed, and what holds it back."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from rest_framework.test import APIClient

from campaigns.fleet.calibrations import KEPT
from campaigns.fleet.speeds import worker_model
from experiments import catalog
from tests.clients import agent_client, researcher_client
from tests.factories import calibrate, calibration_report, campaign, uploaded, user, worker
from workers.calibration import MAX_CALIBRATION_BYTES
from workers.models import AuditEntry, Calibration
from xeenet_site.web import roles

pytestmark = pytest.mark.django_db
CHAR_LM = "train_char_lm"


def send(client: APIClient, **changes: Any) -> Any:
    report: Any = calibration_report(**changes)
    return client.post("/api/v1/workers/me/calibration", report)


@pytest.fixture
def known_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the catalog know that float32 gives 3.0 on the first shape."""
    experiment = catalog.get(CHAR_LM)
    assert experiment.calibration is not None
    plan = dataclasses.replace(experiment.calibration, known_shape=0, known_values={"float32": 3.0})
    known = dataclasses.replace(experiment, calibration=plan)
    monkeypatch.setitem(catalog._EXPERIMENTS, CHAR_LM, known)


def off_by(bits: float, **changes: Any) -> Any:
    """A report whose known run is off by so much."""
    report = calibration_report()
    report["shapes"][0]["val_bpb"] = 3.0 + bits
    return {"shapes": report["shapes"], **changes}


def test_a_report_is_fitted_and_the_worker_gets_a_cost_model() -> None:
    client, measured = agent_client()
    answer = send(client, times_as_fast=2.0)
    assert answer.status_code == 200
    assert answer.json()["message"].startswith("Stored: 2 times as fast as ")
    calibration = measured.calibrations.get()
    assert calibration.speed == pytest.approx(2.0)
    assert calibration.fit_error == pytest.approx(0.0, abs=1e-6)
    assert (calibration.dtype, calibration.threads, calibration.isolation) == ("float32", 2, "T1")
    assert calibration.foreign_load == 0.25
    plan = catalog.get(CHAR_LM).calibration
    model = worker_model(measured, CHAR_LM)
    assert plan is not None
    assert model is not None
    halved = {name: value / 2 for name, value in plan.coefficients.items()}
    assert dict(model.coefficients) == pytest.approx(halved)


def test_the_same_report_again_is_stored_once_and_gets_the_same_answer() -> None:
    client, measured = agent_client()
    answers = [send(client, times_as_fast=speed).json() for speed in (1.0, 1.0, 1.1, 1.0)]
    assert answers[0] == answers[1] == answers[3]
    assert measured.calibrations.count() == 3  # a report counts as repeated only after itself


def test_few_shapes_scale_the_former_cost_by_their_median() -> None:
    measured = worker()
    first = calibrate(measured, 1.0)
    report = calibration_report(0.5, places=[0, 6, 7])
    report["shapes"][1]["step_seconds"] *= 10  # a neighbour was busy during one of them
    again = calibrate(measured, shapes=report["shapes"])
    assert again.speed == pytest.approx(0.5)
    doubled = {name: 2 * value for name, value in first.coefficients.items()}
    assert again.coefficients == pytest.approx(doubled)


@pytest.mark.parametrize("other", [{"dtype": "bfloat16"}, {"device": "cuda"}])
def test_few_shapes_do_not_scale_what_another_kind_of_numbers_cost(other: dict[str, str]) -> None:
    client, measured = agent_client()
    calibrate(measured)
    answer = send(client, places=[0, 6, 7], **other)
    assert "so few shapes" in answer.json()["message"]
    assert measured.calibrations.all()[0].coefficients == {}


def test_shapes_that_give_no_cost_are_stored_and_said() -> None:
    client, measured = agent_client()
    shapes = calibration_report()["shapes"]
    shapes[0]["params"]["d_model"] = "wide"
    answer = send(client, shapes=shapes)
    assert answer.status_code == 200
    assert answer.json()["message"].startswith("Stored without a cost of a step: ")
    calibration = measured.calibrations.get()
    assert (calibration.coefficients, calibration.speed, calibration.fit_error) == ({}, None, None)
    assert worker_model(measured, CHAR_LM) is None


@pytest.mark.usefixtures("known_value")
@pytest.mark.parametrize(
    ("bits", "dtype", "flagged", "off"),
    [
        (0.0149, "float32", False, 0.0149),
        (-0.0151, "float32", True, 0.0151),
        (0.5, "bfloat16", False, None),
    ],
)
def test_a_value_off_the_known_one_is_flagged(
    bits: float, dtype: str, flagged: bool, off: float | None
) -> None:
    calibration = calibrate(worker(), **off_by(bits, dtype=dtype))
    assert (calibration.flagged, calibration.value_off) == (
        flagged,
        None if off is None else pytest.approx(off),
    )


@pytest.mark.usefixtures("known_value")
def test_a_known_run_that_diverged_is_flagged() -> None:
    shapes = calibration_report()["shapes"]
    shapes[0]["val_bpb"] = None
    calibration = calibrate(worker(), shapes=shapes)
    assert (calibration.flagged, calibration.value_off) == (True, None)
    assert "diverged" in calibration.why_held_back


@pytest.mark.usefixtures("known_value")
def test_an_operator_admits_a_flagged_worker_for_good() -> None:
    odd = worker()
    calibrate(odd, **off_by(0.02))
    assert worker_model(odd, CHAR_LM) is None
    url = f"/api/v1/workers/{odd.pk}/admit-calibration"
    assert researcher_client()[0].post(url).status_code == 403
    operator = user(role=roles.OPERATOR)
    assert researcher_client(operator)[0].post(url).status_code == 200
    assert worker_model(odd, CHAR_LM) is not None
    entry = AuditEntry.objects.get(verb="admit_calibration")
    assert (entry.actor, entry.target_id) == (operator, odd.pk)
    assert researcher_client(operator)[0].post(url).status_code == 409
    # What was admitted is not flagged at each repetition; what is worse is.
    assert not calibrate(odd, 1.1, **off_by(0.021)).flagged
    assert calibrate(odd, 1.2, **off_by(0.04)).flagged


def test_the_newest_calibrations_are_kept() -> None:
    measured = worker()
    first = calibrate(measured)
    columns = {field.name: getattr(first, field.name) for field in first._meta.fields}
    Calibration.objects.bulk_create(Calibration(**columns | {"id": None}) for _ in range(KEPT))
    newest = calibrate(measured, 2.0)
    assert measured.calibrations.count() == KEPT
    assert newest in measured.calibrations.all()


def test_a_former_script_of_the_server_is_taken_but_no_uploaded_and_no_unknown_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client, measured = agent_client()
    assert send(client, script_sha256="0" * 64).status_code == 400
    assert send(client, script_sha256=uploaded(approved=True).pk).status_code == 400
    former = campaign().package_id
    monkeypatch.setattr(catalog, "script_sha256", lambda _name: "f" * 64)
    assert send(client, script_sha256=former).status_code == 200
    assert measured.calibrations.get().speed == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"experiment": "other"}, "experiment"),
        ({"shapes": []}, "shapes"),
        ({"shapes": [{}] * 33}, "shapes"),
        ({"foreign_load": -0.1}, "foreign_load"),
        ({"threads": 0}, "threads"),
        ({"isolation": "T9"}, "isolation"),
    ],
)
def test_a_report_out_of_its_bounds_is_refused(changes: dict[str, Any], field: str) -> None:
    client, measured = agent_client()
    answer = send(client, **changes)
    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == [field]
    assert not measured.calibrations.exists()


@pytest.mark.parametrize("time", [0, -1.0, 1e7])
def test_a_step_takes_some_time_and_not_for_ever(time: float) -> None:
    shapes = calibration_report()["shapes"]
    shapes[2]["step_seconds"] = time
    answer = send(agent_client()[0], shapes=shapes)
    assert answer.status_code == 400
    assert "step_seconds" in answer.json()["message"]


def test_a_body_is_bounded() -> None:
    client, _ = agent_client()
    body = b'{"experiment": "' + b"x" * MAX_CALIBRATION_BYTES + b'"}'
    url = "/api/v1/workers/me/calibration"
    answer = client.post(url, body, content_type="application/json")
    assert answer.status_code == 413
    assert str(MAX_CALIBRATION_BYTES) in answer.json()["message"]


def test_people_read_what_was_measured() -> None:
    measured = worker()
    calibrate(measured, 1.5)
    calibrate(measured, 3.0)
    page = researcher_client()[0].get(f"/api/v1/workers/{measured.pk}/calibrations").json()
    assert [row["speed"] for row in page["results"]] == pytest.approx([3.0, 1.5])
    assert page["results"][0]["shapes"][0]["params"]["d_model"] == 64
    about = researcher_client()[0].get(f"/api/v1/workers/{measured.pk}").json()
    assert about["calibration"]["speed"] == pytest.approx(3.0)
    assert about["calibration"]["is_held_back"] is False
