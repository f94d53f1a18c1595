"""The page shows the plan of a set-up first, and starts it beside the agent."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.agent.page.bench import PageBench
from tests.agent.status.samples import NOW, READY, WHO
from workers.agent.page import torch_setup
from workers.agent.page.desk import Refused
from workers.agent.page.torch_setup import SetUpRefused, TorchSetup
from workers.agent.page.view import view
from workers.agent.secrecy import TOKEN_VARIABLE
from workers.agent.status.model import SetUp, SetUpStep

# Writes what it was started with, and waits for its leave when it is to set up.
PROGRAM = """
import json, os, pathlib, sys, time
folder = pathlib.Path(sys.argv[-1])
print("GPU      \\x1b[31ma card")
print("Plan     " + (folder / "plan").read_text())
(folder / "started").write_text(json.dumps([sys.argv[1:], dict(os.environ)]))
end = time.monotonic() + 60  # it outlives a test that fails, but not for ever
while "--yes" in sys.argv and not (folder / "leave").exists() and time.monotonic() < end:
    time.sleep(0.01)
sys.exit(0)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "plan").write_text("torch for CUDA 13")
    return tmp_path


def test_a_plan_is_shown_and_one_set_up_runs_without_the_token(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "secret")
    setup = TorchSetup(folder, [sys.executable, str(folder / "program.py")])
    lines, may_start = setup.plan()
    assert lines == ["GPU      \\x1b[31ma card", "Plan     torch for CUDA 13"]
    assert may_start
    setup.start()
    assert setup.is_running
    for again in (setup.start, setup.plan):
        with pytest.raises(SetUpRefused, match="under way"):
            again()
    (folder / "leave").touch()
    assert setup._process is not None
    setup._process.wait(60)
    words, environment = json.loads((folder / "started").read_text())
    assert words == ["setup", "--yes", "--state-dir", str(folder)]
    assert TOKEN_VARIABLE not in environment
    (folder / "plan").write_text("nothing to do")
    assert not setup.plan()[1]


def test_a_set_up_that_cannot_start_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SetUpRefused, match="does not start"):
        TorchSetup(tmp_path, [str(tmp_path / "missing")]).start()
    monkeypatch.setattr(torch_setup, "_PLAN_SECONDS", 0.1)
    slow = [sys.executable, "-c", "import time; time.sleep(60)"]
    with pytest.raises(SetUpRefused, match="too long"):
        TorchSetup(tmp_path, slow).plan()
    bench = PageBench(tmp_path / "state")
    bench.desk._torch = TorchSetup(tmp_path, [str(tmp_path / "missing")])
    for act in (bench.desk.set_up, bench.desk.plan_setup):
        with pytest.raises(Refused, match="does not start"):
            act()


def test_the_page_shows_how_far_a_set_up_is() -> None:
    def shown(setup: SetUp | None) -> object:
        return view(replace(READY, torch_setup=setup), NOW, has_worker=True)["setup"]

    beside = SetUp(SetUpStep.TORCH, "fetches torch", NOW - 5, WHO.pid + 1, "", 2**30, 2**31)
    assert shown(None) == {}
    assert shown(beside) == {
        "text": "Set-up of torch: fetches torch: 1 GB of about 2 GB",
        "share": 0.5,
        "tone": "",
        "runs": True,
    }
    alone = replace(READY, setting_up="checks torch", torch_setup=beside)
    drawn = view(alone, NOW, has_worker=False)
    assert drawn["headline"][0] == "Set-up of torch"
    assert (drawn["setup"]["text"], drawn["setup"]["share"]) == ("", 0.5)
    done = replace(beside, step=SetUpStep.DONE, sentence="torch works on cuda.")
    assert "from its next task on" in str(shown(done))
    assert "next task" not in str(shown(replace(done, pid=WHO.pid)))
    assert shown(replace(done, since=WHO.started_at - 60)) == {}
    assert shown(replace(beside, step=SetUpStep.DECLINED)) == {}


def test_what_torch_lacks_is_said_until_it_is_set_up(tmp_path: Path) -> None:
    bench = PageBench(tmp_path / "state")
    assert bench.desk.state()["lacks"] == ""
    bench.desk.attach(bench.worker, bench.desk._policy, "gPU not used: torch cannot use it")
    assert bench.desk.state()["lacks"] == "GPU not used: torch cannot use it"
    bench.board.torch_setup(SetUp(SetUpStep.TORCH, "fetches", time.time(), 1, ""))
    assert bench.desk.state()["lacks"] == ""
