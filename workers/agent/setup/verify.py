"""Whether a Python with torch may run the scripts: tried out in it, and judged."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from workers.agent.attempt import StopRequest
from workers.agent.running.environment import script_environment
from workers.agent.running.execution import Ending, Limits, execute
from workers.agent.running.hardware import usable_memory_bytes
from workers.agent.running.interpreter import NO_PYTHON, Interpreter
from workers.agent.setup.plan import CPU, TORCH_PIN, has_kernels

TRIAL_SECONDS: Final = 240.0  # libraries of gigabytes, read from a cold disk for the first time
_TRIAL: Final = Path(__file__).with_name("trial.py")


@dataclass(frozen=True)
class Verdict:
    """How torch did. ``device`` is where scripts will run, "" where they cannot."""

    device: str
    torch_version: str
    sentence: str  # what works, or why not
    notes: tuple[str, ...] = ()  # what else the owner should know


def try_out(python: Interpreter, folder: Path, tag: str) -> tuple[dict[str, Any], str]:
    """Return (what the trial in this Python printed, ""), or ({}, why it printed nothing)."""
    if python == NO_PYTHON:
        return {}, "there is no Python here"
    with tempfile.TemporaryDirectory(prefix="trial-", dir=folder) as name:
        place = Path(name)
        try:
            execution = execute(
                [python.executable, "-u", str(_TRIAL)],
                tag=tag,
                environment=script_environment(place, place, user_base=python.user_base),
                folder=place,
                limits=Limits(TRIAL_SECONDS, 1.0, usable_memory_bytes()),
                stop=StopRequest(),
            )
        except OSError as error:
            return {}, f"it cannot be started: {error}"
    if execution.ending is not Ending.EXITED:
        return {}, f"torch did not answer within {TRIAL_SECONDS:g} s"
    if execution.exit_code != 0 or execution.result is None:
        return {}, f"torch ended with {execution.exit_code}: {execution.last_words}"
    return execution.result, ""


def judge(report: Mapping[str, Any], problem: str, wanted: str) -> Verdict:
    """Return whether the torch of a trial may run scripts on ``wanted``: cuda, mps or cpu. Pure.

    A torch without a GPU that was wanted but with a CPU that works has the device cpu: it is for
    the caller to try another build.
    """
    problem = problem or str(report.get("problem") or "")
    if problem:
        return Verdict("", "", f"torch does not start: {problem}")
    version = str(report.get("version"))
    notes = _version_notes(version)
    if reason := report.get("cpu"):
        return Verdict("", version, f"torch {version} does not compute on the CPU: {reason}")
    if wanted == CPU:
        return Verdict(CPU, version, f"torch {version} works on the CPU", notes)
    if wanted == "mps":
        reason = "it does not find Metal" if report.get("mps") is None else report["mps"]
    else:
        reason, more = _of_gpus(report)
        notes = (*notes, *more)
    if reason:
        return Verdict(CPU, version, f"torch {version} cannot use the GPU: {reason}", notes)
    name = "the GPU of this Mac" if wanted == "mps" else report["gpus"][0]["name"]
    return Verdict(wanted, version, f"torch {version} works on {name}", notes)


def best_device(report: Mapping[str, Any]) -> str:
    """Return the best device that a trial names, for a Python that the owner chose."""
    if report.get("gpus"):
        return "cuda"
    return CPU if report.get("mps") is None else "mps"


def _version_notes(version: str) -> tuple[str, ...]:
    if version.partition("+")[0] == TORCH_PIN:
        return ()
    note = f"campaigns are compared with torch {TORCH_PIN}; values of {version} may differ a little"
    return (note,)


def _of_gpus(report: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """Return why scripts cannot use the first GPU, "" if they can, and notes on the others."""
    gpus: Sequence[Mapping[str, Any]] = report.get("gpus") or ()
    if not gpus:
        built = report.get("cuda") or report.get("hip")
        return ("it finds none" if built else "it is built without CUDA"), ()
    problems = [_of_gpu(gpu, report.get("arch_list") or ()) for gpu in gpus]
    notes = [
        f"scripts use {gpus[0]['name']} only; {gpu['name']} does not work: {problem}"
        for gpu, problem in zip(gpus[1:], problems[1:], strict=True)
        if problem
    ]
    return problems[0], tuple(notes)


def _of_gpu(gpu: Mapping[str, Any], arch_list: Sequence[str]) -> str:
    if architecture := gpu.get("architecture"):
        is_built = architecture in arch_list
    else:
        major, minor = gpu["capability"]
        architecture, is_built = f"sm_{major}{minor}", has_kernels((major, minor), arch_list)
    if not is_built:
        built = ", ".join(arch_list) or "none"
        return f"{gpu['name']} is {architecture}, and this build has kernels for {built}"
    return str(gpu["problem"])
