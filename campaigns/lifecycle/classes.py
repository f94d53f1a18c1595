"""The class of a result: with which others it may stand in one order, fixed when it is stored.

Under a time budget a machine's speed decides how far a run comes. So there only workers of one
band share a class: those whose calibrations agreed when their first result in the campaign came. A
worker that has other threads than at its first result there is another machine for the time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any, Final, NamedTuple

from django.core.cache import caches
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from campaigns.fleet.speeds import plan_seconds, worker_model
from campaigns.models import Attempt, BudgetKind, Campaign, Result, ResultClass, WorkUnit
from campaigns.work.cost import CostModel
from workers.models import Worker
from workers.protocol import canonical_digest

# Two workers are of one band when neither takes longer than this for what the other does.
SAME_SPEED: Final = 1.10
_WORD_LENGTH: Final = 50
_KNOWN_SECONDS: Final = 3600
_MOST_THREADS: Final = 2**31


def class_id(attempt: Attempt, metrics: dict[str, Any], *, is_subset: bool) -> int:
    """Return the id of the class of a measured result, made if need be.

    `is_subset`: only a part of the validation split was evaluated.
    """
    place = _place(attempt, metrics, is_subset=is_subset)
    known: int | None = caches["classes"].get(place.key)
    if known is None:
        known = _stored(attempt.task.campaign, attempt.worker, place)
        # Not before the commit: the row may still be rolled back.
        transaction.on_commit(partial(caches["classes"].set, place.key, known, _KNOWN_SECONDS))
    return known


def known_class_id(attempt: Attempt, metrics: dict[str, Any], *, is_subset: bool) -> int | None:
    """Return `class_id` if this process knows it: without a query."""
    known: int | None = caches["classes"].get(_place(attempt, metrics, is_subset=is_subset).key)
    return known


class _Place(NamedTuple):
    """What tells classes apart inside a campaign, and the key under which the class is cached."""

    device: str
    dtype: str
    threads: int | None
    is_subset: bool
    key: str


def _place(attempt: Attempt, metrics: dict[str, Any], *, is_subset: bool) -> _Place:
    campaign, worker = attempt.task.campaign, attempt.worker
    device = device_kind(metrics["device_used"], worker)
    dtype, of_worker, threads = "", None, None
    if campaign.budget_kind == BudgetKind.TIME:
        dtype, of_worker, threads = dtype_of(metrics), worker.pk, threads_of(metrics)
    same = canonical_digest({"of": [campaign.pk, is_subset, device, dtype, of_worker, threads]})
    return _Place(device, dtype, threads, is_subset, f"xeenet:class:{same}")


def device_kind(used: str, worker: Worker) -> str:
    """Return the kind of device by which results are told apart: "cpu", or a GPU with its model.

    `used` is the device as the script named it ("cpu", "cuda:0", or the name of the processor). All
    CPUs are of one kind; which GPU it is says the worker's hardware, or else the script.
    """
    name, hardware = used.strip().lower(), worker.hardware
    gpu = str(hardware.get("gpu_name") or "").strip()
    if name == "cpu" or name == str(hardware.get("cpu_model") or "").strip().lower():
        return "cpu"
    if gpu and name == gpu.lower():
        return f"{worker.device} {gpu}"[:_WORD_LENGTH]
    family = torch_device(used)
    if family == "cpu":
        return family
    model = gpu or re.sub(r"^[a-z]*(:\d+)?\s*", "", name)
    return f"{family} {model}".strip()[:_WORD_LENGTH]


def torch_device(used: str) -> str:
    """Return the family of a device: "cpu" for "cpu", "cuda" for "cuda:0"."""
    return re.split(r"[^a-z]", used.strip().lower())[0][:_WORD_LENGTH]


def dtype_of(metrics: Mapping[str, Any]) -> str:
    """Return the number type that the script reported; "" for a script that reports none."""
    dtype = metrics.get("dtype")
    return dtype[:_WORD_LENGTH] if isinstance(dtype, str) else ""


def threads_of(metrics: Mapping[str, Any]) -> int | None:
    """Return the threads that a run on the processor reported; None for any other run."""
    threads = metrics.get("threads")
    if not isinstance(threads, int) or isinstance(threads, bool):
        return None
    on_processor = torch_device(str(metrics.get("device_used") or "")) == "cpu"
    return threads if on_processor and 0 < threads < _MOST_THREADS else None


def budget_words(campaign: Campaign) -> str:
    """Return the size of the campaign's budget: "60 s", "as much work as 60 s", "200 steps"."""
    if campaign.budget_kind == BudgetKind.TIME:
        return f"{_number(campaign.time_budget_seconds)} s"
    amount = _number(campaign.work_amount or 0.0)
    if campaign.work_unit == WorkUnit.SECONDS:
        return f"as much work as {amount} s"
    return f"{amount} {campaign.work_unit}"


