"""What a campaign would run, before it runs: first configs, size of the space, and its cost."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from campaigns.datasets import size_of_known
from campaigns.design.forecasts import Forecast, forecast_alone, forecast_in_turn
from campaigns.design.race_plan import RacePlan, SetUp, plan_new, set_up
from campaigns.design.work import WorkPlan, work_plan
from campaigns.lifecycle.errors import InvalidCampaign
from campaigns.lifecycle.launch_checks import fit_problems, param_warnings, refusal_sentences
from campaigns.lifecycle.race_due import races_by_default, runs_kept_at_launch
from campaigns.models import BudgetKind, Campaign, Package, PackageOrigin
from campaigns.race.rule import reserve_of
from campaigns.search.samplers import grid_points, sample
from campaigns.search.seeds import seed_at
from campaigns.search.space import SearchSpace, UnsatisfiableSpace
from campaigns.search.steps import PREVIEW_STEPS, StepsSpent
from campaigns.search.survey import Survey, survey
from experiments import catalog
from workers.protocol import IsolationTier

PREVIEWED_CONFIGS: Final = 5


@dataclass(frozen=True)
class Preview:
    """The first tasks, as their seeds and one row of values per parameter; survey and forecast."""

    task_count: int
    # How many of them are kept for the race, and how many runs a race would add to them.
    kept_runs: int = 0
    added_runs: int = 0
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)
    rows: list[tuple[str, list[Any]]] = field(default_factory=list)
    survey: Survey | None = None
    # Without one where nothing is known of how long the steps take.
    forecast: Forecast | None = None
    work: WorkPlan | None = None
    # What it takes to see a difference, and the fields that let the race do so.
    plan: RacePlan | None = None
    set_up: SetUp | None = None

    @property
    def arms(self) -> int:
        """How many configs are drawn; a point that is drawn again is another seed of its arm."""
        return self.task_count - self.kept_runs


def preview(
    values: Mapping[str, Any], *, now: dt.datetime, worth_seeing: float | None = None
) -> Preview:
    """Preview a campaign from the checked fields of a `CampaignSpec`.

    With `worth_seeing`, a difference in the metric's unit, also plan the race that finds it.
    """
    # Checked by the form, the request or the draft; drawing from it again would only cost.
    space = SearchSpace.stored(values["search_space"]).with_budget(PREVIEW_STEPS)
    count, sampler = values["task_count"], values["sampler"]
    kept, added = _race_runs(values)
    draws = range(min(PREVIEWED_CONFIGS, count - kept))
    warnings = _about_fit(space, values) + param_warnings(space, values["experiment"])
    warnings += _about_script(values.get("script", ""))
    try:
        points = [sample(space, sampler, values["base_seed"], draw) for draw in draws]
        if sampler == "grid":
            warnings += _about_grid(len(grid_points(space)), count - kept)
    except UnsatisfiableSpace as error:
        return Preview(count, errors=[str(error)], survey=survey(space))
    except StepsSpent:
        sentence = f"Drawing the first tasks takes more than {PREVIEW_STEPS:,} steps: loosen or "
        sentence += "shorten the constraints."
        return Preview(count, errors=[sentence], survey=survey(space))
    try:
        work = work_plan(values, space, dataset_bytes=_dataset_bytes(values), now=now)
    except InvalidCampaign as error:
        return Preview(count, errors=_sentences(error), survey=survey(space))
    run_seconds = work.seconds if work else values["time_budget_seconds"]

    cost = None
    if run_seconds is not None:
        new = _unsaved(values, now)
        cost = forecast_in_turn(new, count + added, run_seconds=run_seconds, now=now)

    def race_seconds(runs: int) -> float | None:
        if run_seconds is None or cost is None or not values["allow_simulated"]:
            return cost.duration_of(runs) if cost else None
        # What nobody measured counts as missing in a race.
        measured = _unsaved({**values, "allow_simulated": False}, now)
        return forecast_alone(measured, runs, run_seconds=run_seconds, now=now).duration_seconds

    plan = None if worth_seeing is None else plan_new(values, worth_seeing, race_seconds)
    return Preview(
        count,
        kept_runs=kept,
        added_runs=added,
        warnings=warnings + _about_work(work),
        seeds=[
            seed_at(values["base_seed"], points[:draw].count(params))
            for draw, params in enumerate(points)
        ],
        rows=[(name, [params[name] for params in points]) for name in space.parameters],
        survey=survey(space),
        work=work,
        forecast=cost,
        plan=plan,
        set_up=set_up(plan, values) if plan else None,
    )


def _unsaved(values: Mapping[str, Any], now: dt.datetime) -> Campaign:
    """Return the campaign as far as machines need to know it, as if its script were approved."""
    is_uploaded = _is_uploaded(values)
    sha256 = "" if is_uploaded else catalog.script_sha256(values["experiment"])
    origin = PackageOrigin.UPLOADED if is_uploaded else PackageOrigin.BUILTIN
    return Campaign(
        experiment=values["experiment"],
        package=Package(sha256=sha256, origin=origin, approved_at=now),
        allow_simulated=values["allow_simulated"],
        required_isolation=values.get("required_isolation") or IsolationTier.T0,
        budget_kind=values.get("budget_kind") or BudgetKind.TIME,
    )


def _dataset_bytes(values: Mapping[str, Any]) -> int | None:
    return size_of_known(values.get("dataset") or "")


def _about_work(work: WorkPlan | None) -> list[str]:
    """Say that some configs have no run of this work."""
    if work is None or not work.infeasible_share:
        return []
    share = f"{work.infeasible_share:.0%}"
    sentence = f"About {share} of the configs have no such run: their step has no finite cost, or "
    sentence += "two steps are more work than any run may have. Their tasks fail at once."
    return [sentence]


def _sentences(error: InvalidCampaign) -> list[str]:
    """Return what is wrong with the budget, each sentence after its field."""
    return [
        f"{field.replace('_', ' ').capitalize()} {sentence}" if sentence[:1].islower() else sentence
        for field, sentences in error.errors.items()
        for sentence in sentences
    ]


def _race_runs(values: Mapping[str, Any]) -> tuple[int, int]:
    """Return how many runs are kept for a race that begins by itself, and how many come on top."""
    count, races = values["task_count"], values.get("races_automatically")
    if races is None:
        races = races_by_default(count, allow_simulated=values["allow_simulated"])
    kept = runs_kept_at_launch(count, values["sampler"], races_automatically=races)
    return kept, reserve_of(count) - kept if races else 0


def _about_fit(space: SearchSpace, values: Mapping[str, Any]) -> list[str]:
    """Say where a launch would be refused, because no task could run."""
    name = values.get("dataset") or ""
    problems = fit_problems(
        space,
        values["experiment"],
        dataset=name,
        dataset_bytes=_dataset_bytes(values),
        is_uploaded=_is_uploaded(values),
    )
    return refusal_sentences(problems)


def _is_uploaded(values: Mapping[str, Any]) -> bool:
    """Whether the tasks run an uploaded script, in a spec (`script`) or a draft (`package`)."""
    if values.get("package"):
        return Package.objects.get(pk=values["package"]).is_uploaded
    return bool(values.get("script"))


def _about_script(sha256: str) -> list[str]:
    script = Package.objects.filter(pk=sha256).defer("source").first() if sha256 else None
    if script is None or script.may_run:
        return []
    warnings = [f"No worker gets the script {script} before an operator has approved it."]
    if script.declined_reason:
        warnings.append(f"An operator has declined it: {script.declined_reason}")
    return warnings


def _about_grid(points: int, tasks: int) -> list[str]:
    if tasks < points:
        return [f"{tasks:,} tasks are the first part of a grid of {points:,} points."]
    if tasks % points:
        return [f"{tasks:,} tasks are no multiple of the grid's {points:,} points."]
    return []
