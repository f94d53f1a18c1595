"""Export of a campaign as an Optuna study with the same trials, states, params and times."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import httpx2
import optuna
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from campaigns import lifecycle, steering
from campaigns.exports import optuna_study
from campaigns.models import Campaign, ProgressPoint
from tests import factories
from tests.processes import free_port, wait_until
from workers.protocol import FailureClass

pytestmark = pytest.mark.django_db

SPACE: dict[str, Any] = {
    "parameters": [
        {"name": "lr", "type": "float", "low": 1e-4, "high": 1e-2, "log": True, "decimals": 6},
        {"name": "dropout", "type": "float", "low": 0.0, "high": 0.5},
        {"name": "layers", "type": "int", "low": 2, "high": 7, "step": 2},
        {"name": "width", "type": "int", "low": 16, "high": 64, "log": True},
        {"name": "flag", "type": "choice", "values": [1, True, "one", 1.0]},
    ],
    "constraints": ["layers <= width"],
}


@pytest.fixture
def campaign() -> Campaign:
    """Two tasks with values, then diverged, simulated, failed, cancelled, leased and pending."""
    exported = factories.active_campaign(
        8, search_space=SPACE, allow_simulated=True, max_failed_attempts=1, name="every kind"
    )
    for second, value in ((10, 3.2), (20, 3.1)):
        attempt = factories.claim_one(factories.worker(), now=factories.at(second))
        ProgressPoint.objects.create(
            attempt=attempt, seq=0, elapsed_seconds=1, step=50, value=value + 1
        )
        factories.finish(attempt, value, now=factories.at(second + 9))
    factories.run(None, seconds=0)
    factories.run(1.5, seconds=0, simulated=True)
    factories.fail(factories.claim_one(factories.worker()), FailureClass.OOM)
    lifecycle.cancel_task(exported.tasks.get(number=5), now=factories.NOW)
    factories.claim_one(factories.worker("holder"))
    return exported


def load(file: Path) -> optuna.Study:
    return optuna.load_study(study_name=None, storage=f"sqlite:///{file}")


def export(campaign: Campaign, file: Path, *arguments: str) -> str:
    errors = StringIO()
    call_command(
        "export_results",
        *(str(campaign.pk), "--format", "optuna", "--out", str(file), *arguments),
        stderr=errors,
    )
    return errors.getvalue()


def test_each_task_is_a_trial_of_the_same_state_and_value(
    campaign: Campaign, tmp_path: Path
) -> None:
    written = export(campaign, tmp_path / "study.db")

    study = load(tmp_path / "study.db")
    assert [
        (trial.user_attrs["task_number"], trial.state, trial.value) for trial in study.trials
    ] == [
        (0, TrialState.COMPLETE, pytest.approx(3.2)),
        (1, TrialState.COMPLETE, pytest.approx(3.1)),
        (2, TrialState.FAIL, None),
        (4, TrialState.FAIL, None),
        (5, TrialState.FAIL, None),
        (6, TrialState.RUNNING, None),
        (7, TrialState.WAITING, None),
    ]
    assert [trial.number for trial in study.trials] == list(range(7))
    assert study.study_name == "every kind"
    assert study.direction == optuna.study.StudyDirection.MINIMIZE
    assert study.best_trial.user_attrs["task_number"] == 1
    assert "with 7 trials" in written


def test_an_implausible_result_is_no_trial_until_it_is_admitted(
    campaign: Campaign, tmp_path: Path
) -> None:
    factories.run(0.5, seconds=100)
    export(campaign, tmp_path / "before.db", "--simulated")
    assert 0.5 not in [trial.value for trial in load(tmp_path / "before.db").trials]

    steering.admit(None, campaign.tasks.get(result__value=0.5), now=factories.NOW)
    export(campaign, tmp_path / "after.db")
    assert load(tmp_path / "after.db").best_value == 0.5


def test_params_come_back_as_they_ran_with_the_ranges_of_the_space(
    campaign: Campaign, tmp_path: Path
) -> None:
    export(campaign, tmp_path / "study.db", "--simulated")

    study = load(tmp_path / "study.db")
    ran = {task.number: task.params for task in campaign.tasks.all()}
    for trial in study.trials:
        params = ran[trial.user_attrs["task_number"]]
        assert trial.params == params
        assert type(trial.params["flag"]) is type(params["flag"])
    assert study.trials[0].distributions == {
        "lr": FloatDistribution(1e-4, 1e-2, log=True),
        "dropout": FloatDistribution(0.0, 0.5),
        "layers": IntDistribution(2, 6, step=2),  # the last step from 2 that does not exceed 7
        "width": IntDistribution(16, 64, log=True),
        "flag": CategoricalDistribution((1, True, "one", 1.0)),
    }


def test_times_curves_and_circumstances_come_along(campaign: Campaign, tmp_path: Path) -> None:
    export(campaign, tmp_path / "study.db")

    study = load(tmp_path / "study.db")
    first, diverged, failed = study.trials[0], study.trials[2], study.trials[3]
    assert first.datetime_start is not None
    assert first.datetime_complete is not None
    # Optuna gives naive local times.
    assert first.datetime_start.astimezone() == factories.at(10)
    assert first.datetime_complete.astimezone() == factories.at(19)
    assert first.intermediate_values == {50: pytest.approx(4.2)}
    expected = {"seed": 42, "device": "cpu", "steps_completed": 100, "attempt": 1}
    assert first.user_attrs.items() >= expected.items()
    assert diverged.user_attrs["diverged"] is True
    assert failed.user_attrs["failure_class"] == "oom"
    assert study.trials[5].user_attrs["worker"] == "holder"
    assert study.user_attrs["dataset_sha256"] == campaign.dataset_id
    assert study.metric_names == ["val_bpb"]


def test_a_simulated_value_is_a_trial_only_when_asked_for(
    campaign: Campaign, tmp_path: Path
) -> None:
    export(campaign, tmp_path / "study.db", "--simulated")

    simulated = [
        trial for trial in load(tmp_path / "study.db").trials if trial.user_attrs.get("simulated")
    ]
    assert [(trial.user_attrs["task_number"], trial.value) for trial in simulated] == [(3, 1.5)]


def test_optuna_goes_on_where_the_campaign_stands(campaign: Campaign, tmp_path: Path) -> None:
    export(campaign, tmp_path / "study.db")
    study = load(tmp_path / "study.db")

    trial = study.ask()

    waiting = campaign.tasks.get(number=7)
    assert trial.user_attrs["task_number"] == 7
    assert trial.suggest_float("lr", 1e-4, 1e-2, log=True) == waiting.params["lr"]
    study.tell(trial, 2.9)
    assert study.best_value == 2.9


def test_a_campaign_longer_than_a_chunk_keeps_its_order_and_costs_no_query_per_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries: Any
) -> None:
    monkeypatch.setattr(optuna_study, "CHUNK_TASKS", 16)
    campaign = factories.active_campaign(40)

    with django_assert_max_num_queries(8):  # tasks, data set, and the attempts of three chunks
        assert optuna_study.write_study(campaign, tmp_path / "study.db") == 40

    trials = load(tmp_path / "study.db").trials
    assert [trial.user_attrs["seed"] for trial in trials] == [42] * 40


def test_an_older_file_is_replaced_and_nothing_half_is_left(
    campaign: Campaign, tmp_path: Path
) -> None:
    file = tmp_path / "a study?.db"
    file.write_text("older")

    optuna_study.write_study(campaign, file)

    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    assert file.read_bytes().startswith(b"SQLite format 3")


def test_a_study_needs_a_file_that_can_be_written(campaign: Campaign, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="--out"):
        call_command("export_results", str(campaign.pk), "--format", "optuna")
    with pytest.raises(CommandError, match="Cannot write"):
        export(campaign, tmp_path / "no folder" / "study.db")


@pytest.fixture
def dashboard(campaign: Campaign, tmp_path: Path) -> Iterator[str]:
    """The address of a real optuna-dashboard that serves the exported file."""
    export(campaign, tmp_path / "study.db")
    port = free_port()
    program = Path(sys.executable).with_name("optuna-dashboard")
    with (tmp_path / "dashboard.log").open("wb") as log:
        process = subprocess.Popen(
            [program, f"sqlite:///{tmp_path / 'study.db'}", "--port", str(port)],
            env=os.environ | {"PYTHONWARNINGS": "ignore"},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: _answers(address) or process.poll() is not None, "a page", 60.0)
        yield address
    finally:
        process.terminate()
        process.wait(20)


def _answers(address: str) -> bool:
    try:
        return httpx2.get(f"{address}/api/meta", timeout=5.0).status_code == 200
    except httpx2.HTTPError:
        return False


def test_the_real_optuna_dashboard_shows_the_same_trials(
    dashboard: str, campaign: Campaign
) -> None:
    with httpx2.Client(base_url=dashboard, timeout=60.0) as client:
        (summary,) = client.get("/api/studies").json()["study_summaries"]
        detail = client.get(f"/api/studies/{summary['study_id']}").json()

    assert summary["study_name"] == campaign.name
    states = [trial["state"] for trial in detail["trials"]]
    assert states == ["Complete", "Complete", "Fail", "Fail", "Fail", "Running", "Waiting"]
    values = [v for trial in detail["trials"] for v in trial.get("values") or []]
    assert values == pytest.approx([3.2, 3.1])
    params = {p["name"]: p["param_internal_value"] for p in detail["trials"][0]["params"]}
    assert params["lr"] == campaign.tasks.get(number=0).params["lr"]
    assert json.dumps(detail).count('"task_number"') >= 7
