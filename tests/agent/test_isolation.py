"""Which isolation tier the agent takes: the best that works, or the tier its owner wants."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.agent.runs import working_sandbox
from tests.agent.test_cli import options
from workers.agent import equipping, isolation
from workers.agent.exits import EXIT_CANNOT_RUN, StartError
from workers.agent.isolation import Containment, _contained, choose_containment
from workers.agent.running.hardware import Machine
from workers.agent.running.sandbox import Sandbox, SandboxUnavailable
from workers.agent.state import StateFolder
from workers.protocol import IsolationTier

CPU = Machine({"torch_version": "2.13.0", "devices": ["cpu"]})
GPU = Machine({"torch_version": "2.13.0", "devices": ["cuda", "cpu"]})
NOTHING = Machine({"notes": ["torch: libcuda.so.1: cannot open shared object file"]})
SANDBOX = Sandbox("/usr/bin/bwrap")


def contained(inside: Machine, outside: Machine, has_gpu: bool) -> Containment:
    return _contained(SANDBOX, lambda sandbox: inside if sandbox else outside, has_gpu)


def test_torch_computes_in_the_sandbox_of_this_machine(tmp_path: Path) -> None:
    working_sandbox()
    containment = choose_containment("auto", StateFolder(tmp_path))
    assert containment.tier is IsolationTier.T1
    assert "cpu" in containment.machine.hardware["devices"]
    assert list((tmp_path / "work").iterdir()) == []


def test_a_machine_without_a_sandbox_works_on_in_t0_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    # Saves the import of torch, which takes seconds.
    monkeypatch.setattr(isolation, "inspect_machine", lambda *_, **__: CPU)
    containment = choose_containment("auto", StateFolder(tmp_path))
    assert containment.tier is IsolationTier.T0
    assert containment.why_not_t1
    notes = equipping.hardware_to_report(containment)["notes"]
    assert notes[-1] == f"isolation T1: {containment.why_not_t1}"


def test_an_owner_who_wants_the_sandbox_gets_it_or_no_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(StartError, match=r"T1 does not work here.*Install bubblewrap") as raised:
        choose_containment("T1", StateFolder(tmp_path))
    assert raised.value.exit_code == EXIT_CANNOT_RUN


@pytest.mark.parametrize("inside", [CPU, NOTHING])
def test_a_sandbox_that_hides_the_gpu_or_torch_is_not_taken(inside: Machine) -> None:
    with pytest.raises(SandboxUnavailable, match="torch finds no cuda"):
        contained(inside, GPU, has_gpu=True)


def test_a_gpu_that_works_nowhere_does_not_rule_the_sandbox_out() -> None:
    assert contained(CPU, CPU, has_gpu=True).sandbox is SANDBOX


def test_a_machine_without_torch_keeps_its_sandbox() -> None:
    assert contained(NOTHING, NOTHING, has_gpu=False).sandbox is SANDBOX


@pytest.mark.parametrize(
    ("arguments", "containment", "accepted"),
    [
        ((), Containment(CPU, SANDBOX), False),
        (("--allow-uploaded-scripts",), Containment(CPU, SANDBOX), True),
        (("--allow-uploaded-scripts",), Containment(CPU, why_not_t1="no bwrap"), False),
        (("--allow-uploaded-scripts", "--isolation", "T0"), Containment(CPU), True),
    ],
)
def test_uploaded_scripts_are_accepted_in_the_sandbox_or_on_the_owners_own_word(
    arguments: tuple[str, ...], containment: Containment, accepted: bool
) -> None:
    assert equipping.accepts_uploads(options(*arguments), containment) is accepted
