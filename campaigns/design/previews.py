"""What a campaign would run, before it runs: first configs, size of the space, and its cost."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from campaigns.design.forecasts import Forecast, forecast
from campaigns.models import Package
from campaigns.search.samplers import grid_points, sample_task
from campaigns.search.space import SearchSpace, UnsatisfiableSpace
from campaigns.search.survey import Survey, survey
from experiments import catalog
from workers.protocol import IsolationTier

PREVIEWED_CONFIGS: Final = 5


@dataclass(frozen=True)
class Preview:
    """The first tasks, as their seeds and one row of values per parameter; survey and forecast."""

    task_count: int
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)
    rows: list[tuple[str, list[Any]]] = field(default_factory=list)
    survey: Survey | None = None
    forecast: Forecast | None = None


def preview(values: Mapping[str, Any], *, now: dt.datetime) -> Preview:
    """Preview a campaign from the checked fields of a `CampaignSpec`."""
    space = SearchSpace.parse(values["search_space"])
    count, sampler = values["task_count"], values["sampler"]
    numbers = range(min(PREVIEWED_CONFIGS, count))
    warnings = _about_parameters(space, values["experiment"])
    warnings += _about_script(values.get("script", ""))
    try:
        sampled = [sample_task(space, sampler, values["base_seed"], number) for number in numbers]
        if sampler == "grid":
            warnings += _about_grid(len(grid_points(space)), count)
    except UnsatisfiableSpace as error:
        return Preview(count, errors=[str(error)], survey=survey(space))
    return Preview(
        count,
        warnings=warnings,
        seeds=[seed for seed, _ in sampled],
        rows=[(name, [params[name] for _, params in sampled]) for name in space.parameters],
        survey=survey(space),
        forecast=forecast(
            experiment=values["experiment"],
            task_count=count,
            time_budget_seconds=values["time_budget_seconds"],
            allow_simulated=values["allow_simulated"],
            required_isolation=values.get("required_isolation") or IsolationTier.T0,
            is_uploaded=bool(values.get("script")),
            now=now,
        ),
    )


def _about_parameters(space: SearchSpace, experiment: str) -> list[str]:
    """Warn where the parameters differ from the experiment's: its script may refuse to run."""
    try:
        parameters = catalog.get(experiment).default_search_space["parameters"]
    except catalog.UnknownExperiment:
        # A draft may be older than the removal of its experiment from the catalog.
        return []
    known = [parameter["name"] for parameter in parameters]
    unknown = [name for name in space.parameters if name not in known]
    missing = [name for name in known if name not in space.parameters]
    warnings = []
    if missing:
        warnings.append(f"Missing from the experiment's own space: {', '.join(missing)}.")
    if unknown:
        warnings.append(f"Not in the experiment's own space: {', '.join(unknown)}.")
    if warnings:
        warnings.append(
            "A script may refuse to run without what it needs, or with what it does not know."
        )
    return warnings


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
