"""What is believed of a result: which counters are refused, which values wait for an operator."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction

from campaigns import jobs, lifecycle, steering
from campaigns.datasets import store_dataset
from campaigns.models import AttemptOutcome, Campaign, Dataset, FailureClass, Result, Task
from tests.english_like import corpus
from tests.factories import (
    NOW,
    active_campaign,
    at,
    claim_one,
    completed,
    finish,
    leased_task,
    run,
    user,
    worker,
)
from workers import lifecycle as worker_lifecycle
from workers.models import AuditEntry
from workers.protocol import Verdict
from xeenet_site.web import roles

pytestmark = pytest.mark.django_db
# Half of what lzma reaches on TinyShakespeare.
BOUND = 1.258


# --- counters that no training has ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"steps_completed": 0}, "steps_completed is 0 in a run with a val_bpb"),
        ({"tokens_trained": 0}, "tokens_trained is 0 in a run with a val_bpb"),
        ({"model_params": 0}, "model_params is 0 in a run with a val_bpb"),
        ({"wall_time_seconds": 0}, "wall_time_seconds is 0, and every run takes time"),
        ({"wall_time_seconds": 0.0}, "wall_time_seconds is 0, and every run takes time"),
        ({"wall_time_seconds": 1e-320}, "wall_time_seconds is 9.99989e-321, and every run"),
        ({"wall_time_seconds": 16.5}, "it ran 16 s, and its lease began only 6 s ago"),
        ({"device_used": "abacus"}, "device_used is 'abacus', and this worker told of cuda, cpu"),
        ({"device_used": "cud"}, "device_used is 'cud'"),
        ({"device_used": "cudax:0"}, "device_used is 'cudax:0'"),
        ({"train_loss": 1e308}, "train_loss is 1e+308, beyond 1,000,000; such a run diverged"),
        ({"train_loss": -2e6}, "train_loss is -2e+06, beyond 1,000,000"),
        ({"train_loss": 10**30}, "train_loss is 1e+30, beyond 1,000,000"),
    ],
    ids=str,
)
def test_counters_that_contradict_training_are_refused_with_the_reason(
    changes: dict[str, Any], reason: str
) -> None:
    machine = worker(hardware={"devices": ["cuda", "cpu"], "gpu_name": "NVIDIA H200"})
    attempt = leased_task(machine)
    answer = finish(attempt, now=at(6), **changes)
    assert answer.verdict is Verdict.REFUSED
    assert reason in answer.message
    assert not Result.objects.exists()
    attempt.refresh_from_db()
    assert (attempt.outcome, attempt.failure_class) == (
        AttemptOutcome.FAILED,
        FailureClass.INVALID_RESULT,
    )


@pytest.mark.parametrize(
    "device", ["cpu", "cuda", "CUDA", "cuda:0", "cuda (NVIDIA H200)", "nvidia h200", " cpu "]
)
def test_a_device_that_the_worker_told_of_is_believed_however_it_is_written(device: str) -> None:
    machine = worker(hardware={"devices": ["cuda", "cpu"], "gpu_name": "NVIDIA H200"})
    assert finish(leased_task(machine), device_used=device).verdict is Verdict.ACCEPTED


@pytest.mark.parametrize("hardware", [{}, {"devices": []}, {"cpu_count": 2}], ids=str)
def test_any_device_is_believed_of_a_worker_that_told_of_none(hardware: dict[str, Any]) -> None:
    attempt = leased_task(worker(hardware=hardware))
    assert finish(attempt, device_used="abacus").verdict is Verdict.ACCEPTED


def test_a_result_of_before_a_restart_is_not_judged_by_the_devices_told_since() -> None:
    machine = worker(hardware={"devices": ["cpu"]})
    attempt = leased_task(machine)
    # The graphics card is gone at the agent's next start, and its result is delivered then.
    worker_lifecycle.see(machine, now=at(5), boot_id=attempt.lease_id)
    assert finish(attempt, now=at(10), device_used="cuda").verdict is Verdict.ACCEPTED


def test_a_late_result_may_have_run_for_as_long_as_its_lease_was_gone() -> None:
    attempt = leased_task()
    assert finish(attempt, now=at(1000), wall_time_seconds=20.0).verdict is Verdict.ACCEPTED


def test_what_was_simulated_is_not_judged_by_its_counters() -> None:
    attempt = leased_task(worker(hardware={"devices": ["cpu"]}), allow_simulated=True)
    body = completed(attempt.task, 0.01, steps_completed=0, model_params=0, device_used="simulated")
    answer = lifecycle.submit(attempt.worker, attempt.lease_id, body | {"simulated": True}, now=NOW)
    assert answer.verdict is Verdict.ACCEPTED
    result = Result.objects.get()
    assert (result.simulated, result.implausible, result.is_ranked) == (True, False, False)


def test_a_finding_without_a_value_is_kept_and_its_absurd_losses_are_not_shown() -> None:
    attempt = leased_task()
    nothing = {"val_bpb": None, "diverged": True, "train_loss": 1e300, "eval_nll_nats": 1e305}
    body = completed(attempt.task)
    body["metrics"] = (body["metrics"] or {}) | nothing | {"steps_completed": 3}
    answer = lifecycle.submit(attempt.worker, attempt.lease_id, body, now=NOW)
    assert answer.verdict is Verdict.ACCEPTED
    result = Result.objects.get()
    assert (result.diverged, result.train_loss, result.eval_nll_nats) == (True, None, None)
    assert result.metrics["train_loss"] == pytest.approx(1e300)


# --- values that no model reaches -----------------------------------------------------------------


def test_a_value_below_the_bound_is_stored_and_does_not_count() -> None:
    attempt = leased_task()
    answer = finish(attempt, 1e-4)
    assert answer.verdict is Verdict.ACCEPTED
    assert answer.message == (
        "The result is stored. Its val_bpb is better than models reach on this data set, so it "
        "does not count until an operator admits it."
    )
    result = Result.objects.get()
    assert (result.value, result.implausible, result.is_ranked) == (1e-4, True, False)
    attempt.refresh_from_db()
    assert attempt.outcome == AttemptOutcome.COMPLETED
    campaign = attempt.task.campaign
    campaign.refresh_from_db()
    assert not campaign.results.ranked()


@pytest.mark.parametrize(("val_bpb", "ranked"), [(BOUND - 0.001, False), (BOUND + 0.001, True)])
def test_the_bound_is_half_of_what_lzma_reaches(val_bpb: float, ranked: bool) -> None:
    finish(leased_task(), val_bpb)
    assert Result.objects.get().is_ranked is ranked


@pytest.mark.parametrize(
    ("compressed_bpb", "bound"),
    [(None, None), (0.0, None), (0.39, None), (0.4, 0.2), (2.0, 1.0), (8.0, 4.0)],
)
def test_a_text_that_repeats_itself_has_no_bound(
    compressed_bpb: float | None, bound: float | None
) -> None:
    assert Dataset(compressed_bpb=compressed_bpb).least_plausible_bpb == bound


def test_an_operator_admits_a_result_which_ranks_it_for_good() -> None:
    active_campaign(2)
    run(2.0, seconds=1)
    run(1.0, seconds=2)
    result = Result.objects.get(implausible=True)
    campaign = Campaign.objects.get()
    revision = campaign.revision
    operator = user(role=roles.OPERATOR)

    steering.admit(operator, result.task, now=at(5))

    result.refresh_from_db()
    assert (result.is_ranked, result.implausible) == (True, False)
    assert (result.admitted_at, result.admitted_by) == (at(5), operator)
    campaign.refresh_from_db()
    assert campaign.revision > revision
    assert campaign.results.ranked()[0].task == result.task
    entry = AuditEntry.objects.get(verb="admit")
    assert (entry.actor, entry.target_kind, entry.target_id) == (
        operator,
        "task",
        result.task_id,
    )
    assert lifecycle.judge_again(campaign.dataset) == 0
    with pytest.raises(lifecycle.WrongState, match="Only a result that is shown as implausible"):
        steering.admit(operator, result.task, now=at(6))


def test_who_is_no_operator_admits_nothing_not_even_in_a_campaign_of_their_own() -> None:
    owner = user()
    finish(leased_task(owner=owner), 1e-4)
    with pytest.raises(PermissionDenied, match="Only operators may admit"):
        steering.admit(owner, Task.objects.get(), now=NOW)
    assert Result.objects.get().implausible


@pytest.mark.parametrize("val_bpb", [3.0, None])
def test_only_an_implausible_result_can_be_admitted(val_bpb: float | None) -> None:
    active_campaign(1)
    run(val_bpb)
    with pytest.raises(lifecycle.WrongState):
        steering.admit(None, Task.objects.get(), now=NOW)


@pytest.mark.parametrize(
    "columns",
    [
        {"is_ranked": True},
        {"value": None, "sort_key": None},
        {"simulated": True},
        {"diverged": True},
        {"train_loss": 1e7},
        {"train_loss": float("inf")},
    ],
    ids=str,
)
def test_the_database_keeps_results_believable(columns: dict[str, Any]) -> None:
    finish(leased_task(), 1e-4)
    with pytest.raises(IntegrityError), transaction.atomic():
        Result.objects.update(**columns)


# --- how data sets get their bound ----------------------------------------------------------------


def test_what_lzma_reaches_is_measured_once_by_a_job_which_judges_the_results_of_before() -> None:
    text = corpus()[:200_000]
    dataset = store_dataset("excerpt", text)
    assert dataset.measured_at is None
    campaign = active_campaign(3, dataset=dataset.sha256)
    run(0.5, seconds=1)
    run(2.0, seconds=2)
    assert campaign.results.ranked().count() == 2

    assert jobs.measure_datasets() == 1

    dataset.refresh_from_db()
    assert dataset.compressed_bpb == pytest.approx(1.69, abs=0.05)
    campaign.refresh_from_db()
    assert [row.value for row in campaign.results.ranked()] == [2.0]
    assert Result.objects.get(implausible=True).value == 0.5
    assert jobs.measure_datasets() == 0
    run(0.5, seconds=3)
    assert Result.objects.filter(implausible=True).count() == 2


def test_a_result_that_came_while_its_data_set_was_measured_is_judged_by_the_next_run() -> None:
    campaign = active_campaign(1)
    run(0.5, seconds=1)
    # As a submission leaves it that had read the data set before.
    Result.objects.update(implausible=False, is_ranked=True)
    Dataset.objects.update(measured_at=dt.datetime.now(dt.UTC))
    jobs.measure_datasets()
    campaign.refresh_from_db()
    assert not campaign.results.ranked()


def test_a_data_set_of_the_catalog_has_its_bound_without_its_bytes() -> None:
    active_campaign(1)
    dataset = Dataset.objects.get()
    assert not dataset.file
    assert dataset.least_plausible_bpb == BOUND
    # One that was known before bounds were gets it from the job.
    Dataset.objects.update(compressed_bpb=None, measured_at=None)
    assert jobs.measure_datasets() == 1
    dataset.refresh_from_db()
    assert dataset.least_plausible_bpb == BOUND


def test_the_catalogs_figure_is_what_the_job_would_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = store_dataset("english_like", corpus())
    from_catalog = dataset.compressed_bpb
    monkeypatch.setattr("experiments.catalog.all_datasets", lambda: ())
    Dataset.objects.update(compressed_bpb=None, measured_at=None)
    assert jobs.measure_datasets() == 1
    dataset.refresh_from_db()
    assert dataset.compressed_bpb == pytest.approx(from_catalog, abs=0.001)


def test_a_text_that_repeats_itself_and_a_file_that_is_gone_get_no_bound() -> None:
    repeats = store_dataset("all work", b"all work and no play makes a dull file\n" * 400)
    gone = store_dataset("gone", b"All happy families are alike. " * 100)
    gone.file.storage.delete(gone.file.name)
    assert jobs.measure_datasets() == 2
    for dataset in (repeats, gone):
        dataset.refresh_from_db()
        assert dataset.measured_at is not None
        assert dataset.least_plausible_bpb is None
    assert jobs.measure_datasets() == 0


def test_a_second_claim_of_the_bound_does_not_replace_the_first() -> None:
    dataset = store_dataset("mine", corpus()[:50_000])
    lifecycle.note_measured(dataset, 2.0, now=at(1))
    lifecycle.note_measured(dataset, 1.0, now=at(2))
    dataset.refresh_from_db()
    assert (dataset.compressed_bpb, dataset.measured_at) == (2.0, at(1))


def test_a_refused_lie_costs_the_task_a_try_and_goes_to_another_worker() -> None:
    active_campaign(1)
    attempt = claim_one(worker())
    assert finish(attempt, steps_completed=0).verdict is Verdict.REFUSED
    task = Task.objects.get()
    assert (task.failed_attempts, task.last_failed_worker) == (1, attempt.worker)
