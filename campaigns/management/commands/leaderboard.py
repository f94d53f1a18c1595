"""Print the leaderboard of a campaign, as a table or as JSON."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError
from rest_framework.exceptions import ValidationError

from campaigns.answers.leaderboard import rows_of
from campaigns.answers.refusals import refusal_text
from campaigns.clock import database_now
from campaigns.management.lookup import campaign_or_error
from campaigns.management.terminal import leaderboard_text, progress_sentence
from campaigns.models import Campaign
from campaigns.standings import board, leaderboard
from campaigns.standings.finding import finding, why_nothing_is_ranked
from campaigns.standings.progress import campaign_progress
from campaigns.standings.rows import Row, Standing
from xeenet_site.web.plain_text import plain
from xeenet_site.web.strict_json import strict_dumps


class Command(BaseCommand):
    """`manage.py leaderboard`."""

    help = (
        "Print the measured results of a campaign, best first. Simulated results have no rank. "
        "--state selects or adds tasks that ended without a rank, and says why."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("campaign", nargs="?", type=int, help="number of the campaign (default: the newest)")
        add("--limit", type=int, default=20, help="number of rows (default 20)")
        add("--offset", type=int, default=0, help="number of rows to skip")
        add(
            "--state",
            choices=board.STATES,
            default=str(Standing.COMPLETED),
            help="how the tasks ended; all: the ranked tasks, then the others except simulated",
        )
        add("--device", default="", help="only results measured on this device")
        add(
            "--evaluation",
            choices=["full", "subset"],
            default="",
            help="only results evaluated on the whole validation split, or on a part of it",
        )
        add(
            "--sort",
            default="rank",
            help="rank, value, seed, steps, tokens, device, time or param.NAME; a leading - "
            "(--sort=-time) sorts in descending order",
        )
        add("--json", action="store_true", help="print a JSON array instead of a table")

    def handle(self, *_args: Any, **options: Any) -> None:
        campaign = campaign_or_error(options["campaign"])
        query = {
            name: options[name] for name in ("offset", "state", "device", "evaluation", "sort")
        }
        query["limit"] = max(1, options["limit"])
        try:
            rows = rows_of(campaign, query)
        except ValidationError as error:
            raise CommandError(refusal_text(error)) from error
        if options["json"]:
            self.stdout.write(strict_dumps([_as_json(campaign, row) for row in rows], indent=2))
            return
        colour = self.stdout.isatty() and sys.stdout.isatty()
        is_default = options["state"] == Standing.COMPLETED
        progress = campaign_progress(campaign, now=database_now())
        empty = f"no row of state {options['state']}"
        if is_default:
            empty = plain(why_nothing_is_ranked(campaign, progress))
        if first := finding(campaign, progress):
            self.stdout.write(plain(first))
        self.stdout.write(leaderboard_text(campaign, rows, colour=colour, empty=empty))
        self.stdout.write(
            f"{campaign.state}: {progress_sentence(progress, leaderboard.best(campaign))}"
        )


_OF_RESULT: Final = (
    "model_params",
    "steps_completed",
    "wall_time_seconds",
    "device_used",
)


def _as_json(campaign: Campaign, row: Row) -> dict[str, Any]:
    result, task = row.result, row.task
    return {
        "rank": row.rank,
        "state": str(row.standing),
        "reason": row.reason,
        "task": task.pk,
        "number": task.number,
        "seed": task.seed,
        "params": task.params,
        campaign.metric_spec.name: result.value if result else None,
        **{name: getattr(result, name) if result else None for name in _OF_RESULT},
        "worker": result.attempt.worker.name if result else None,
    }
