"""This machine's profile, and whether it can train: tested in a subprocess with a timeout."""

from __future__ import annotations

import hashlib
import os
import platform
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil

from workers.agent.attempt import StopRequest
from workers.agent.running.environment import script_environment
from workers.agent.running.execution import Ending, Limits, execute
from workers.agent.running.interpreter import NO_PYTHON, Interpreter, own_interpreter
from workers.agent.running.sandbox import Sandbox
from workers.protocol import Hardware

TORCH_CHECK_SECONDS: Final = 60.0
_NO_PYTHON: Final = "there is no Python for scripts on this machine yet"
_PROBE: Final = Path(__file__).with_name("torch_probe.py")
_PROBE_KEYS: Final = ("torch_version", "devices", "gpu_name", "gpu_memory_bytes")
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_CGROUP_LIMITS: Final = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


@dataclass(frozen=True)
class Machine:
    """The hardware profile, and the Python and environment that scripts run in because of it."""

    hardware: Hardware
    script_variables: dict[str, str] = field(default_factory=dict)
    python: Interpreter = field(default_factory=own_interpreter)

    @property
    def can_train(self) -> bool:
        """Whether torch computed something on at least one device."""
        return bool(self.hardware.get("devices"))

    @property
    def why_not(self) -> str:
        """Why the machine cannot train, in one line."""
        return "; ".join(self.hardware.get("notes", [])) or "torch found no usable device"


def inspect_machine(
    folder: Path,
    tag: str,
    timeout_seconds: float = TORCH_CHECK_SECONDS,
    probe: Path = _PROBE,
    sandbox: Sandbox | None = None,
    python: Interpreter | None = None,
) -> Machine:
    """Return the machine's profile. This takes seconds, because it imports torch.

    The check runs with ``python``, by default the agent's own, in a temporary folder inside
    ``folder``, and in ``sandbox`` when it is given. A GPU
    whose driver hangs is given up after ``timeout_seconds``; scripts then see only the CPU.
    """
    python = python or own_interpreter()
    hardware: Hardware = {
        "platform": platform.platform(),
        "cpu_model": cpu_model(),
        "cpu_count": usable_cpus(),
        "ram_bytes": usable_memory_bytes(),
    }
    if python.version:
        hardware["python_version"] = python.version
    if machine := machine_id():
        hardware["machine"] = machine
    script_variables: dict[str, str] = {}

    def probe_with(variables: dict[str, str]) -> tuple[dict[str, Any], str]:
        return _run_probe(folder, probe, tag, timeout_seconds, variables, sandbox, python)

    if python == NO_PYTHON:
        report, problem = {"notes": [_NO_PYTHON]}, ""
    else:
        report, problem = probe_with(script_variables)
    if problem:
        without_gpu = {"CUDA_VISIBLE_DEVICES": ""}
        report, second_problem = probe_with(without_gpu)
        if second_problem:
            report = {"notes": [problem, second_problem]}
        else:
            script_variables = without_gpu
            report["notes"] = [f"cuda: {problem}; using the CPU only", *report.get("notes", [])]
    for key in _PROBE_KEYS:
        if report.get(key):
            hardware[key] = report[key]
    if report.get("notes"):
        hardware["notes"] = [str(note)[:300] for note in report["notes"]]
    return Machine(hardware, script_variables, python)


def _run_probe(
    parent: Path,
    probe: Path,
    tag: str,
    timeout_seconds: float,
    extra: dict[str, str],
    sandbox: Sandbox | None,
    python: Interpreter,
) -> tuple[dict[str, Any], str]:
    """Return (what the probe printed, ""), or ({}, why it printed nothing)."""
    with tempfile.TemporaryDirectory(prefix="torch-check-", dir=parent) as name:
        folder = Path(name)
        command = [python.executable, "-u", str(probe)]
        if sandbox is not None:
            command = sandbox.wrap(command, folder=folder, readable=[probe])
        try:
            execution = execute(
                command,
                tag=tag,
                environment=script_environment(
                    folder, folder, user_base=python.user_base, extra=extra
                ),
                folder=folder,
                limits=Limits(timeout_seconds, 1.0, usable_memory_bytes()),
                stop=StopRequest(),
                sandboxed=sandbox is not None,
            )
        except OSError as error:
            return {}, f"the check of torch: {error}"
    if execution.ending is not Ending.EXITED:
        return {}, f"the check of torch did not end within {timeout_seconds:g} s"
    if execution.exit_code != 0 or execution.result is None:
        last_words = execution.last_words
        return {}, f"the check of torch ended with {execution.exit_code}: {last_words}"
    return execution.result, ""


def usable_cpus() -> int:
    """Return the number of logical CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def usable_memory_bytes() -> int:
    """Return the bytes of the machine's memory, or the container's limit where that is smaller."""
    total = int(psutil.virtual_memory().total)
    for path in _CGROUP_LIMITS:
        try:
            total = min(total, int(path.read_text()))
        except (OSError, ValueError):  # no such cgroup version, or "max"
            continue
    return total


def machine_id(boot_id: Path = _BOOT_ID) -> str:
    """Return what all agents on this machine have in common; "" where the system does not tell.

    Containers of a machine share its kernel, and so this id. Only a hash leaves the machine.
    """
    try:
        text = boot_id.read_text().strip()
    except OSError:
        return ""
    return hashlib.sha256(f"xeenet:{text}".encode()).hexdigest()[:16] if text else ""


def cpu_model() -> str:
    """Return the name under which the processor is sold, where the system knows it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
