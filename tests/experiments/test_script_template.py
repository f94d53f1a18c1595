"""The template that strangers start from: short, and keeping the whole contract."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from campaigns.scripts.contract import Verdict, check_script
from campaigns.scripts.source import source_problems
from experiments import catalog
from tests.experiments.training_runs import (
    SMALL,
    cached_file,
    fill_cache,
    finish,
    result_of,
    start,
)
from workers.result_line import metrics_problems

TEMPLATE = catalog.EXPERIMENTS_FOLDER / "script_template.py"
MOST_LINES = 120
# The check's measured run takes a budget whole. On a machine where the import of torch alone takes
# so long, the longer one decides.
BUDGETS_SECONDS = (8.0, 40.0)

pytestmark = pytest.mark.long


def test_it_is_short_and_can_be_uploaded() -> None:
    assert len(catalog.script_template().decode().splitlines()) <= MOST_LINES
    assert source_problems(catalog.script_template()) == []


def test_it_takes_every_param_of_the_default_space(tmp_path: Path) -> None:
    experiment = catalog.get("train_char_lm")
    config = {name: SMALL[name] for name in SMALL if name != "device"}
    assert set(experiment.known_params) - {"max_steps", "device"} <= config.keys()
    config |= {"max_steps": 3, "device": "cpu", "time_budget_seconds": 300}
    data = fill_cache(tmp_path)
    learned = result_of(
        finish(start(tmp_path / "a", data, config | {"max_steps": 80}, script=TEMPLATE))
    )
    short = result_of(finish(start(tmp_path / "b", data, config, script=TEMPLATE)))
    for result, steps in ((learned, 80), (short, 3)):
        assert metrics_problems(result) == []
        assert (result["steps_completed"], result["stop_reason"]) == (steps, "max_steps")
    assert learned["val_bpb"] < short["val_bpb"] - 0.5


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"unknown": 1}, 2),
        ({"seed": None}, 2),  # None: left out
        ({"dataset_sha256": "0" * 64}, 3),
        ({"device": "cuda"}, 4),
    ],
)
def test_it_says_by_its_exit_code_what_is_wrong(
    tmp_path: Path, change: dict[str, object], code: int
) -> None:
    config = {key: value for key, value in (SMALL | change).items() if value is not None}
    run = finish(start(tmp_path / "run", fill_cache(tmp_path), config, script=TEMPLATE))
    assert (run.returncode, run.stdout) == (code, "")
    assert run.stderr.strip()


def test_it_looks_for_the_data_when_it_is_asked_to_prepare(tmp_path: Path) -> None:
    data = fill_cache(tmp_path)
    there = finish(start(tmp_path / "a", data, SMALL, "--prepare", script=TEMPLATE))
    cached_file(data).write_bytes(b"other bytes")
    other = finish(start(tmp_path / "b", data, SMALL, "--prepare", script=TEMPLATE))
    assert (there.returncode, other.returncode) == (0, 3)


def verdicts_with(budget: float) -> list[Verdict]:
    """Return the verdicts of a check with this budget, up to the first broken rule."""
    verdicts = []
    for verdict in check_script(catalog.script_template(), budget=budget):
        verdicts.append(verdict)
        if not verdict.kept:
            break
    return verdicts


@pytest.mark.timeout(400)
def test_it_keeps_every_rule_of_the_contract() -> None:
    """What `check_experiment` runs, on the file itself."""
    verdicts = verdicts_with(BUDGETS_SECONDS[0])
    if not verdicts[-1].kept:
        verdicts = verdicts_with(BUDGETS_SECONDS[1])
    assert verdicts[-1].kept, verdicts[-1]
    if sys.platform == "linux":
        assert [each.starts_warm for each in verdicts if each.starts_warm is not None] == [True]
