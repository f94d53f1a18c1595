"""Importance, effects and surfaces, on generated runs whose true dependence is known."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from benchmarks import honesty_params
from campaigns.analysis.axes import Axis, axes_of
from campaigns.analysis.chance import judge
from campaigns.analysis.effects import effect_of
from campaigns.analysis.importance import MIN_RESULTS, importance
from campaigns.analysis.runs import Run
from campaigns.analysis.surface import surface

SPACE: dict[str, Any] = {
    "parameters": [
        {"name": "lr", "type": "float", "low": 1e-4, "high": 1e-2, "log": True},
        {"name": "width", "type": "choice", "values": [64, 128, 256]},
        {"name": "schedule", "type": "choice", "values": ["cosine", "1", 1, True]},
        {"name": "warmup", "type": "int", "low": 0, "high": 1000},
        {"name": "depth", "type": "int", "low": 2, "high": 6, "step": 2},
        {"name": "fixed", "type": "choice", "values": [7]},
    ],
    "constraints": [],
}


def run(number: int, params: dict[str, Any], value: float) -> Run:
    return Run(number, number, params, str(params), value, value, 100, 1000, 5000, "cpu")


def runs_of(value: Callable[[dict[str, Any], random.Random], float], count: int) -> list[Run]:
    rng = random.Random(7)
    runs = []
    for number in range(count):
        params = {
            "lr": math.exp(rng.uniform(math.log(1e-4), math.log(1e-2))),
            "width": rng.choice([64, 128, 256]),
            "schedule": rng.choice(["cosine", "1", 1, True]),
            "warmup": rng.randint(0, 1000),
            "depth": rng.choice([2, 4, 6]),
            "fixed": 7,
        }
        runs.append(run(number, params, value(params, rng)))
    return runs


def only_lr_matters(params: dict[str, Any], rng: random.Random) -> float:
    return 3 + math.log10(params["lr"] / 1e-3) ** 2 + rng.gauss(0, 0.05)


def nothing_matters(params: dict[str, Any], rng: random.Random) -> float:
    return 3 + rng.gauss(0, 0.1)


def axis_named(name: str) -> Axis:
    return next(axis for axis in axes_of(SPACE) if axis.name == name)


def test_params_that_cannot_differ_are_no_axes() -> None:
    assert [axis.name for axis in axes_of(SPACE)] == ["lr", "width", "schedule", "warmup", "depth"]


def test_a_level_is_told_by_type_too() -> None:
    schedule = axis_named("schedule")
    positions = [schedule.position(value) for value in ("cosine", "1", 1, True, 1.0)]
    assert positions == [0, 1, 2, 3, None]


def test_bins_of_a_log_parameter_are_even_in_the_logarithm() -> None:
    lr = axis_named("lr")
    assert lr.edges[3] == pytest.approx(1e-3)
    assert lr.cell(1e-4) == 0
    assert lr.cell(1e-2) == 7
    assert lr.cell_label(0) == "0.0001 – 0.000178"
    assert lr.at(lr.unit(3e-4)) == pytest.approx(3e-4)


def test_whole_numbers_are_levels_while_they_are_few() -> None:
    assert axis_named("depth").levels == (2, 4, 6)
    assert not axis_named("warmup").levels


def test_the_parameter_that_matters_comes_first_and_stands_out() -> None:
    result = importance(axes_of(SPACE), runs_of(only_lr_matters, 200))
    first = result.parameters[0]
    assert first.name == "lr"
    assert first.stands_out
    assert first.share > 0.6
    assert first.low > max(estimate.high for estimate in result.parameters[1:])
    assert sum(estimate.share for estimate in result.parameters) == pytest.approx(1)
    assert all(estimate.low <= estimate.high for estimate in result.parameters)


def test_where_nothing_matters_no_parameter_stands_out() -> None:
    result = importance(axes_of(SPACE), runs_of(nothing_matters, 120))
    assert len(result.parameters) == 5
    assert not [estimate.name for estimate in result.parameters if estimate.stands_out]


def test_a_parameter_counts_above_what_shuffled_values_reach() -> None:
    judged = judge(axes_of(SPACE), runs_of(only_lr_matters, 60))
    assert judged.names == {"lr"}
    ((_, share),) = judged.named
    assert share > (judged.by_chance or 1.0) > 0.0
    assert judge(axes_of(SPACE), runs_of(only_lr_matters, 60)) == judged
    assert judge(axes_of(SPACE), runs_of(nothing_matters, 60)).named == ()
    few = judge(axes_of(SPACE), runs_of(only_lr_matters, 19))
    assert (few.named, few.by_chance) == ((), None)


def test_noise_names_no_parameter() -> None:
    axes = axes_of(honesty_params.SPACE)
    noise = honesty_params.Noise(24)
    named = sum(bool(judge(axes, noise.runs(random.Random(n))).named) for n in range(120))
    assert named <= 8  # the true rate is 2 to 3 %


def test_a_config_that_ran_again_and_again_counts_once() -> None:
    runs = runs_of(nothing_matters, 60)
    again = [replace(runs[0], number=100 + n, value=1.0, sort_key=1.0) for n in range(200)]
    assert judge(axes_of(SPACE), [*again, *runs]) == judge(axes_of(SPACE), runs)
    assert importance(axes_of(SPACE), [*again, *runs]) == importance(axes_of(SPACE), runs)


def test_chance_stays_on_the_axis_of_shares() -> None:
    result = importance(axes_of(SPACE), runs_of(nothing_matters, 24))
    assert max(parameter.by_chance for parameter in result.parameters) == 1.0


def test_importance_is_the_same_each_time() -> None:
    runs = runs_of(only_lr_matters, 40)
    assert importance(axes_of(SPACE), runs) == importance(axes_of(SPACE), runs)


def test_importance_waits_for_enough_results() -> None:
    result = importance(axes_of(SPACE), runs_of(only_lr_matters, MIN_RESULTS - 1))
    assert result.parameters == []
    assert not result.is_enough


def test_importance_uses_a_sample_of_many_results() -> None:
    result = importance([axis_named("lr"), axis_named("width")], runs_of(only_lr_matters, 1200))
    assert (result.results, result.used) == (1200, 800)
    assert result.parameters[0].name == "lr"


def test_levels_with_few_runs_are_named() -> None:
    runs = runs_of(nothing_matters, 30)
    rare = [measured for measured in runs if measured.params["width"] != 256]
    rare += [measured for measured in runs if measured.params["width"] == 256][:2]
    result = importance(axes_of(SPACE), rare)
    sentence = "width has levels with fewer than 3 runs: 256 (2)"
    assert any(sentence in warning for warning in result.warnings)


def test_an_effect_has_mean_error_and_count_per_level() -> None:
    values = {64: [3.0, 3.2, 3.4], 128: [2.0], 256: []}
    runs = [run(0, {"width": width}, bpb) for width, measured in values.items() for bpb in measured]
    cells = effect_of(axis_named("width"), runs).cells
    assert [cell.count for cell in cells] == [3, 1, 0]
    assert cells[0].mean == pytest.approx(3.2)
    assert cells[0].error == pytest.approx(0.2 / math.sqrt(3))
    assert cells[1].error is None
    assert cells[2].mean is None


def test_the_explained_spread_is_near_all_nothing_or_unknown() -> None:
    width, lr = axis_named("width"), axis_named("lr")
    all_of_it = runs_of(lambda params, _: params["width"] / 100, 60)
    assert effect_of(width, all_of_it).explained == pytest.approx(1)
    assert (effect_of(lr, all_of_it).explained or 0) < 0.2
    assert (effect_of(width, runs_of(nothing_matters, 200)).explained or 0) < 0.05
    assert effect_of(width, all_of_it[:19]).explained is None


def test_a_surface_finds_the_valley_and_stays_open_where_no_runs_are() -> None:
    lr, warmup = axis_named("lr"), axis_named("warmup")
    runs = runs_of(only_lr_matters, 300)
    half = [measured for measured in runs if measured.params["warmup"] < 400]
    fitted = surface(lr, warmup, half)
    assert fitted.means[-1] == [None] * len(fitted.xs)
    lowest = min((mean, x) for mean, x in zip(fitted.means[0], fitted.xs, strict=True) if mean)
    assert 5e-4 < lowest[1] < 2e-3


def test_a_surface_over_levels_is_the_mean_of_each_cell() -> None:
    runs = [
        run(0, {"width": 64, "depth": 2}, 3.0),
        run(1, {"width": 64, "depth": 2}, 3.2),
        run(2, {"width": 256, "depth": 6}, 2.0),
    ]
    fitted = surface(axis_named("width"), axis_named("depth"), runs)
    assert fitted.means[0][0] == pytest.approx(3.1)
    assert fitted.means[2][2] == pytest.approx(2.0)
    assert fitted.means[1][1] is None
    assert fitted.support[0][0] == 2
