"""A campaign as an Optuna study in an SQLite file, for optuna-dashboard and Optuna's own tools.

| task                                    | trial                                           |
|-----------------------------------------|-------------------------------------------------|
| completed with a value                  | COMPLETE, with its value                        |
| completed without one (it diverged)     | FAIL, as Optuna does with NaN                   |
| failed, cancelled                       | FAIL                                            |
| leased / pending                        | RUNNING / WAITING (enqueued with its params)    |
| simulated                               | left out, unless requested                      |
| implausible, and not admitted           | left out                                        |

The study has the name and the direction of the campaign's metric. The progress points of the
attempt that decided the task are the trial's intermediate values. Seed, device, steps, worker and
so on are its user attributes.
"""

from __future__ import annotations

import datetime as dt
import json
import warnings
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from django.db.models import Prefetch

from campaigns.models import Attempt, Campaign, ProgressPoint, Result, Task, TaskState
from campaigns.search.parameters import (
    ChoiceParameter,
    FloatParameter,
    IntParameter,
    Parameter,
    Value,
)
from campaigns.search.space import SearchSpace

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

CHUNK_TASKS: Final = 500
_RESULT_ATTRIBUTES: Final = (
    "diverged",
    "simulated",
    "eval_is_subset",
    "train_loss",
    "steps_completed",
    "tokens_trained",
    "model_params",
    "wall_time_seconds",
    "stop_reason",
)


def write_study(campaign: Campaign, file: Path, *, simulated: bool = False) -> int:
    """Write the campaign's tasks as the only study in `file`, and return its number of trials.

    An existing file is replaced once the new one is complete. Raises OSError.
    """
    import optuna
    from sqlalchemy import URL

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    partial = file.with_name(f"{file.name}.partial")
    # Open the file in Python first: its OSError says what is wrong with the path, SQLite's error
    # does not.
    partial.open("wb").close()
    try:
        storage = optuna.storages.RDBStorage(str(URL.create("sqlite", database=str(partial))))
        spec = campaign.metric_spec
        study = optuna.create_study(
            storage=storage, study_name=campaign.name, direction=spec.direction.value
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names([spec.name])
        for name, value in _study_attributes(campaign).items():
            study.set_user_attr(name, value)
        written = 0
        remaining = trials(campaign, simulated=simulated)
        while batch := list(islice(remaining, CHUNK_TASKS)):
            _insert(storage, study._study_id, written, batch)  # noqa: SLF001 - has no public name
            written += len(batch)
        storage.remove_session()
        storage.engine.dispose()
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
    return written


def trials(campaign: Campaign, *, simulated: bool = False) -> Iterator[FrozenTrial]:
    """Yield the campaign's tasks as trials, by task number, with at most a chunk in memory.

    Their times have a time zone. Optuna's storages return them without one, in local time.
    """
    space = SearchSpace.stored(campaign.search_space)
    distributions = {name: _distribution(parameter) for name, parameter in space.parameters.items()}
    for task in _tasks(campaign):
        result: Result | None = getattr(task, "result", None)
        if result is not None and result.implausible:
            continue
        if result is None or simulated or not result.simulated:
            yield _trial(task, result, distributions)


def _tasks(campaign: Campaign) -> Iterator[Task]:
    attempts = Attempt.objects.brief().select_related("worker")
    tasks = (
        campaign.tasks.select_related("arm", "result")
        .defer("arm__params")
        .prefetch_related(
            Prefetch("attempts", attempts.order_by("number")),
            Prefetch("attempts__progress", ProgressPoint.objects.order_by("seq")),
        )
    )
    return tasks.order_by("number").iterator(chunk_size=CHUNK_TASKS)


def _distribution(parameter: Parameter) -> BaseDistribution:
    from optuna import distributions

    match parameter:
        case FloatParameter():
            return distributions.FloatDistribution(parameter.low, parameter.high, log=parameter.log)
        case IntParameter():
            steps = (parameter.high - parameter.low) // parameter.step
            # The highest value that the steps reach. Optuna warns about any other upper end.
            high = parameter.low + steps * parameter.step
            return distributions.IntDistribution(
                parameter.low, high, log=parameter.log, step=parameter.step
            )
        case ChoiceParameter():
            return distributions.CategoricalDistribution(parameter.values)


def _trial(
    task: Task, result: Result | None, distributions: dict[str, BaseDistribution]
) -> FrozenTrial:
    from optuna.trial import TrialState, create_trial

    attempts = list(task.attempts.all())
    # The attempt that brought the result, or the last one.
    decided = next(
        (attempt for attempt in attempts if result and attempt.pk == result.attempt_id),
        attempts[-1] if attempts else None,
    )
    value = result.value if result is not None else None
    state = {TaskState.PENDING: TrialState.WAITING, TaskState.LEASED: TrialState.RUNNING}.get(
        TaskState(task.state), TrialState.FAIL if value is None else TrialState.COMPLETE
    )
    waits = state is TrialState.WAITING
    trial = create_trial(
        state=state,
        value=value,
        params=task.params,
        distributions=distributions,
        user_attrs=_attributes(task, result, decided),
        # With this attribute Optuna runs the trial with exactly these params.
        system_attrs={"fixed_params": task.params} if waits else {},
        intermediate_values=_curve(decided) if decided is not None and not waits else {},
    )
    # A task that was cancelled before any attempt starts and ends at the same time.
    started = decided.started_at if decided is not None else task.finished_at
    trial.datetime_start = None if waits else started
    trial.datetime_complete = task.finished_at
    return trial


def _curve(attempt: Attempt) -> dict[int, float]:
    points = attempt.progress.all()
    return {point.step: point.value for point in points if point.value is not None}


def _attributes(task: Task, result: Result | None, decided: Attempt | None) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "task": str(task.name),
        "task_number": task.number,
        "task_state": task.state,
        "arm": task.arm.number,
        "seed": task.seed,
        "seed_index": task.seed_index,
        "purpose": task.purpose,
        "origin": task.origin,
        "failure_class": task.failure_class or None,
    }
    if decided is not None:
        attributes |= {"worker": decided.worker.name, "attempt": decided.number}
    if result is not None:
        attributes |= {"device": result.device_used}
        attributes |= {name: getattr(result, name) for name in _RESULT_ATTRIBUTES}
    return {name: value for name, value in attributes.items() if value is not None}


