"""Check a training script against the contract and print a verdict for each rule."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from campaigns.scripts.contract import check_script
from xeenet_site.web.plain_text import plain


class Command(BaseCommand):
    """`manage.py check_experiment`."""

    help = "Run a script a few times with a small config, and check each rule of the contract."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("path", type=Path, help="the training script")
        add("--budget", type=float, default=8.0, help="seconds for the measured run (default 8)")
        add(
            "--params",
            type=Path,
            metavar="JSON",
            help="file with the script's own parameters (default: a small char-LM config); seed, "
            "budget and data set are added",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        if options["budget"] <= 0:
            raise CommandError("--budget must be above 0.")
        script, params = _read(options["path"]), None
        if options["params"]:
            try:
                params = json.loads(_read(options["params"]))
            except ValueError as error:
                raise CommandError(f"{options['params']} is not JSON: {error}") from error
            if not isinstance(params, dict):
                raise CommandError(f"{options['params']} must hold a JSON object.")
        broken = 0
        for verdict in check_script(script, budget=options["budget"], params=params):
            mark = self.style.SUCCESS("kept  ") if verdict.kept else self.style.ERROR("BROKEN")
            self.stdout.write(f"{mark}  {verdict.rule}\n        {plain(verdict.detail)}")
            self.stdout.flush()
            broken += not verdict.kept
        if broken:
            raise CommandError(f"{options['path']} breaks {broken} rule(s) of the contract.")
        self.stdout.write(f"{options['path']} keeps every rule of the contract.")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CommandError(f"Cannot read {path}: {error.strerror}.") from error