def _number(amount: float) -> str:
    return f"{int(amount):,}" if amount.is_integer() else f"{amount:,}"


def _stored(campaign: Campaign, worker: Worker, place: _Place) -> int:
    model = campaign.cost_model
    columns: dict[str, Any] = {
        "package_id": campaign.package_id,
        "dataset_id": campaign.dataset_id,
        "metric": campaign.metric,
        "metric_version": campaign.metric_version,
        "budget_kind": campaign.budget_kind,
        "budget": budget_words(campaign),
        "cost_model_sha256": CostModel.from_json(model).sha256 if model else "",
        "device_kind": place.device,
        "dtype": place.dtype,
    }
    if campaign.budget_kind == BudgetKind.TIME:
        columns["band_id"], other_threads = _band(campaign, worker, columns, place.threads)
        if other_threads is not None:  # else the key is that of before there were such classes
            columns["threads"] = other_threads
    columns["eval_is_subset"] = place.is_subset
    row, _ = ResultClass.objects.get_or_create(key=canonical_digest(columns), defaults=columns)
    return row.pk


def _band(
    campaign: Campaign, worker: Worker, columns: dict[str, Any], threads: int | None
) -> tuple[int, int | None]:
    """Return the worker whose band this one is in: as at its first result, or chosen now.

    And the threads, where they are others than at the first result: then the worker is alone.
    """
    device, dtype = columns["device_kind"], columns["dtype"]
    own = Result.objects.filter(campaign=campaign, attempt__worker=worker)
    own = own.filter(result_class__device_kind=device, result_class__dtype=dtype).order_by("pk")
    first = own.values_list("result_class__band", "metrics__threads").first()
    if first is not None and first[0] is not None:
        is_other = threads is not None and first[1] is not None and first[1] != threads
        return (worker.pk, threads) if is_other else (first[0], None)
    seconds = _seconds(worker, campaign.experiment, device, dtype, threads)
    if seconds is None:
        return worker.pk, None
    here = Result.objects.filter(campaign=campaign, result_class=OuterRef("pk"), is_ranked=True)
    opened = ResultClass.objects.filter(Exists(here), threads=None, **columns)
    ratios = []
    for other in Worker.objects.filter(pk__in=opened.values("band")):
        its_threads = None if threads is None else _threads_in(campaign, other, opened)
        theirs = _seconds(other, campaign.experiment, device, dtype, its_threads)
        if theirs is not None:
            ratio = max(seconds, theirs) / min(seconds, theirs)
            ratios.append((ratio, other.pk))
    nearest, other_id = min(ratios, default=(SAME_SPEED + 1, worker.pk))
    return (other_id if nearest <= SAME_SPEED else worker.pk), None


def _threads_in(campaign: Campaign, worker: Worker, classes: QuerySet[ResultClass]) -> int | None:
    """Return the threads of the worker's first result in the classes; None when it is unknown."""
    results = Result.objects.filter(
        campaign=campaign, attempt__worker=worker, result_class__in=classes
    )
    threads = results.order_by("pk").values_list("metrics__threads", flat=True).first()
    return threads_of({"device_used": "cpu", "threads": threads})


def _seconds(
    worker: Worker, experiment: str, device: str, dtype: str, threads: int | None
) -> float | None:
    """Return how long the worker takes for a calibration's shapes; None when it has none usable."""
    family = torch_device(device)
    model = worker_model(worker, experiment, device=family, dtype=dtype, threads=threads)
    return None if model is None else plan_seconds(model, experiment)
