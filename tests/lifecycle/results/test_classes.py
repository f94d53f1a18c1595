"""The class of a result: what tells it from others, the band of its worker, and that it stays."""

from __future__ import annotations

from typing import Any

import pytest

from campaigns import lifecycle
from campaigns.lifecycle.classes import budget_words, device_kind
from campaigns.models import Campaign, Result, ResultClass
from experiments.metrics import bits_per_byte
from tests.concurrency import in_parallel
from tests.factories import NOW, active_campaign, at, claim_one, completed, finish, run, worker
from workers.models import Calibration, Worker

SPEEDS = ("matrix_gflop", "attention_gflop", "attention_elements", "activations", "parameters")
H200 = {"devices": ["cuda", "cpu"], "gpu_name": "NVIDIA H200", "cpu_model": "EPYC 9005"}

pytestmark = pytest.mark.django_db


def calibrate(of: Worker, speed: float, *, seconds: float = 0, **fields: Any) -> Calibration:
    """Say that a step of any shape takes the worker `speed` times a unit."""
    columns = {"experiment": "train_char_lm", "device": "cpu", "dtype": "bfloat16", "shapes": []}
    coefficients = dict.fromkeys(SPEEDS, 0.005 * speed)
    return of.calibrations.create(
        taken_at=at(seconds), coefficients=coefficients, **(columns | fields)
    )


def result_of(by: Worker, campaign: Campaign, *, seconds: float = 1, **changes: Any) -> Result:
    """Let the worker run the next task of the campaign."""
    Campaign.objects.exclude(pk=campaign.pk).update(state="paused")
    Campaign.objects.filter(pk=campaign.pk).update(state="active")
    attempt = claim_one(by, now=at(seconds))
    assert attempt.task.campaign_id == campaign.pk
    assert finish(attempt, now=at(seconds), **changes).verdict == "accepted"
    return Result.objects.select_related("result_class__band").get(attempt=attempt)


def work_campaign(**fields: Any) -> Campaign:
    """A campaign with a work budget of 200 steps."""
    campaign = active_campaign(6)
    work = {"budget_kind": "work", "work_unit": "steps", "work_amount": 200.0}
    Campaign.objects.filter(pk=campaign.pk).update(**(work | fields))
    campaign.refresh_from_db()
    return campaign


def test_campaigns_share_a_class_and_each_of_its_parts_tells_classes_apart() -> None:
    by = worker(hardware=H200)
    first = result_of(by, active_campaign(9)).result_class
    assert first is not None
    assert (first.device_kind, first.dtype, first.band, first.budget) == (
        "cpu",
        "bfloat16",
        by,
        "10 s",
    )
    assert str(first) == f"10 s, cpu, bfloat16, {by.name}"
    assert result_of(by, active_campaign(2)).result_class == first
    same = active_campaign(9)
    nats = 3.0 * 16_384 / bits_per_byte(1.0, 1)
    part = {"eval_bytes": 16_384, "eval_tokens": 16_384, "eval_nll_nats": nats}
    others = [
        result_of(by, active_campaign(1, time_budget_seconds=20.0)).result_class,
        result_of(by, active_campaign(1, dataset="english_like")).result_class,
        result_of(by, same, dtype="float32").result_class,
        result_of(by, same, device_used="cuda:0").result_class,
        result_of(by, same, **part).result_class,
        result_of(worker(), same).result_class,
        result_of(by, work_campaign()).result_class,
        result_of(by, work_campaign(work_amount=201.0)).result_class,
        result_of(by, work_campaign(work_unit="tokens")).result_class,
    ]
    assert len({first, *others}) == 10
    assert {kind.device_kind for kind in others if kind} == {"cpu", "cuda NVIDIA H200"}


def test_under_a_work_budget_all_cpus_share_a_class_whatever_their_number_type() -> None:
    campaign = work_campaign()
    results = [
        result_of(worker(), campaign, dtype="float32"),
        result_of(worker(hardware=H200), campaign, dtype="bfloat16"),
    ]
    assert len({result.result_class for result in results}) == 1
    kind = results[0].result_class
    assert kind is not None
    assert (kind.budget, kind.dtype, kind.band) == ("200 steps", "", None)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"time_budget_seconds": 60.0}, "60 s"),
        ({"time_budget_seconds": 0.25}, "0.25 s"),
        ({"work": ("seconds", 60.0)}, "as much work as 60 s"),
        ({"work": ("steps", 200.0)}, "200 steps"),
        ({"work": ("tokens", 1_000_000.0)}, "1,000,000 tokens"),
    ],
)
def test_the_size_of_a_budget_in_words(fields: dict[str, Any], words: str) -> None:
    campaign = Campaign(time_budget_seconds=fields.get("time_budget_seconds", 1.0))
    if work := fields.get("work"):
        campaign.budget_kind, (campaign.work_unit, campaign.work_amount) = "work", work
    assert budget_words(campaign) == words


