"""Packages that no other command needs: pip fetches them into a venv of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.engines.nodes import NotHere


def venv_with(folder: Path, *packages: str) -> Path:
    """Return the Python of a new venv with these packages. Raises `NotHere`."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    words = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if subprocess.run([*words, *packages], check=False).returncode:
        raise NotHere(f"pip cannot install {', '.join(packages)}, its reason is above")
    return python
