"""Builds the two wheels of this checkout: the agent's, and the server's, which requires it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from devtools.environment import Environment, SetupError, child_variables, run

AGENT = "xeenet-worker"
AGENT_FOLDER = "packaging/worker"


def project(folder: Path) -> dict[str, Any]:
    """Return the table ``project`` of a folder's pyproject.toml."""
    table: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    return table


def build_wheel(environment: Environment, folder: Path, target: Path) -> Path:
    """Build the wheel of the project in ``folder`` into ``target``; fetch nothing.

    Raises SetupError.
    """
    name = f"{project(folder)['name'].replace('-', '_')}-{project(folder)['version']}"
    python, hatchling = environment.python, ["-m", "hatchling", "build", "-t", "wheel"]
    code = run([python, *hatchling, "-d", target], cwd=folder, variables=child_variables())
    wheel = target / f"{name}-py3-none-any.whl"
    if code != 0 or not wheel.is_file():
        raise SetupError(f"hatchling could not build {wheel.name} (status {code})")
    return wheel
