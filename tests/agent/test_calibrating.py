"""The agent measures its speed between tasks, and loses nothing with it."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from campaigns.serializers.calibrations import CalibrationReportSerializer
from experiments import catalog
from experiments.calibration import CalibrationPlan, CalibrationShape
from tests.agent.bench import HANGING, Bench
from tests.agent.server import Reply, make_lease, running_server, wait_until
from tests.agent.tasks.bench import SCRIPT
from workers.agent.attempt import Attempt
from workers.agent.connection.client import Client
from workers.agent.exits import EXIT_OK
from workers.agent.tasks.calibration import MOST_WAIT_SECONDS, Calibrator, problem_of
from workers.protocol import IsolationTier, Outcome, Submission

NAME = "train_char_lm"
SIZES = {"d_model": 16, "n_layers": 1, "n_heads": 1, "d_ff": 16, "batch_size": 2}
TINY = {**SIZES, "context_length": 128, "lr": 0.01, "lr_schedule": "linear"}
# What the training script prints, without the training.
QUICK = SCRIPT.replace(
    b'"steps_completed": 1', b'"steps_completed": config["max_steps"], "train_seconds": 0.5'
)
Plan = Callable[..., None]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with running_server() as server:
        yield Bench(tmp_path, server)


@pytest.fixture
def plan(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """Let the catalog know a script and its shapes, and the server ask for them."""

    def make(*params: dict[str, Any], source: bytes | None = QUICK, repeated: bool = False) -> None:
        experiment = catalog.get(NAME)
        shapes = tuple(CalibrationShape(each, steps) for steps, each in enumerate(params, start=2))
        made = CalibrationPlan(shapes, (1,), {}, "a machine", 0, {})
        if source is not None:
            script = tmp_path / "catalog.py"
            script.write_bytes(source)
            experiment = dataclasses.replace(experiment, script_path=script)
        known = dataclasses.replace(experiment, calibration=made)
        monkeypatch.setitem(catalog._EXPERIMENTS, NAME, known)
        sha256 = catalog.script_sha256(NAME)
        bench.server.order = {"experiment": NAME, "script_sha256": sha256, "repeated": repeated}

    return make


def paths(bench: Bench) -> list[str]:
    """What the agent sent, without heartbeats."""
    return [path for _, path, _ in bench.server.requests if path != "heartbeat"]


def test_the_catalogs_script_is_really_run(bench: Bench, plan: Plan) -> None:
    if importlib.util.find_spec("torch") is None:  # its import takes seconds
        pytest.skip("this installation has no torch")
    plan(TINY, {**TINY, "d_model": 32}, source=None)
    assert bench.run(once=True) == EXIT_OK
    (report,) = bench.server.calibrations
    read = CalibrationReportSerializer(data=report)
    assert read.is_valid(), read.errors
    assert [shape["steps"] for shape in report["shapes"]] == [2, 3]
    assert [shape["params"]["d_model"] for shape in report["shapes"]] == [16, 32]
    assert all(0 < shape["step_seconds"] < 60 for shape in report["shapes"])
    assert all(1 < shape["val_bpb"] < 9 for shape in report["shapes"])
    assert (report["device"], report["isolation"]) == ("cpu", "T0")
    assert report["dtype"] in {"float32", "bfloat16"}
    assert report["threads"] >= 1
    assert report["foreign_load"] is None or 0 <= report["foreign_load"] < 1000
    assert list(bench.state.work.iterdir()) == []


def test_it_is_done_after_the_task_that_came_with_the_order_and_before_the_next(
    bench: Bench, plan: Plan
) -> None:
    plan({"n": 1}, {"n": 2}, repeated=True)
    # Long enough for a measurement beside it to be over first.
    first, second = bench.offer_task(b"import time; time.sleep(2)\n" + SCRIPT), bench.offer_task()
    assert bench.run(once=True) == EXIT_OK
    wanted = [f"leases/{first}/result", "workers/me/calibration", f"leases/{second}/result"]
    assert [path for path in paths(bench) if path in wanted] == wanted
    at_work = paths(bench)[: paths(bench).index("workers/me/calibration")]
    assert at_work.count("leases/claim") == 1
    (report,) = bench.server.calibrations
    assert [shape["params"] for shape in report["shapes"]] == [{"n": 2}]
    assert report["shapes"][0]["step_seconds"] == pytest.approx(0.5 / 3, abs=1e-6)
    assert all(claim["calibrates"] is True for claim in bench.server.calls("claim"))


def test_a_lost_answer_is_asked_for_again_with_the_same_body(bench: Bench, plan: Plan) -> None:
    plan({"n": 1}, {"n": 2})
    bench.server.scripted["calibration"] = [Reply(cut=True)]
    assert bench.run(once=True) == EXIT_OK
    first, second = bench.server.calibrations
    assert first == second


@pytest.mark.parametrize("by_server", [False, True])
def test_a_stop_ends_it_at_once_and_nothing_is_sent(
    bench: Bench, plan: Plan, by_server: bool
) -> None:
    plan({"n": 1}, source=HANGING)
    with bench.running() as run:
        wait_until(bench.scripts)
        stopped_at = time.monotonic()
        if by_server:
            bench.server.worker_state = "draining"
        else:
            run.agent.on_sigterm()
        wait_until(lambda: not bench.scripts())
        assert time.monotonic() - stopped_at < bench.server.heartbeat_seconds + 3.0
        run.agent.on_sigterm()
    assert run.exit_code == EXIT_OK
    assert bench.server.calibrations == []


def test_a_failure_costs_no_task_and_is_not_tried_again_at_once(bench: Bench, plan: Plan) -> None:
    plan({"n": 1}, {"n": 2}, source=b"raise SystemExit(1)")
    tasks = [bench.offer_task() for _ in range(2)]
    with bench.running(once=True) as run:
        # For an hour the server must not keep it waiting for a measurement.
        wait_until(lambda: len(bench.server.calls("claim")) >= 3)
        claims = bench.server.calls("claim")[:3]
        assert [claim["calibrates"] for claim in claims] == [True, False, False]
    assert run.exit_code == EXIT_OK
    assert sorted(bench.server.results) == sorted(tasks)
    assert all(result["outcome"] == "completed" for result in bench.server.results.values())
    assert bench.server.calibrations == []
    assert len(bench.server.calls("claim")) == 3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ""),
        ({"steps_completed": 3, "val_bpb": None}, ""),
        ({"val_bpb": None}, "no time was left to evaluate"),
        ({"val_bpb": None, "diverged": True}, ""),
        ({"steps_completed": 2}, "2 of 4 steps in 45 s: this machine is too slow, or too busy"),
        ({"train_seconds": None}, "did not report its training time"),
        ({"train_seconds": 0.0}, "did not report its training time"),
    ],
)
def test_a_few_steps_with_their_time_tell_a_speed(changes: dict[str, Any], words: str) -> None:
    metrics = {"steps_completed": 4, "train_seconds": 1.0, "val_bpb": 2.0} | changes
    submission: Submission = {"outcome": Outcome.COMPLETED, "metrics": metrics}
    problem = problem_of(submission, CalibrationShape({}, 4))
    assert words in problem
    assert bool(problem) is bool(words)


def test_an_agent_with_another_script_says_that_it_cannot(
    bench: Bench, plan: Plan, caplog: pytest.LogCaptureFixture
) -> None:
    plan({"n": 1})
    assert bench.server.order is not None
    bench.server.order["script_sha256"] = hashlib.sha256(b"newer").hexdigest()
    bench.offer_task()
    assert bench.run(once=True) == EXIT_OK
    assert [claim["calibrates"] for claim in bench.server.calls("claim")] == [True, False]
    assert bench.server.calibrations == []
    assert "the server asks for the speed of another version of" in caplog.text


def test_an_agent_that_simulates_cannot_measure(bench: Bench) -> None:
    bench.run(once=True, simulate=True)
    assert [claim["calibrates"] for claim in bench.server.calls("claim")] == [False]


def test_places_do_not_stand_idle_for_an_hour_until_a_long_task_ends(
    bench: Bench, plan: Plan
) -> None:
    plan({"n": 1})
    client = Client(bench.server.url, bench.token)
    runner = bench.agent(client)._runner
    calibrator = Calibrator(client, runner, IsolationTier.T0, is_able=True, stuck_tags=set())
    for budget, is_kept in ((MOST_WAIT_SECONDS, False), (MOST_WAIT_SECONDS - 60, True)):
        running = [Attempt(make_lease(SCRIPT, time_budget_seconds=budget))]
        calibrator.take(bench.server.order, running=running)
        assert calibrator.keeps_from_claiming is is_kept
    client.close()
