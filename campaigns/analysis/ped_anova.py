"""Optuna's PED-ANOVA on runs instead of a study's storage.

Importing this module is slow, so import it inside the function that uses it. A storage would copy
every trial in each resample; here a study gets its trials directly.
"""

from __future__ import annotations

from collections.abc import Container, Sequence

from optuna import Study, logging
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.samplers import RandomSampler
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from campaigns.analysis.axes import Axis
from campaigns.analysis.runs import Run

Params = dict[str, float | int]

# Otherwise Optuna logs a line for every resample.
logging.set_verbosity(logging.WARNING)


class _GivenStudy(Study):
    """A study to be minimised that gets its trials in the constructor."""

    def __init__(self, trials: list[FrozenTrial]) -> None:
        storage = InMemoryStorage()
        storage.create_new_study([StudyDirection.MINIMIZE], "given")
        super().__init__("given", storage, sampler=RandomSampler())
        self._given = trials

    def get_trials(
        self,
        deepcopy: bool = True,  # noqa: ARG002 - the signature is Optuna's
        states: Container[TrialState] | None = None,  # noqa: ARG002 - all are complete
    ) -> list[FrozenTrial]:
        return self._given


def distributions(axes: Sequence[Axis]) -> dict[str, BaseDistribution]:
    """Return the axes as Optuna's distributions, by name.

    A level is represented by its index, because Optuna does not accept every JSON value.
    """
    return {axis.name: _distribution(axis) for axis in axes}


def _distribution(axis: Axis) -> BaseDistribution:
    if axis.levels:
        return CategoricalDistribution(range(len(axis.levels)))
    if axis.is_whole:
        return IntDistribution(int(axis.low), int(axis.high), log=axis.log)
    return FloatDistribution(axis.low, axis.high, log=axis.log)


def encoded(axes: Sequence[Axis], run: Run) -> Params | None:
    """Return a run's params as values of `distributions`, or None if one is outside of them."""
    params: Params = {}
    for axis in axes:
        position = axis.position(run.params.get(axis.name))
        if position is None:
            return None
        params[axis.name] = int(position) if axis.levels or axis.is_whole else position
    return params


def importances(
    space: dict[str, BaseDistribution],
    points: Sequence[Params],
    values: Sequence[float],
    target_quantile: float,
) -> dict[str, float]:
    """Return how much each parameter distinguishes the best runs from all, from 0 upwards.

    Not normalised, so that shuffled values can be compared with the real ones. `points` and
    `values` belong together by position; a repeated run counts as often as it occurs.
    """
    trials = [
        FrozenTrial(
            number=number,
            trial_id=number,
            state=TrialState.COMPLETE,
            value=value,
            datetime_start=None,
            datetime_complete=None,
            params=dict(params),
            distributions=space,
            user_attrs={},
            system_attrs={},
            intermediate_values={},
        )
        for number, (params, value) in enumerate(zip(points, values, strict=True))
    ]
    evaluator = PedAnovaImportanceEvaluator(target_quantile=target_quantile)
    by_name = evaluator.evaluate(_GivenStudy(trials))
    return {name: by_name[name] for name in space}
