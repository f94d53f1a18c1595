"""The cost model of each worker, of the reference, and of the slowest worker."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any, Final

from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery

from campaigns.work.cost import CostModel
from campaigns.work.describe import Description, read_description
from experiments import catalog
from workers.models import Calibration, Worker, WorkerState

# What an unfit calibration is: without coefficients, or off the known value until admitted.
_USABLE: Final = ~Q(coefficients={}) & (Q(flagged=False) | Q(admitted_at__isnull=False))


def worker_model(
    worker: Worker,
    experiment: str,
    *,
    device: str = "",
    dtype: str = "",
    threads: int | None = None,
) -> CostModel | None:
    """Return the cost model of the worker's newest usable calibration; None without any.

    `device` ("cpu", "cuda") and `dtype` select calibrations; "" takes any. With `threads` those
    with other threads do not count.
    """
    usable = worker.calibrations.filter(
        _USABLE, experiment=experiment, device__startswith=device, dtype__startswith=dtype
    )
    if threads is not None:
        usable = usable.filter(Q(threads=threads) | Q(threads=None))
    newest = usable.first()
    return None if newest is None else _model(newest)


def plan_seconds(model: CostModel, experiment: str) -> float | None:
    """Return how long the shapes of a calibration take by the model: the speed of a machine.

    None for an experiment without calibration, or a model that does not fit its script.
    """
    plan = catalog.get(experiment).calibration
    description = description_of(catalog.script_source(experiment))
    if plan is None or description is None or not model.fits(description):
        return None
    return sum(shape.steps * model.step_seconds(description, shape.params) for shape in plan.shapes)


def recorded_model(experiment: str) -> CostModel | None:
    """Return the cost model that the catalog records; None for an experiment without one."""
    plan = catalog.get(experiment).calibration
    return None if plan is None else CostModel(plan.coefficients, plan.recorded_on)


def reference_model(experiment: str, now: dt.datetime) -> CostModel | None:
    """Return the cost model of the calibrated online worker of median speed.

    Without any such worker that of the catalog; None for an experiment without calibration.
    """
    models = online_models(experiment, now)
    if not models:
        return recorded_model(experiment)
    return models[(len(models) - 1) // 2]


def online_models(experiment: str, now: dt.datetime) -> list[CostModel]:
    """Return the cost models of the calibrated workers online, the fastest first."""
    workers = Worker.objects.machines().online(now).filter(state=WorkerState.ACTIVE)
    newest = Calibration.objects.filter(_USABLE, worker=OuterRef("worker"), experiment=experiment)
    rows = Calibration.objects.filter(
        worker__in=workers.filter(simulates=False), pk=Subquery(newest.values("pk")[:1])
    ).select_related("worker")
    return _by_speed(experiment, map(_model, rows))


def guarding_models(
    worker: Worker, experiments: Iterable[str], now: dt.datetime
) -> dict[str, list[CostModel]]:
    """Return what tells how long a worker may take, by experiment: its own cost model.

    For a worker without any: those of the calibrated workers online. One query.
    """
    return by_experiment(guarding_calibrations(worker.pk, experiments, now))


def guarding_calibrations(
    worker: Any, experiments: Iterable[Any], now: Any
) -> QuerySet[Calibration]:
    """Return the calibrations of `guarding_models`; for ids and names, or expressions."""
    newest = Calibration.objects.filter(
        _USABLE, worker=OuterRef("worker"), experiment=OuterRef("experiment")
    )
    own = Calibration.objects.filter(_USABLE, worker=worker, experiment=OuterRef("experiment"))
    online = Worker.objects.machines().online(now).filter(state=WorkerState.ACTIVE, simulates=False)
    rows = Calibration.objects.filter(
        Q(worker=worker) | (Q(worker__in=online) & ~Exists(own)),
        experiment__in=set(experiments),
        pk=Subquery(newest.values("pk")[:1]),
    )
    return rows.select_related("worker").order_by()


def by_experiment(calibrations: Iterable[Calibration]) -> dict[str, list[CostModel]]:
    """Return the cost models of calibrations that have their workers loaded."""
    models: dict[str, list[CostModel]] = {}
    for row in calibrations:
        models.setdefault(row.experiment, []).append(_model(row))
    return models


def description_of(source: bytes) -> Description | None:
    """Return what a script says of its cost; None without, as for one that cannot be read."""
    try:
        return read_description(source)
    except ValueError:
        return None


def _model(calibration: Calibration) -> CostModel:
    return CostModel(
        calibration.coefficients,
        calibration.worker.name,
        calibration.worker_id,
        calibration.taken_at.isoformat(),
    )


def _by_speed(experiment: str, models: Iterable[CostModel]) -> list[CostModel]:
    """Return the models by the time that they need for the shapes of a calibration."""
    usable: list[tuple[float, int, CostModel]] = []
    for model in models:
        seconds = plan_seconds(model, experiment)
        if seconds is not None:
            usable.append((seconds, model.worker or 0, model))
    return [model for *_, model in sorted(usable, key=lambda row: row[:2])]
