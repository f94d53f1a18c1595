"""The work of a campaign's runs: how many steps each config gets, and how long they should take."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, NamedTuple

from campaigns.fleet.speeds import description_of, reference_model
from campaigns.models import (
    MAX_BUDGET_SECONDS,
    MAX_WORK,
    BudgetKind,
    Campaign,
    Dataset,
    Package,
    WorkUnit,
)
from campaigns.work.cost import FEWEST_STEPS, GUARD_FACTOR, CostModel, guard_seconds, steps_of
from campaigns.work.describe import Description, InfeasibleCost
from experiments import catalog

# A run that should take longer would have no room for its guard (seconds).
MAX_WORK_SECONDS: Final = MAX_BUDGET_SECONDS / GUARD_FACTOR
# A step trains on so many tokens: the product of these params.
TOKEN_PARAMS: Final = ("batch_size", "context_length")
# The final evaluation only goes forward through the model, about a third of a training step.
EVALUATION_SHARE: Final = 0.5


class TooMuchWork(InfeasibleCost):
    """The config would have more steps, or run longer, than any run may; the message says so."""


class Work(NamedTuple):
    """What a config has to do: its steps, and their seconds on the reference (None: unknown)."""

    steps: int
    seconds: float | None


@dataclass(frozen=True)
class WorkBudget:
    """So much work for each run, in one unit; `model` turns it into steps, or only into seconds.

    Without a `model` that fits the script's `description` the unit cannot be seconds.
    """

    unit: str
    amount: float
    model: CostModel | None = None
    description: Description | None = None
    # Configs that differ only in what costs nothing have the same work.
    _known: dict[tuple[Any, ...], Work] = field(default_factory=dict, compare=False, repr=False)

    def work_of(self, params: Mapping[str, Any]) -> Work:
        """Return the work of a config. Raises InfeasibleCost when there is no such run."""
        key = tuple((type(params.get(name)), params.get(name)) for name in self._names)
        if key not in self._known:
            self._known[key] = self._computed(params)
        return self._known[key]

    @property
    def _names(self) -> list[str]:
        """The params that decide the work."""
        names = set(TOKEN_PARAMS)
        for term in self.description.terms.values() if self.description else ():
            names |= term.names
        return sorted(names)

    def _computed(self, params: Mapping[str, Any]) -> Work:
        step_seconds = self._step_seconds(params)
        match self.unit:
            case WorkUnit.STEPS:
                steps = round(self.amount)
            case WorkUnit.TOKENS:
                steps = _steps_within(self.amount, tokens_per_step(params))
            case _:
                # Without a model there is no budget in seconds.
                assert step_seconds is not None  # noqa: S101
                steps = _steps_within(self.amount, step_seconds)
        if steps > MAX_WORK:
            raise TooMuchWork(f"it would be more than {MAX_WORK:,} steps")
        if step_seconds is None:
            return Work(steps, None)
        seconds = steps * step_seconds
        if seconds > MAX_WORK_SECONDS:
            raise TooMuchWork(
                f"{steps:,} steps would take {seconds:,.3g} s on the reference, and a run may have "
                f"at most {MAX_WORK_SECONDS:,.0f} s of work"
            )
        if self.unit == WorkUnit.SECONDS and steps > FEWEST_STEPS:
            # Rounding to whole steps makes no config more work than another.
            seconds = self.amount
        return Work(steps, seconds)

    def _step_seconds(self, params: Mapping[str, Any]) -> float | None:
        """Return the reference's seconds for a step; None where only seconds would need them."""
        if self.model is None or self.description is None:
            return None
        try:
            return self.model.step_seconds(self.description, params)
        except InfeasibleCost:
            if self.unit == WorkUnit.SECONDS:
                raise
            return None


def _steps_within(amount: float, per_step: float) -> int:
    """Return `steps_of`; of a step that has next to nothing, more steps than are allowed."""
    return MAX_WORK + 1 if amount / per_step > MAX_WORK else steps_of(amount, per_step)


def tokens_per_step(params: Mapping[str, Any]) -> float:
    """Return how many tokens a step of the config trains on. Raises InfeasibleCost."""
    tokens = 1.0
    for name in TOKEN_PARAMS:
        value = params.get(name)
        if type(value) not in {int, float} or not value > 0:  # type: ignore[operator]
            raise InfeasibleCost(f"{name} must be a number above 0 to count tokens")
        tokens *= value  # type: ignore[operator]
    return tokens


def new_budget(
    *, unit: str, amount: float, experiment: str, source: bytes, now: dt.datetime
) -> WorkBudget:
    """Return the budget with the reference of this moment, as far as it fits the script."""
    description = description_of(source)
    try:
        model = reference_model(experiment, now) if description else None
    except catalog.UnknownExperiment:
        # A draft may be older than the removal of its experiment from the catalog.
        model = None
    if model is None or description is None or not model.fits(description):
        return WorkBudget(unit, amount)
    return WorkBudget(unit, amount, model, description)


def budget_of(campaign: Campaign) -> WorkBudget | None:
    """Return the work budget that the launch has pinned to the campaign; None under a time budget.

    A draft has none yet: `new_budget`.
    """
    if campaign.budget_kind != BudgetKind.WORK:
        return None
    amount = campaign.work_amount or 0.0
    if not campaign.cost_model:
        return WorkBudget(campaign.work_unit, amount)
    model = CostModel.from_json(campaign.cost_model)
    return WorkBudget(campaign.work_unit, amount, model, script_description(campaign.package_id))


@lru_cache(maxsize=64)
def script_description(sha256: str) -> Description | None:
    """Return what a stored script says of its cost; a script never changes, so it is read once."""
    return description_of(bytes(Package.objects.values_list("source", flat=True).get(pk=sha256)))


@lru_cache(maxsize=256)
def evaluated_bytes(experiment: str, dataset: str) -> int:
    """Return the bytes of the validation split of a stored data set, given by its hash."""
    size = Dataset.objects.values_list("size_bytes", flat=True).get(pk=dataset)
    return catalog.get(experiment).eval_bytes_allowed(size)["full"]


def run_seconds(
    model: CostModel,
    description: Description,
    params: Mapping[str, Any],
    steps: int,
    *,
    eval_bytes: int,
) -> float:
    """Return how long the steps and their evaluation should take on the model's machine.

    Raises InfeasibleCost.
    """
    try:
        evaluation = EVALUATION_SHARE * eval_bytes / tokens_per_step(params)
    except InfeasibleCost:
        # The params of this script do not say how much it evaluates at once.
        evaluation = 0.0
    return model.step_seconds(description, params) * (steps + evaluation)


def guard_of(
    description: Description | None,
    params: Mapping[str, Any],
    steps: int,
    models: Iterable[CostModel],
    *,
    eval_bytes: int,
) -> float:
    """Return the guard of a run, in seconds, on the slowest machine of the models that fit.

    Without any nothing is known of its speed: the guard is long.
    """
    expected = []
    for model in models:
        if description is not None and model.fits(description):
            try:
                seconds = run_seconds(model, description, params, steps, eval_bytes=eval_bytes)
            except InfeasibleCost:
                continue
            expected.append(seconds)
    if not expected:
        return MAX_WORK_SECONDS
    slowest = max(expected)
    if not math.isfinite(slowest):
        return float(MAX_BUDGET_SECONDS)
    return guard_seconds(slowest, longest=MAX_BUDGET_SECONDS)
