"""Takes in what agents measured of their machines: fits the cost of a step, checks the known value.

What is stored of a worker is its own word. It decides how long its runs may take and whether it is
a reference; no result is ranked by it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from django.db import transaction

from campaigns.fleet.speeds import description_of
from campaigns.models import Package, PackageOrigin
from campaigns.work.cost import CostModel
from campaigns.work.describe import Description
from campaigns.work.fit import UnfittedCost, fitted, log_error
from experiments import catalog
from experiments.calibration import CalibrationPlan
from workers import fleets
from workers.calibration import CalibrationReport, MeasuredShape
from workers.models import Calibration, Worker

# Bits per byte. Numbers of another kind, threads and neighbours move the known value by less than
# half of it; another script or broken arithmetic by more.
KNOWN_VALUE_BOUND: Final = 0.015
# Calibrations that are kept of each worker, the newest.
KEPT: Final = 50
# Of a coefficient and of a speed: beyond it something else was measured.
_MOST: Final = 1e9


@dataclass(frozen=True)
class Fit:
    """Seconds per unit of each term, their error, and how fast that is; or `why_not`."""

    coefficients: dict[str, float] = field(default_factory=dict)
    error: float | None = None
    speed: float | None = None
    why_not: str = ""


def plan_of(experiment: str) -> CalibrationPlan:
    """Return what workers run to be calibrated for it. Raises LookupError."""
    plan = catalog.get(experiment).calibration
    if plan is None:
        raise LookupError(f"Speeds are not measured for the experiment {experiment!r}.")
    return plan


def source_of(experiment: str, script_sha256: str) -> bytes | None:
    """Return the catalog's script of the experiment, or a former one that the server stores.

    None for any other hash. Raises UnknownExperiment.
    """
    if catalog.script_sha256(experiment) == script_sha256:
        return catalog.script_source(experiment)
    stored = Package.objects.filter(
        pk=script_sha256, name=experiment, origin=PackageOrigin.BUILTIN
    ).first()
    return None if stored is None else bytes(stored.source)


def take(
    worker: Worker,
    report: CalibrationReport,
    *,
    now: dt.datetime,
) -> str:
    """Store what the worker measured; return in one sentence what became of it.

    `report` was checked by `CalibrationReportSerializer`. A repetition of the newest report, sent
    because the answer was lost, is not stored again.
    """
    plan = plan_of(report["experiment"])
    source = source_of(report["experiment"], report["script_sha256"]) or b""
    with transaction.atomic():
        Worker.objects.select_for_update(no_key=True).get(pk=worker.pk)
        former = worker.calibrations.filter(
            experiment=report["experiment"], script_sha256=report["script_sha256"]
        )
        newest = former.first()
        if newest is not None and newest.shapes == report["shapes"]:
            return _sentence(newest, plan, "")
        alike = former.filter(device=report["device"], dtype=report["dtype"])
        fitted_before = alike.exclude(coefficients={}).first()
        fit = _fit(report["shapes"], description_of(source), fitted_before, plan)
        off, flagged = _judged(report, plan, alike.exclude(admitted_at=None).first())
        calibration = Calibration.objects.create(
            worker=worker,
            taken_at=now,
            experiment=report["experiment"],
            script_sha256=report["script_sha256"],
            device=report["device"],
            dtype=report["dtype"],
            threads=report.get("threads"),
            torch_version=report.get("torch_version", ""),
            isolation=report["isolation"],
            shapes=report["shapes"],
            coefficients=fit.coefficients,
            fit_error=fit.error,
            speed=fit.speed,
            foreign_load=report.get("foreign_load"),
            value_off=off,
            flagged=flagged,
        )
        kept = worker.calibrations.values_list("pk", flat=True)[:KEPT]
        worker.calibrations.exclude(pk__in=list(kept)).delete()
        fleets.share_calibration(calibration)
    return _sentence(calibration, plan, fit.why_not)


def _fit(
    shapes: Sequence[MeasuredShape],
    description: Description | None,
    former: Calibration | None,
    plan: CalibrationPlan,
) -> Fit:
    """Return the cost of a step that fits the measured shapes.

    With fewer shapes than the cost has terms, the former one is scaled by their median ratio.
    """
    if description is None:
        return Fit(why_not="the script does not describe its cost")
    times = [shape["step_seconds"] for shape in shapes]
    try:
        amounts = [description.amounts(shape["params"]) for shape in shapes]
        if len(shapes) >= len(description.terms):
            coefficients = fitted(amounts, times)
        elif former is not None:
            coefficients = _scaled(former.coefficients, amounts, times)
        else:
            return Fit(why_not="so few shapes give no cost of a step")
        error = log_error(coefficients, amounts, times)
        if not all(0 <= value < _MOST for value in coefficients.values()):
            return Fit(why_not="the cost of a step is out of range")
    except (ArithmeticError, KeyError, ValueError) as problem:
        return Fit(why_not=str(problem))
    return Fit(coefficients, error, _speed(coefficients, description, plan))


def _scaled(
    coefficients: Mapping[str, float], amounts: Sequence[Mapping[str, float]], times: list[float]
) -> dict[str, float]:
    ratios = []
    for shape, time in zip(amounts, times, strict=True):
        predicted = sum(coefficients[name] * amount for name, amount in shape.items())
        if not predicted > 0:
            raise UnfittedCost("a step would cost nothing")
        ratios.append(time / predicted)
    return {name: value * median(ratios) for name, value in coefficients.items()}


def _speed(
    coefficients: Mapping[str, float], description: Description, plan: CalibrationPlan
) -> float | None:
    """Return how many times as fast as the recorded machine this one runs the plan's shapes.

    None when the catalog's coefficients are of other terms than a former script's.
    """
    recorded = CostModel(plan.coefficients, plan.recorded_on)
    if not recorded.fits(description):
        return None
    measured = CostModel(coefficients, "")
    theirs, own = (
        sum(shape.steps * model.step_seconds(description, shape.params) for shape in plan.shapes)
        for model in (recorded, measured)
    )
    return theirs / own if 0 < theirs / own < _MOST else None


def _judged(
    report: CalibrationReport, plan: CalibrationPlan, admitted: Calibration | None
) -> tuple[float | None, bool]:
    """Return by how much the known value was missed, None when it was not measured; and the flag.

    A deviation that an operator admitted for the same device and kind of numbers moves the bound.
    """
    known = plan.known_values.get(report["dtype"])
    if known is None or report["script_sha256"] != catalog.script_sha256(report["experiment"]):
        return None, False
    shape = plan.shapes[plan.known_shape]
    values = [
        measured["val_bpb"]
        for measured in report["shapes"]
        if measured["params"] == dict(shape.params) and measured["steps"] == shape.steps
    ]
    if not values:
        return None, False
    if values[0] is None:  # its loss diverged, where that of others does not
        return None, True
    off = abs(values[0] - known)
    admitted_off = 0.0 if admitted is None or admitted.value_off is None else admitted.value_off
    return off, off - admitted_off > KNOWN_VALUE_BOUND


def _sentence(calibration: Calibration, plan: CalibrationPlan, why_not: str) -> str:
    """Return what became of the report, for the agent's log."""
    if calibration.is_held_back:
        return f"Stored. {calibration.why_held_back}"
    if calibration.speed is None:
        return f"Stored without a cost of a step: {why_not or 'it fits none'}."
    return f"Stored: {calibration.speed:.2g} times as fast as {plan.recorded_on}."
