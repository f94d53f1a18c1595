"""Whether the budget of a campaign's runs makes sense: time or work, in which unit, how much."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final, Protocol

from campaigns.fleet.budgets import MAX_WORK_SECONDS, TOKEN_PARAMS, WorkBudget, new_budget
from campaigns.fleet.extents import Extent, extent_of, longest_guard
from campaigns.lifecycle.errors import InvalidCampaign
from campaigns.models import (
    MAX_BUDGET_SECONDS,
    MAX_WORK,
    MIN_BUDGET_SECONDS,
    BudgetKind,
    Campaign,
    WorkUnit,
)
from campaigns.search.space import SearchSpace
from campaigns.work.cost import FEWEST_STEPS

NO_SECONDS: Final = (
    "The script does not say what a step costs in the terms of the catalog (DESCRIBE), so seconds "
    "of work cannot be turned into steps. Give the work in steps or tokens, or a time budget."
)
NO_TOKENS: Final = (
    f"Tokens are counted with {' and '.join(TOKEN_PARAMS)}, which are not both in the search "
    "space. Give the work in steps, or a time budget."
)
_LEAST: Final = {WorkUnit.SECONDS: MIN_BUDGET_SECONDS, WorkUnit.STEPS: FEWEST_STEPS}
_MOST: Final = {WorkUnit.SECONDS: MAX_WORK_SECONDS}
Problems = dict[str, list[str]]


class Budgeted(Protocol):
    """The fields of a `CampaignSpec` that say when a run is over."""

    @property
    def budget_kind(self) -> str: ...
    @property
    def time_budget_seconds(self) -> float | None: ...
    @property
    def work_unit(self) -> str: ...
    @property
    def work_amount(self) -> float | None: ...


def budget_problems(spec: Budgeted) -> Problems:
    """Return why these fields are no budget, by field; the search space is not looked at."""
    if spec.budget_kind == BudgetKind.TIME:
        return _time_problems(spec)
    if spec.budget_kind != BudgetKind.WORK:
        return {"budget_kind": [f"must be {BudgetKind.TIME} or {BudgetKind.WORK}"]}
    problems: Problems = {}
    if spec.time_budget_seconds is not None:
        problems["time_budget_seconds"] = [
            "a work budget has no time; leave it out, or leave out the work"
        ]
    unit = unit_of(spec)
    if unit not in WorkUnit.values:
        problems["work_unit"] = [f"must be one of {', '.join(WorkUnit.values)}"]
    elif sentence := _amount_problem(unit, spec.work_amount):
        problems["work_amount"] = [sentence]
    return problems


def unit_of(spec: Budgeted) -> str:
    """Return the unit of a work budget: seconds unless another is given; "" for a time budget."""
    if spec.budget_kind != BudgetKind.WORK:
        return ""
    return spec.work_unit or WorkUnit.SECONDS


def _time_problems(spec: Budgeted) -> Problems:
    problems: Problems = {}
    for name in ("work_unit", "work_amount"):
        if getattr(spec, name) not in {"", None}:
            problems[name] = ["belongs to a work budget, and this is a time budget"]
    # Checked here and not only by the database's constraint, whose error names no field; and SQLite
    # reads NaN as NULL, for which a check constraint holds.
    seconds = spec.time_budget_seconds
    if seconds is None:
        problems["time_budget_seconds"] = ["must be given, or else a work budget"]
    elif not MIN_BUDGET_SECONDS <= seconds <= MAX_BUDGET_SECONDS:
        problems["time_budget_seconds"] = [
            f"must be from {MIN_BUDGET_SECONDS} to {MAX_BUDGET_SECONDS:,}"
        ]
    return problems


def _amount_problem(unit: str, amount: Any) -> str:
    least, most = _LEAST.get(WorkUnit(unit), 1), _MOST.get(WorkUnit(unit), MAX_WORK - 1)
    # Also refuses NaN, and true, which is a number to Python.
    if type(amount) not in {int, float} or not least <= amount <= most:
        return f"must be a number from {least:g} to {most:,.0f} ({unit})"
    if unit == WorkUnit.STEPS and amount != round(amount):
        return "must be a whole number of steps"
    return ""


def space_problems(budget: WorkBudget, space: SearchSpace, extent: Extent) -> Problems:
    """Return why the budget gives the configs of this space no work, by field."""
    if budget.unit == WorkUnit.SECONDS and budget.model is None:
        return {"work_unit": [NO_SECONDS]}
    if budget.unit == WorkUnit.TOKENS and not set(TOKEN_PARAMS) <= space.parameters.keys():
        return {"work_unit": [NO_TOKENS]}
    if budget.unit != WorkUnit.SECONDS and extent.too_much:
        return {"work_amount": [f"is too much: {extent.too_much}"]}
    if extent.infeasible and not extent.runs:
        return {"search_space": [f"no config of it has such a run: {extent.why}"]}
    return {}


def work_columns(
    spec: Budgeted,
    *,
    space: SearchSpace,
    experiment: str,
    source: bytes,
    eval_bytes: int,
    now: dt.datetime,
) -> dict[str, Any]:
    """Return the columns of a campaign's work budget, of a spec without `budget_problems`.

    Raises InvalidCampaign when the configs have no such work.
    """
    amount, unit = float(spec.work_amount or 0.0), unit_of(spec)
    budget = new_budget(unit=unit, amount=amount, experiment=experiment, source=source, now=now)
    extent = checked_extent(budget, space)
    return {
        "work_unit": unit,
        "work_amount": amount,
        "time_budget_seconds": longest_guard(budget, extent, eval_bytes=eval_bytes),
    }


def launched_work(campaign: Campaign, *, now: dt.datetime) -> WorkBudget | None:
    """Return the budget that the launch pins; None for a time budget. Raises InvalidCampaign."""
    if campaign.budget_kind != BudgetKind.WORK:
        return None
    budget = new_budget(
        unit=campaign.work_unit,
        amount=campaign.work_amount or 0.0,
        experiment=campaign.experiment,
        source=bytes(campaign.package.source),
        now=now,
    )
    checked_extent(budget, SearchSpace.stored(campaign.search_space))
    return budget


def checked_extent(budget: WorkBudget, space: SearchSpace) -> Extent:
    """Return what the budget means for the space. Raises InvalidCampaign when it means nothing."""
    if budget.unit == WorkUnit.SECONDS and budget.model is None:
        raise InvalidCampaign({"work_unit": [NO_SECONDS]})
    extent = extent_of(budget, space)
    if problems := space_problems(budget, space, extent):
        raise InvalidCampaign(problems)
    return extent
