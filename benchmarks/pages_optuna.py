"""The same results as an Optuna study in SQLite, to be measured in `optuna-dashboard`."""

import sys
from pathlib import Path

from campaigns.exports.optuna_study import write_study
from campaigns.models import Campaign

STUDY_PATH = "/api/studies/1"  # SQLite numbers from 1, and each file holds one study
READY_PATH = "/api/meta"


def export(campaign: Campaign, file: Path) -> int:
    """Write every task of a campaign as a trial, by the product's export; return their number."""
    return write_study(campaign, file, simulated=True)


def dashboard_command(file: Path, host: str, port: int) -> list[str]:
    """Return the command that serves the study at `STUDY_PATH`."""
    program = str(Path(sys.executable).with_name("optuna-dashboard"))
    return [program, f"sqlite:///{file}", "--host", host, "--port", str(port), "--quiet"]
