"""Optuna's PED-ANOVA on runs instead of a study's storage. Import it where it is used: it is heavy.

Resampling through a storage would copy every trial each time; here a study is given its trials.
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

# It would tell of every resample.
logging.set_verbosity(logging.WARNING)


class _GivenStudy(Study):
    """A study to be minimised whose trials are given."""

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
    """Return the axes in Optuna's words; a level is its index, so any JSON value may be one."""
    return {axis.name: _distribution(axis) for axis in axes}


def _distribution(axis: Axis) -> BaseDistribution:
    if axis.levels:
        return CategoricalDistribution(range(len(axis.levels)))
    if axis.is_whole:
        return IntDistribution(int(axis.low), int(axis.high), log=axis.log)
    return FloatDistribution(axis.low, axis.high, log=axis.log)


def encoded(axes: Sequence[Axis], run: Run) -> Params | None:
    """Return a run's params in the terms of `distributions`; None when one has no place there."""
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
    """Return how much each parameter tells the best runs from all, 0 upwards.

    Not normalised: numbers of shuffled values can be held against those of the real ones.
    `points` and `values` belong together by position; repeats count as often as they stand there.
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
    found = evaluator.evaluate(_GivenStudy(trials))
    return {name: found[name] for name in space}
