"""What a claim asks of speeds where work budgets are active, as `lifecycle.calibrating` does."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any, Final

from django.db import models

from campaigns.fleet.speeds import by_experiment, guarding_calibrations
from campaigns.lifecycle import calibrating
from campaigns.lifecycle.statements.claim_worker import WORKER
from campaigns.lifecycle.statements.compiled import Instant, Select, Slot, run, select
from campaigns.work.cost import CostModel
from experiments import catalog
from workers.models import Calibration, Worker
from workers.pace import Pace, usual

_EXPERIMENT: Final = Slot("experiment", models.CharField())
_SCRIPT: Final = Slot("script", models.CharField())


def are_known(worker: Worker, data: Mapping[str, Any], now: dt.datetime) -> bool:
    """Return whether the claim withholds no work budget from the worker, and asks it for no speed.

    `worker` comes from `calibrating.noting_work`.
    """
    if not calibrating.is_asked(worker):
        return True
    return all(
        _is_known(worker, each.name, now, calibrates=data.get("calibrates", False))
        for each in catalog.all()
    )


def _is_known(worker: Worker, experiment: str, now: dt.datetime, *, calibrates: bool) -> bool:
    plan = calibrating.plan_of(experiment)
    if plan is None:
        return True
    sha256 = catalog.script_sha256(experiment)
    query, keys = _newest(), {"worker": worker.pk, "experiment": experiment, "script": sha256}
    newest = next(query.instances(run(query.sql, keys)), None)
    if newest is None:
        return not calibrates
    if newest.is_held_back:
        return False
    return not (calibrates and calibrating.is_due(newest, plan, now, _runs_since))


def _runs_since(newest: Calibration) -> Iterable[Sequence[Any]]:
    query = _runs()
    values = {"worker": newest.worker_id, "since": newest.taken_at, "script": newest.script_sha256}
    return query.converted(run(query.sql, values))


def guarding_models(
    worker: Worker, experiments: Iterable[str], now: dt.datetime
) -> dict[str, list[CostModel]]:
    """Return what `campaigns.fleet.speeds.guarding_models` does."""
    query = _guarding(usual())
    calibrations: list[Calibration] = []
    for experiment in sorted(experiments):
        values = {"worker": worker.pk, "experiment": experiment, "now": now}
        calibrations += query.instances(run(query.sql, values))
    return by_experiment(calibrations)


@cache
def _newest() -> Select[Calibration]:
    return select(calibrating.calibrations_of(WORKER, _EXPERIMENT, _SCRIPT)[:1])


@cache
def _runs() -> Select[Any]:
    since = Slot("since", models.DateTimeField())
    return select(calibrating.latest_runs(WORKER, since, _SCRIPT))


@lru_cache(maxsize=4)
def _guarding(_pace: Pace) -> Select[Calibration]:
    """Compile the query; the settings are in it."""
    return select(guarding_calibrations(WORKER, [_EXPERIMENT], Instant("now")))
