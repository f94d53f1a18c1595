"""Check a training script against the contract and print a verdict for each rule."""

from __future__ import annotations

import hashlib
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from campaigns.clock import database_now
from campaigns.models import Package, PackageOrigin
from campaigns.scripts.contract import check_script
from campaigns.scripts.steering import note_warm_check
from campaigns.search.json_text import read_json
from campaigns.search.lined import UnreadableSpace
from campaigns.search.lined import plain as plain_data
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
            metavar="JSON",
            help="the script's own parameters, as JSON or as a file with it (default: a small "
            "char-LM config); seed, budget and data set are added",
        )

        add(
            "--record",
            action="store_true",
            help="keep of this script, which was uploaded, whether workers may start it warm",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        if options["budget"] <= 0:
            raise CommandError("--budget must be above 0.")
        script = _read(options["path"])
        params = _params(options["params"]) if options["params"] else None
        package = _uploaded(script) if options["record"] else None
        broken, starts_warm = 0, False
        for verdict in check_script(script, budget=options["budget"], params=params):
            mark = self.style.SUCCESS("kept  ") if verdict.kept else self.style.ERROR("BROKEN")
            self.stdout.write(f"{mark}  {verdict.rule}\n        {plain(verdict.detail)}")
            self.stdout.flush()
            broken += not verdict.kept
            starts_warm |= verdict.starts_warm is True
        if package is not None:
            passed = starts_warm and not broken
            note_warm_check(None, package, passed=passed, now=database_now())
            self.stdout.write(f"Recorded: it starts {'warm' if passed else 'cold'} on workers.")
        if broken:
            raise CommandError(f"{options['path']} breaks {broken} rule(s) of the contract.")
        self.stdout.write(f"{options['path']} keeps every rule of the contract.")


def _uploaded(script: bytes) -> Package:
    """Return the uploaded script with these bytes. Raises CommandError without one."""
    sha256 = hashlib.sha256(script).hexdigest()
    package = Package.objects.filter(sha256=sha256, origin=PackageOrigin.UPLOADED).first()
    if package is None:
        raise CommandError(f"No script with the hash {sha256[:12]} was uploaded to this server.")
    return package


def _params(text_or_path: str) -> dict[str, Any]:
    """Return the params in a text that begins with a brace, or else in a file."""
    is_text = text_or_path.lstrip().startswith("{")
    what = "--params" if is_text else text_or_path
    try:
        text = text_or_path if is_text else _read(Path(text_or_path)).decode("utf-8-sig")
        params = plain_data(read_json(text))
    except UnicodeDecodeError as error:
        raise CommandError(f"{what} is no text in UTF-8.") from error
    except UnreadableSpace as error:
        raise CommandError(f"{what} is not usable JSON. {error}") from error
    if not isinstance(params, dict):
        raise CommandError(f'{what} must hold a JSON object such as {{"lr": 0.001}}.')
    return params


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CommandError(f"Cannot read {path}: {error.strerror}.") from error
