"""The printed manifests against the schemas of Kubernetes itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import yaml

from tests.engines.tools import venv_with
from tests.processes import ROOT

VALIDATOR: Final = "kubernetes-validate==1.37.0"
# The oldest and the newest release that its schemas and today's clusters have in common.
VERSIONS: Final = ("1.31", "1.37")
_PRINT: Final = ("fleet", "kubernetes", "--server", "https://xeenet.example.org", "--image", "w:1")


def check_manifests(folder: Path) -> list[str]:
    """Check both kinds of manifests, print what was checked, and return what is wrong."""
    folder.mkdir()
    validator = venv_with(folder / "venv", VALIDATOR).with_name("kubernetes-validate")
    problems = []
    for name, job in _jobs().items():
        file = folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump(job))
        for version in VERSIONS:
            command = [validator, "--strict", "-k", version, file]
            answer = subprocess.run(
                command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
            )
            if answer.returncode:
                problems.append(f"Kubernetes {version}, {name}: {answer.stdout.strip()}")
            print(f"{name}: checked by the schemas of Kubernetes {version}", flush=True)
    broken = {"spec": {**_jobs()["job"]["spec"], "backoffLimit": "none"}}
    file = folder / "broken.yaml"
    file.write_text(yaml.safe_dump({**_jobs()["job"], **broken}))
    command = [validator, "--strict", "-k", VERSIONS[-1], file]
    if subprocess.run(command, capture_output=True, check=False).returncode == 0:
        problems.append("the validator takes a Job that is wrong")
    return problems


def _jobs() -> dict[str, dict[str, Any]]:
    """Return the Job that is printed, and those that KEDA would make of its ScaledJob."""
    (job,) = _printed("--kind", "job", "--pods", "3", "--gpus", "1", "--max-lifetime", "3600")
    _, scaled = _printed("--device", "cuda", "--gpus", "1", "--slots", "2")
    spec = scaled["spec"]["jobTargetRef"]
    return {"job": job, "scaledjob": {**job, "spec": spec}}


def _printed(*words: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "workers.agent", *_PRINT, *words]
    answer = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return list(yaml.safe_load_all(answer.stdout))
