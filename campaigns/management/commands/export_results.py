"""Write a campaign's results as CSV, JSON lines or an Optuna study."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from campaigns.exports import optuna_study
from campaigns.exports import rows as export_rows
from campaigns.management.lookup import campaign_or_error
from campaigns.models import Campaign

WRITERS = {"csv": export_rows.csv_lines, "jsonl": export_rows.json_lines}
OPTUNA = "optuna"


class Command(BaseCommand):
    """`manage.py export_results`."""

    help = "Export results with the conditions under which they were measured."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("campaign", nargs="?", type=int, help="number of the campaign (default: the newest)")
        add(
            "--format",
            choices=[*sorted(WRITERS), OPTUNA],
            default="csv",
            help="optuna writes an SQLite file with all tasks as trials, for optuna-dashboard",
        )
        add("--simulated", action="store_true", help="also simulated results")
        add("--out", type=Path, help="file to write (default: standard output)")

    def handle(self, *_args: Any, **options: Any) -> None:
        campaign = campaign_or_error(options["campaign"])
        if options["format"] == OPTUNA:
            self._write_study(campaign, options["out"], simulated=options["simulated"])
            return
        lines = WRITERS[options["format"]](campaign, simulated=options["simulated"])
        if options["out"] is None:
            for line in lines:
                self.stdout.write(line, ending="")
            return
        try:
            # newline="" because the csv module writes line ends itself.
            with options["out"].open("w", encoding="utf-8", newline="") as file:
                file.writelines(lines)
        except OSError as error:
            raise CommandError(f"Cannot write {options['out']}: {error.strerror}") from error
        self.stderr.write(f"Written: {options['out']}")

    def _write_study(self, campaign: Campaign, out: Path | None, *, simulated: bool) -> None:
        if out is None:
            raise CommandError("An Optuna study is a file: give its name with --out study.db")
        try:
            trials = optuna_study.write_study(campaign, out, simulated=simulated)
        except OSError as error:
            raise CommandError(f"Cannot write {out}: {error.strerror}") from error
        self.stderr.write(
            f"Written: {out} with {trials} trials. Look at it with: "
            f"optuna-dashboard sqlite:///{out}"
        )
