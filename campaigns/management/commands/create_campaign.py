"""Create a campaign, and launch it on request."""

from __future__ import annotations

from argparse import ArgumentParser, BooleanOptionalAction
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from campaigns import steering
from campaigns.answers.preview import preview_data
from campaigns.clock import database_now
from campaigns.lifecycle import CampaignSpec
from campaigns.lifecycle.launch_checks import campaign_warnings
from campaigns.management.demonstration import store_file
from campaigns.management.lookup import say_what_is_refused, script_or_error, user_or_error
from campaigns.management.race_verbs import MIN_EFFECT_HELP
from campaigns.models import BudgetKind, Campaign, WorkUnit
from campaigns.race.rows import MIN_EFFECT
from campaigns.race.rule import SEEDS
from campaigns.search.samplers import SAMPLERS
from campaigns.search.sweep_files import ImportedSpace, UnreadableSpace, read_space
from experiments import catalog
from workers.protocol import IsolationTier
from xeenet_site.web.plain_text import plain
from xeenet_site.web.strict_json import strict_dumps


class Command(BaseCommand):
    """`manage.py create_campaign`."""

    help = "Create a campaign as a draft. With --launch its tasks are handed out at once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("name")
        experiments = ", ".join(experiment.name for experiment in catalog.all())
        add("--experiment", default="train_char_lm", help=f"one of the catalog: {experiments}")
        add("--tasks", type=int, help="number of runs (default: the sweep's run_cap, or 10)")
        add("--budget", type=float, metavar="SECONDS", help="seconds per run (default 60)")
        add(
            "--work",
            type=float,
            metavar="AMOUNT",
            help="work per run instead of time: the same steps on any machine",
        )
        add(
            "--work-unit",
            choices=WorkUnit.values,
            help="of --work: seconds on the reference worker, steps or tokens (default seconds)",
        )
        add(
            "--seed",
            type=int,
            default=42,
            help="the base seed: all configs run on it first (default 42)",
        )
        add(
            "--space",
            type=Path,
            metavar="FILE",
            help="search space as JSON, or a W&B sweep as YAML (default: the experiment's)",
        )
        samplers = " or ".join(SAMPLERS)
        add("--sampler", help=f"{samplers} (default: the sweep's method, or random)")
        datasets = ", ".join(dataset.name for dataset in catalog.all_datasets())
        add(
            "--dataset",
            default="",
            help=f"{datasets}, or the name or sha256 of a stored one (default: the experiment's "
            "first)",
        )
        add("--dataset-file", type=Path, help="store this file on the server and train on it")
        add(
            "--script",
            default="",
            metavar="SHA256",
            help="hash of an uploaded script, or its first letters (see: script list)",
        )
        add(
            "--isolation",
            choices=list(IsolationTier),
            default=IsolationTier.T0,
            help="only workers that isolate scripts at least this well get tasks (default T0)",
        )
        add("--description", default="")
        add("--owner", default="", metavar="USERNAME")
        add(
            "--allow-simulated",
            action="store_true",
            help="also give tasks to workers without torch",
        )
        add("--max-failed-attempts", type=int, default=2)
        add("--max-lost-attempts", type=int, default=5)
        add(
            "--race",
            action=BooleanOptionalAction,
            help="let the best race by themselves when all have run (default: from 30 tasks on)",
        )
        add("--min-effect", type=float, default=MIN_EFFECT, help=MIN_EFFECT_HELP)
        add(
            "--race-seeds",
            type=int,
            default=SEEDS,
            metavar="N",
            help=f"seeds of each arm in a race that is started by hand (default {SEEDS})",
        )
        add("--launch", action="store_true")
        add(
            "--preview",
            action="store_true",
            help="store nothing; print as JSON what it would run, the size of its space, its cost",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        if options["dataset"] and options["dataset_file"]:
            raise CommandError("Give --dataset or --dataset-file, not both.")
        owner = user_or_error(options["owner"]) if options["owner"] else None
        imported = _read_space(options["space"])
        suggested = imported.suggested if imported else {}
        dataset = options["dataset"]
        if options["dataset_file"]:
            dataset = store_file(options["dataset_file"]).sha256
        spec = CampaignSpec(
            name=options["name"],
            experiment=options["experiment"],
            task_count=_first_given(options["tasks"], suggested.get("task_count"), 10),
            **_budget(options),
            base_seed=options["seed"],
            search_space=imported.space if imported else None,
            sampler=_first_given(options["sampler"], suggested.get("sampler"), "random"),
            dataset=dataset,
            description=options["description"] or suggested.get("description", ""),
            allow_simulated=options["allow_simulated"],
            max_failed_attempts=options["max_failed_attempts"],
            max_lost_attempts=options["max_lost_attempts"],
            script=script_or_error(options["script"]).sha256 if options["script"] else "",
            required_isolation=options["isolation"],
            races_automatically=options["race"],
            min_effect=options["min_effect"],
            race_seeds=options["race_seeds"],
        )
        now = database_now()
        with say_what_is_refused():
            if options["preview"]:
                self.stdout.write(strict_dumps(preview_data(spec, now=now), indent=2))
                return
            # One transaction: if the space turns out too small at launch, no draft is left behind.
            with transaction.atomic():
                campaign = steering.create_campaign(None, spec, owner=owner, now=now)
                if options["launch"]:
                    steering.launch(None, campaign, now=now)
        notes = imported.notes if imported else []
        for note in [*notes, *campaign_warnings(campaign)]:
            self.stderr.write(plain(note))
        if not campaign.dataset.file:
            self.stderr.write(
                "The server does not hold this data set, so each worker downloads it for itself. A "
                "worker that cannot do so pauses. --dataset-file stores a data set on the server."
            )
        waits = "" if campaign.package.may_run else " Its script waits for an operator's approval."
        if campaign.package.declined_reason:
            waits = f" An operator declined its script: {plain(campaign.package.declined_reason)}"
        kept = f" ({campaign.kept_runs} kept for their race)" if campaign.kept_runs else ""
        self.stdout.write(
            f"Campaign {campaign.pk} is {campaign.state}: {campaign.task_count} tasks{kept} of "
            f"{_budget_text(campaign)} on {campaign.dataset}.{waits} "
            f"Page: {campaign.get_absolute_url()}"
        )


def _budget(options: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of the budget; without --budget and --work a minute."""
    budget, work, unit = options["budget"], options["work"], options["work_unit"]
    if work is None and unit is not None:
        raise CommandError("--work-unit belongs to --work.")
    if work is None:
        return {"time_budget_seconds": 60.0 if budget is None else budget}
    work_fields = {"budget_kind": BudgetKind.WORK, "work_amount": work, "work_unit": unit or ""}
    return work_fields | {"time_budget_seconds": budget}


def _budget_text(campaign: Campaign) -> str:
    if campaign.budget_kind == BudgetKind.TIME:
        return f"{campaign.time_budget_seconds:g} s"
    return campaign.budget_text


def _first_given(*values: Any) -> Any:
    """Return the first value that is not None."""
    return next(value for value in values if value is not None)


def _read_space(path: Path | None) -> ImportedSpace | None:
    """Return the search space in a file, or None without a file. Raises CommandError."""
    if path is None:
        return None
    try:
        return read_space(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise CommandError(f"Cannot read the search space {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CommandError(f"{path} is no text in UTF-8.") from error
    except UnreadableSpace as error:
        raise CommandError(f"{path}: {error}") from error
