"""What a work budget means for a search space: its smallest and its largest run."""

from __future__ import annotations

from dataclasses import dataclass

from campaigns.fleet.budgets import MAX_WORK_SECONDS, TooMuchWork, Work, WorkBudget, guard_of
from campaigns.search.samplers import Params
from campaigns.search.space import SearchSpace
from campaigns.search.survey import kept_points
from campaigns.work.cost import CostModel
from campaigns.work.describe import InfeasibleCost


@dataclass(frozen=True)
class Extent:
    """The works of the points that were looked at: all of a small space, a sample of a large one.

    `why` is the reason of the first point that has no such run, "" without any; `too_much` is the
    reason of the first that has too much work.
    """

    runs: list[tuple[Params, Work]]
    infeasible: int
    why: str
    too_much: str

    @property
    def fewest_steps(self) -> int:
        """The steps of the config that gets the fewest."""
        return min(work.steps for _, work in self.runs)

    @property
    def most_steps(self) -> int:
        """The steps of the config that gets the most."""
        return max(work.steps for _, work in self.runs)


def extent_of(budget: WorkBudget, space: SearchSpace) -> Extent:
    """Return what the budget means for the points of the space."""
    runs, infeasible, why, too_much = [], 0, "", ""
    for params in kept_points(space):
        try:
            runs.append((params, budget.work_of(params)))
        except InfeasibleCost as error:
            infeasible += 1
            why = why or str(error)
            if isinstance(error, TooMuchWork):
                too_much = too_much or str(error)
    return Extent(runs, infeasible, why, too_much)


def longest_guard(budget: WorkBudget, extent: Extent, *, eval_bytes: int) -> float:
    """Return the guard of the longest run on the reference, in seconds."""
    return max(
        (
            guard_of(budget.description, params, work.steps, _models(budget), eval_bytes=eval_bytes)
            for params, work in extent.runs
        ),
        default=MAX_WORK_SECONDS,
    )


def _models(budget: WorkBudget) -> list[CostModel]:
    return [budget.model] if budget.model else []
