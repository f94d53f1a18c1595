"""The hardware check tests by doing what the machine can do, with a time limit."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import pytest

from workers.agent.running.hardware import inspect_machine, machine_id, usable_memory_bytes

TAG = f"test/{uuid.uuid4()}"


def probe(folder: Path, source: str) -> Path:
    path = folder / "probe.py"
    path.write_text(f"import json, os, sys, time\n{source}\n")
    return path


def test_this_machine_computes_something_with_torch(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="this installation has no torch")
    machine = inspect_machine(tmp_path, TAG)
    assert machine.can_train
    assert machine.hardware["devices"][-1] == "cpu"
    assert machine.hardware["torch_version"]
    assert machine.script_variables == {}


def test_the_profile_names_processor_memory_and_platform(tmp_path: Path) -> None:
    hardware = inspect_machine(tmp_path, TAG, probe=probe(tmp_path, "print('{}')")).hardware
    assert hardware["cpu_model"]
    assert 0 < hardware["cpu_count"] <= (os.cpu_count() or 1)
    assert hardware["ram_bytes"] == usable_memory_bytes() > 0
    assert hardware["platform"]
    assert hardware["python_version"].startswith("3.")


def test_all_agents_on_a_machine_send_the_same_id_of_it(tmp_path: Path) -> None:
    boot_id = tmp_path / "boot_id"
    assert machine_id(boot_id) == ""
    boot_id.write_text("5f2c\n")
    first = machine_id(boot_id)
    assert (len(first), first) == (16, machine_id(boot_id))
    boot_id.write_text("77aa\n")
    assert machine_id(boot_id) not in {"", first}
    hardware = inspect_machine(tmp_path, TAG, probe=probe(tmp_path, "print('{}')")).hardware
    assert hardware.get("machine", "") == machine_id()


def test_a_machine_without_torch_says_why_it_cannot_train(tmp_path: Path) -> None:
    notes = "print(json.dumps({'notes': ['torch: not here']}))"
    machine = inspect_machine(tmp_path, TAG, probe=probe(tmp_path, notes))
    assert not machine.can_train
    assert machine.why_not == "torch: not here"
    assert "devices" not in machine.hardware


def test_a_gpu_that_hangs_is_given_up_and_hidden_from_the_scripts(tmp_path: Path) -> None:
    source = """
if os.environ.get("CUDA_VISIBLE_DEVICES") != "":
    time.sleep(60)
print(json.dumps({"torch_version": "2", "devices": ["cpu"]}))
"""
    machine = inspect_machine(tmp_path, TAG, timeout_seconds=2.5, probe=probe(tmp_path, source))
    assert machine.hardware["devices"] == ["cpu"]
    assert machine.script_variables == {"CUDA_VISIBLE_DEVICES": ""}
    assert "did not end within 2.5 s" in machine.hardware["notes"][0]


@pytest.mark.parametrize("source", ["time.sleep(60)", "os.abort()", "print('no JSON')"])
def test_a_torch_that_hangs_crashes_or_babbles_means_no_training(
    tmp_path: Path, source: str
) -> None:
    machine = inspect_machine(tmp_path, TAG, timeout_seconds=0.5, probe=probe(tmp_path, source))
    assert not machine.can_train
    assert machine.why_not