@pytest.mark.parametrize(
    ("used", "hardware", "kind"),
    [
        ("cpu", {}, "cpu"),
        ("EPYC 9005", H200, "cpu"),
        ("cuda", H200, "cuda NVIDIA H200"),
        ("cuda:1", H200, "cuda NVIDIA H200"),
        ("NVIDIA H200", H200, "cuda NVIDIA H200"),
        ("cuda", {}, "cuda"),
        ("cuda (A100)", {}, "cuda (a100)"),
        ("mps", {}, "mps"),
    ],
)
def test_a_gpu_is_told_by_its_model_and_all_cpus_are_one(
    used: str, hardware: dict[str, Any], kind: str
) -> None:
    assert device_kind(used, Worker(hardware=hardware)) == kind


def test_what_was_not_measured_has_no_class_and_every_result_has_its_arm() -> None:
    active_campaign(3, allow_simulated=True)
    run(None, seconds=1)
    run(3.0, seconds=2, simulated=True)
    assert list(Result.objects.values_list("result_class", flat=True)) == [None, None]
    run(0.001, seconds=3)  # implausible: measured, and an operator may admit it
    results = Result.objects.select_related("task")
    assert [result.arm_id == result.task.arm_id for result in results] == [True] * 3
    assert Result.objects.get(value=0.001).result_class is not None


def test_workers_whose_calibrations_agree_within_a_tenth_share_a_band() -> None:
    campaign = active_campaign(9)
    first, near, far, unknown = (worker() for _ in range(4))
    for by, speed in ((first, 1.0), (near, 1.09), (far, 1.15)):
        calibrate(by, speed)
    bands = [result_of(by, campaign).result_class for by in (first, near, far, unknown)]
    assert [band and band.band for band in bands] == [first, first, far, unknown]


def test_the_band_is_that_of_the_first_result_whatever_is_measured_later() -> None:
    campaign = active_campaign(9)
    first, other = worker(), worker()
    before = [result_of(by, campaign).result_class for by in (first, other)]
    for by in (first, other):
        calibrate(by, 1.0)
    assert [result_of(by, campaign).result_class for by in (first, other)] == before
    assert before[0] != before[1]
    # In a new campaign both start anew, and now they are known to be equal.
    anew = active_campaign(3)
    assert result_of(first, anew).result_class == result_of(other, anew).result_class


def test_under_a_time_budget_a_worker_with_other_threads_is_another_machine() -> None:
    campaign, work = active_campaign(9), work_campaign()
    by, other = worker(), worker()
    for each in (by, other):
        calibrate(each, 1.0, threads=2)
    both = [result_of(by, campaign, threads=2), result_of(other, campaign, threads=2)]
    one = result_of(by, campaign, threads=1).result_class
    assert one is not None
    assert (one.band, one.threads, str(one)) == (by, 1, f"10 s, cpu, bfloat16, {by.name}, 1 thread")
    back = result_of(by, campaign, threads=2).result_class
    assert [result.result_class for result in both] == [back, back]
    assert back is not None
    assert back.threads is None  # and its key is that of before there were such classes
    # The same work has the same value with any number of threads, and so one class.
    of_work = [result_of(by, work, threads=threads).result_class for threads in (2, 1)]
    assert of_work[0] == of_work[1] != one


def test_a_calibration_with_other_threads_makes_no_band() -> None:
    campaign = active_campaign(9)
    first, other = worker(), worker()
    calibrate(first, 1.0, threads=2)
    calibrate(other, 1.0, threads=4)
    classes = [result_of(by, campaign, threads=2).result_class for by in (first, other)]
    assert classes[0] != classes[1]


@pytest.mark.parametrize(
    "unfit",
    [{"flagged": True}, {"dtype": "float32"}, {"device": "cuda"}, {"coefficients": {}}],
)
def test_a_calibration_that_is_off_or_of_another_device_makes_no_band(unfit: Any) -> None:
    campaign = active_campaign(9)
    first, other = worker(), worker()
    calibrate(first, 1.0)
    calibration = calibrate(other, 1.0)
    Calibration.objects.filter(pk=calibration.pk).update(**unfit)
    assert result_of(first, campaign).result_class != result_of(other, campaign).result_class


@pytest.mark.django_db(transaction=True)
def test_results_that_come_at_once_make_one_class() -> None:
    active_campaign(6)
    Campaign.objects.update(budget_kind="work", work_unit="steps", work_amount=200.0)
    attempts = [claim_one(worker(), now=NOW) for _ in range(6)]
    bodies = [completed(attempt.task) for attempt in attempts]

    def submit(attempt: Any, body: Any) -> Any:
        return lifecycle.submit(attempt.worker, attempt.lease_id, body, now=NOW)

    pairs = zip(attempts, bodies, strict=True)
    answers = in_parallel([lambda a=a, b=b: submit(a, b) for a, b in pairs])
    assert {answer.verdict for answer in answers} == {"accepted"}
    assert (
        ResultClass.objects.count(),
        Result.objects.values("result_class").distinct().count(),
    ) == (1, 1)
