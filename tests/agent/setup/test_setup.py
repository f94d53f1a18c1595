"""Set-up by the real uv, from a folder of small wheels that call themselves torch."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.agent.runs import working_sandbox
from tests.agent.server import wait_until
from tests.agent.setup.wheels import add_wheel, torch_source
from tests.processes import ROOT
from workers.agent.attempt import StopRequest
from workers.agent.isolation import choose_containment
from workers.agent.running.environment import script_environment
from workers.agent.running.execution import Limits, execute
from workers.agent.running.hardware import inspect_machine
from workers.agent.running.interpreter import inspect_interpreter, own_interpreter
from workers.agent.running.sandbox import find_sandbox
from workers.agent.secrecy import TOKEN_VARIABLE
from workers.agent.setup import build, process, verify
from workers.agent.setup.choose import chosen_interpreter, remove_former
from workers.agent.setup.command import setup_command
from workers.agent.setup.detect import CUDA_DRIVER_VARIABLE, Host, Places
from workers.agent.setup.environments import Environments, SetUpRuns, python_of
from workers.agent.setup.process import Request, SetUpFailed, SetUpProcess
from workers.agent.setup.progress import Reporter, read_progress
from workers.agent.state import StateFolder
from workers.agent.status.model import SetUp, SetUpStep

DRIVER = "580.95.05"
LINUX = Host("linux", "x86_64")
BROKEN = "raise ImportError('libcudart.so.13: cannot open shared object file')\n"


@pytest.fixture(autouse=True)
def no_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what the person who runs the tests has told uv, and any network."""
    for name in [name for name in os.environ if name.startswith("UV_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("UV_OFFLINE", "1")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    folder = tmp_path / "wheels"
    folder.mkdir()
    return folder


class Telling:
    """Keeps what a set-up tells."""

    def __init__(self) -> None:
        self.steps: list[SetUp] = []
        self.reporter = Reporter([self.steps.append])

    def __str__(self) -> str:
        return "\n".join(step.sentence for step in self.steps)


def set_up(state: Path, wheels: Path | None, **request: Any) -> tuple[Any, Telling]:
    """Set up for an NVIDIA driver of version 580; return the choice and what was told."""
    places = Places(host=LINUX, variables={CUDA_DRIVER_VARIABLE: DRIVER}, pci=state / "no")
    act = SetUpProcess(state, Request(wheels=wheels, **request), places)
    telling = Telling()
    return act.carry_out(act.prospect(), telling.reporter), telling


def environments_of(state: Path) -> list[str]:
    return sorted(path.name for path in Environments(state).root.glob("env-*"))


def test_the_build_for_the_driver_is_made_tried_and_taken(state: Path, wheels: Path) -> None:
    for label in ("cpu", "cu126", "cu130", "rocm7.1"):
        add_wheel(wheels, label)
    choice, telling = set_up(state, wheels)
    assert (choice.torch_version, choice.device) == ("2.13.0+cu130", "cuda")
    assert choice.reason == "torch 2.13.0+cu130 works on NVIDIA GeForce RTX 3070"
    steps = [step.step for step in telling.steps]
    assert steps == [SetUpStep.ENVIRONMENT, SetUpStep.TORCH, SetUpStep.TRIAL]
    # Beside the state folder, and nothing but the environment stays of what was fetched.
    assert environments_of(state) == [choice.environment]
    assert not Environments(state).cache.exists()
    assert not state.exists()
    # The agent's own check of torch runs in it; so does a start in the sandbox, which sees it.
    folder = StateFolder(state)
    containment = choose_containment("auto", folder, chosen_interpreter(state))
    hardware = containment.machine.hardware
    assert hardware["torch_version"] == "2.13.0+cu130"
    assert hardware["devices"] == ["cuda", "cpu"]
    assert hardware["gpu_name"] == "NVIDIA GeForce RTX 3070"
    assert containment.machine.python.executable == choice.python


def test_in_the_sandbox_scripts_have_that_python_and_no_way_to_the_state(
    state: Path, tmp_path: Path
) -> None:
    working_sandbox()
    folder = StateFolder(state)
    (state / "credentials.json").write_text("secret")
    environment = Environments(state).root / "env-0"
    # As uv makes it: a link to a base Python, here through one more in a folder of its own.
    base = tmp_path / "links" / "python3"
    base.parent.mkdir()
    base.symlink_to(own_interpreter().executable)
    command = [sys.executable, "-m", "venv", "--without-pip", "--symlinks", str(environment)]
    subprocess.run(command, check=True)
    python_of(environment).unlink()
    python_of(environment).symlink_to(base)
    python = inspect_interpreter(python_of(environment))
    assert base in python.links
    sandbox = find_sandbox(state, folder.work, f"test/{uuid.uuid4()}", python)
    place = folder.work / "task"
    place.mkdir()
    source = f"""
import json, os, pathlib, sys
seen = [str(path) for path in pathlib.Path({str(state)!r}).rglob("*") if path.is_file()]
print(json.dumps({{"prefix": sys.prefix, "library": json.__file__, "seen": seen,
                  "siblings": os.listdir({str(tmp_path)!r})}}))
"""
    execution = execute(
        sandbox.wrap([python.executable, "-c", source], folder=place),
        tag=f"test/{uuid.uuid4()}",
        environment=script_environment(place, place),
        folder=place,
        limits=Limits(60.0, 1.0, 1 << 30),
        stop=StopRequest(),
        sandboxed=True,
    )
    assert execution.result is not None, execution.last_words
    assert execution.result["prefix"] == str(environment)
    assert execution.result["library"] == json.__file__  # of the base, not a Python of the system
    assert execution.result["seen"] == []
    assert sorted(execution.result["siblings"]) == ["links", "state", "state-python"]


def test_a_build_that_does_not_work_gives_way_to_the_next_and_the_reason_is_kept(
    state: Path, wheels: Path
) -> None:
    add_wheel(wheels, "cu130", BROKEN)
    add_wheel(wheels, "cu126", torch_source("cu126", arch_list=["sm_50", "sm_60"]))
    add_wheel(wheels, "cpu")
    choice, telling = set_up(state, wheels)
    assert (choice.torch_version, choice.device) == ("2.13.0+cpu", "cpu")
    assert "CUDA, torch does not start: libcudart.so.13" in choice.reason
    assert "CUDA 12.6, torch 2.13.0+cu126 cannot use the GPU" in choice.reason
    assert "sm_86, and this build has kernels for sm_50, sm_60" in choice.reason
    assert environments_of(state) == [choice.environment]
    assert "the build for CUDA does not work: torch does not start" in str(telling)
    # A better build later: the environment of before stays for an agent that runs with it, …
    add_wheel(wheels, "cu130")
    better, _ = set_up(state, wheels)
    assert (better.device, better.previous) == ("cuda", "")
    assert Environments(state).choice().previous == choice.environment  # type: ignore[union-attr]
    assert environments_of(state) == sorted([choice.environment, better.environment])
    # … nothing worse takes the place of the better one …
    add_wheel(wheels, "cu130", BROKEN)
    with pytest.raises(SetUpFailed, match="environment of before stays, which works on cuda"):
        set_up(state, wheels)
    assert Environments(state).choice().environment == better.environment  # type: ignore[union-attr]
    assert environments_of(state) == sorted([choice.environment, better.environment])
    # … and when an agent has started with that, it is alone.
    remove_former(state)
    assert environments_of(state) == [better.environment]


def test_without_a_wheel_for_the_gpu_the_cpu_works_and_without_any_nothing_changes(
    state: Path, wheels: Path
) -> None:
    with pytest.raises(SetUpFailed, match=r"No build of torch works here: CUDA, .*has no wheel"):
        set_up(state, wheels)
    assert environments_of(state) == []
    assert chosen_interpreter(state) == own_interpreter()
    add_wheel(wheels, "cpu", torch_source("cpu"), requires=["not-in-the-folder"])
    with pytest.raises(SetUpFailed, match=r"the CPU, the packages do not fit.*not-in-the-folder"):
        set_up(state, wheels)
    add_wheel(wheels, "cpu")
    choice, _ = set_up(state, wheels)
    assert choice.device == "cpu"
    assert "has no wheel of torch 2.13.0 for it" in choice.reason


def test_a_network_that_does_not_answer_ends_it_and_names_what_was_not_reached(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SetUpFailed, match=r"UV_OFFLINE.*--wheels FOLDER") as offline:
        set_up(state, None)
    assert "CUDA 12.6" not in str(offline.value)  # another build would not come either
    monkeypatch.delenv("UV_OFFLINE")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with pytest.raises(SetUpFailed, match=r"download\.pytorch\.org cannot be reached"):
        set_up(state, None)
    assert environments_of(state) == []


def test_too_little_room_is_said_before_anything_is_fetched(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(process, "free_bytes", lambda _: 3 << 30)
    with pytest.raises(SetUpFailed, match=r"takes about 5\.1 GB .* 3 GB are free .*--backend cpu"):
        set_up(state, None)
    monkeypatch.setenv(CUDA_DRIVER_VARIABLE, DRIVER)
    assert setup_command(["--state-dir", str(state), "--plan", "--force"]) == 5
    text = capsys.readouterr().out
    assert "about 2.6 GB to download, about 5.1 GB on disk; 3 GB are free: too little" in text


def test_a_killed_set_up_leaves_what_was_before_and_the_next_one_cleans_up(
    state: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its torch never comes to an end, so the kill hits between the build and the switch.
    add_wheel(
        wheels, "cu130", "import pathlib, time\npathlib.Path('here').touch()\ntime.sleep(600)"
    )
    command = [sys.executable, "-m", "workers.agent", "setup", "--state-dir", str(state), "--yes"]
    variables = {**os.environ, CUDA_DRIVER_VARIABLE: DRIVER}
    running = subprocess.Popen([*command, "--wheels", str(wheels)], cwd=ROOT, env=variables)
    root = Environments(state).root
    try:
        wait_until(lambda: list(root.glob("trial-*/here")), 60.0)
        trial = _pid_in(root)
        with monkeypatch.context() as quick:
            quick.setattr(verify, "TRIAL_SECONDS", 3.0)  # should it run after all
            with pytest.raises(SetUpRuns):
                set_up(state, wheels)
        assert read_progress(state).is_running  # type: ignore[union-attr]
    finally:
        running.send_signal(signal.SIGKILL)
        running.wait()
    assert read_progress(state).sentence.startswith("it was interrupted")  # type: ignore[union-attr]
    assert chosen_interpreter(state) == own_interpreter()
    wait_until(lambda: not Path(f"/proc/{trial}").exists(), 30.0)
    (left,) = environments_of(state)
    add_wheel(wheels, "cu130")
    choice, _ = set_up(state, wheels)
    assert environments_of(state) == [choice.environment] != [left]
    assert list(root.glob("trial-*")) == []


def _pid_in(root: Path) -> int:
    """Return the process that runs the trial."""
    for path in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if path.resolve().name.startswith("trial-") and path.resolve().is_relative_to(root):
                return int(path.parent.name)
        except OSError:
            continue
    raise AssertionError("nobody works in the trial's folder")


def test_a_python_that_is_there_is_taken_once_its_torch_has_worked(
    state: Path, wheels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "elsewhere"
    command = [sys.executable, "-m", "venv", "--without-pip", str(home)]
    subprocess.run(command, check=True)
    words = ["--state-dir", str(state), "--python", str(python_of(home))]
    assert setup_command(words) == 5
    assert "torch does not start: No module named 'torch'" in capsys.readouterr().err
    assert read_progress(state).step is SetUpStep.FAILED  # type: ignore[union-attr]
    (packages,) = home.glob("lib/python*/site-packages")
    source = torch_source("cu128").replace("2.13.0", "2.9.1")
    (packages / "torch.py").write_text(source)
    assert setup_command(words) == 0
    choice = Environments(state).choice()
    assert choice is not None
    assert (choice.python, choice.device) == (str(python_of(home)), "cuda")
    assert "campaigns are compared with torch 2.13.0" in choice.reason
    machine = inspect_machine(tmp_path, f"test/{uuid.uuid4()}", python=chosen_interpreter(state))
    assert machine.hardware["torch_version"] == "2.9.1+cu128"
    assert setup_command(["--state-dir", str(state), "--reset"]) == 0
    assert chosen_interpreter(state) == own_interpreter()
    assert home.is_dir()


def test_a_chosen_python_that_is_gone_is_replaced_by_the_agents_own(
    state: Path, wheels: Path, caplog: pytest.LogCaptureFixture
) -> None:
    add_wheel(wheels, "cu130")
    choice, _ = set_up(state, wheels)
    Path(choice.python).unlink()
    assert chosen_interpreter(state) == own_interpreter()
    assert "is no file. Run " in caplog.text


def test_without_a_python_one_is_fetched_and_its_size_is_in_the_plan(
    state: Path, wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "_has_gil", lambda: False)  # no wheels for the agent's own
    # uv's own fetch needs the network; the rest of it is asked as usual.
    real = build.Uv(Environments(state), {}).program
    fake, fetched = tmp_path / "uv", tmp_path / "fetched"
    fake.write_text(
        f"#!/bin/sh\ncase \"$1 $2\" in\n'python install') touch {fetched};;\n'python find') "
        f'test -e {fetched} || exit 2; echo {sys.executable};;\n*) exec {real} "$@";;\nesac\n'
    )
    fake.chmod(0o755)
    monkeypatch.setattr("workers.agent.setup.uv.find_uv", lambda: str(fake))
    add_wheel(wheels, "cu130")
    places = Places(host=LINUX, variables={CUDA_DRIVER_VARIABLE: DRIVER}, pci=state / "no")
    act = SetUpProcess(state, Request(wheels=wheels), places)
    prospect = act.prospect()
    assert prospect.fetches_python
    assert prospect.download_bytes == 35_000_000
    telling = Telling()
    choice = act.carry_out(prospect, telling.reporter)
    assert str(telling).startswith("fetches Python 3.13\n")
    assert choice.device == "cuda"


def test_uv_gets_the_owners_settings_and_no_token(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "xw_secret")
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://wheels.example/simple")
    environments = Environments(state)
    variables = build.Uv(environments, {CUDA_DRIVER_VARIABLE: DRIVER})._variables
    assert TOKEN_VARIABLE not in variables
    assert variables["UV_DEFAULT_INDEX"] == "https://wheels.example/simple"
    assert variables["UV_CACHE_DIR"] == str(environments.cache)
    assert variables[CUDA_DRIVER_VARIABLE] == DRIVER