def _study_attributes(campaign: Campaign) -> dict[str, Any]:
    return {
        "campaign": campaign.pk,
        "campaign_state": campaign.state,
        "experiment": campaign.experiment,
        "script_sha256": campaign.package_id,
        "dataset": campaign.dataset.name,
        "dataset_sha256": campaign.dataset_id,
        "budget_kind": campaign.budget_kind,
        "time_budget_seconds": campaign.time_budget_seconds,
        "work_unit": campaign.work_unit,
        "work_amount": campaign.work_amount,
        "sampler": campaign.sampler,
        "base_seed": campaign.base_seed,
        "shares_seeds": campaign.shares_seeds,
    }


def _insert(storage: Any, study_id: int, first_number: int, batch: list[FrozenTrial]) -> None:
    """Insert trials, numbered from `first_number`, in one transaction.

    This writes directly into Optuna's tables: `Study.add_trial` takes 50 ms per trial on SQLite, so
    an hour and a half for 100,000. A test reads the trials back with Optuna's public functions.
    """
    from optuna.storages._rdb import models

    rows = _Rows(models)
    for number, trial in enumerate(batch, start=first_number):
        rows.add(number + 1, number, study_id, trial)
    with storage.engine.begin() as connection:
        for model, values in rows.by_model.items():
            if values:
                connection.execute(model.__table__.insert(), values)


class _Rows:
    """Collects trials as rows of Optuna's tables."""

    def __init__(self, models: Any) -> None:
        self.models = models
        # Tables come after those that their foreign keys point to.
        self.by_model: dict[Any, list[dict[str, Any]]] = {
            models.TrialModel: [],
            models.TrialValueModel: [],
            models.TrialParamModel: [],
            models.TrialUserAttributeModel: [],
            models.TrialSystemAttributeModel: [],
            models.TrialIntermediateValueModel: [],
        }

    def add(self, trial_id: int, number: int, study_id: int, trial: FrozenTrial) -> None:
        from optuna.distributions import distribution_to_json

        models = self.models

        def row(model: Any, **values: Any) -> None:
            self.by_model[model].append({"trial_id": trial_id} | values)

        row(
            models.TrialModel,
            number=number,
            study_id=study_id,
            state=trial.state,
            datetime_start=_naive(trial.datetime_start),
            datetime_complete=_naive(trial.datetime_complete),
        )
        if trial.value is not None:
            value, kind = models.TrialValueModel.value_to_stored_repr(trial.value)
            row(models.TrialValueModel, objective=0, value=value, value_type=kind)
        for name, value in trial.params.items():
            row(
                models.TrialParamModel,
                param_name=name,
                param_value=_internal(value, trial.distributions[name]),
                distribution_json=distribution_to_json(trial.distributions[name]),
            )
        for model, attributes in (
            (models.TrialUserAttributeModel, trial.user_attrs),
            (models.TrialSystemAttributeModel, trial.system_attrs),
        ):
            for name, value in attributes.items():
                row(model, key=name, value_json=json.dumps(value))
        to_stored = models.TrialIntermediateValueModel.intermediate_value_to_stored_repr
        for step, reported in trial.intermediate_values.items():
            value, kind = to_stored(reported)
            row(
                models.TrialIntermediateValueModel,
                step=step,
                intermediate_value=value,
                intermediate_value_type=kind,
            )


def _naive(instant: dt.datetime | None) -> dt.datetime | None:
    """Return a time as in Optuna's tables: in UTC, without a time zone."""
    return None if instant is None else instant.astimezone(dt.UTC).replace(tzinfo=None)


def _internal(value: Value, distribution: BaseDistribution) -> float:
    """Return a param as in Optuna's tables, where a choice is the index of its value."""
    from optuna.distributions import CategoricalDistribution

    if isinstance(distribution, CategoricalDistribution):
        # Compare types too: Optuna itself treats 1, 1.0 and true as the same choice.
        matches = [
            type(choice) is type(value) and choice == value for choice in distribution.choices
        ]
        return float(matches.index(True))
    return float(distribution.to_internal_repr(value))
