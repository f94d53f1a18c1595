"""Print the leaderboard of a campaign, which is the board of its arms, as a table or as JSON."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError
from rest_framework.exceptions import ValidationError

from campaigns.answers.arms import board_of
from campaigns.answers.refusals import refusal_text
from campaigns.clock import database_now
from campaigns.exports import leaderboard as export
from campaigns.management.lookup import campaign_or_error
from campaigns.management.terminal import leaderboard_text, progress_sentence
from campaigns.serializers.arms import MAX_BOARD_ROWS
from campaigns.standings import arms
from campaigns.standings.finding import finding, why_nothing_is_ranked
from campaigns.standings.paired import paired_rows
from campaigns.standings.progress import campaign_progress
from xeenet_site.web.plain_text import plain
from xeenet_site.web.strict_json import strict_dumps

_DEFAULT_ROWS: Final = 20


class Command(BaseCommand):
    """`manage.py leaderboard`."""

    help = (
        "Print what may be claimed of a campaign and its arms: those that raced first, as their "
        "race left them, then the others by the value of their first run, which has no rank."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("campaign", nargs="?", type=int, help="number of the campaign (default: the newest)")
        add("--limit", type=int, default=_DEFAULT_ROWS, help="number of rows (default 20)")
        add("--offset", type=int, default=0, help="number of rows to skip")
        add(
            "--class",
            dest="result_class",
            default="",
            help="only results of this class; all for every class, whose values stand in no common "
            "order (default: the class with most results)",
        )
        add(
            "--baseline",
            type=int,
            metavar="ARM",
            help="with --class all: the arm to which differences are shown (default: the one with "
            "runs in most classes)",
        )
        add("--csv", action="store_true", help="print the whole board as CSV")
        add("--json", action="store_true", help="print what the API answers instead of a table")

    def handle(self, *_args: Any, **options: Any) -> None:
        campaign = campaign_or_error(options["campaign"])
        part = {
            "limit": min(max(1, options["limit"]), MAX_BOARD_ROWS),
            "offset": max(0, options["offset"]),
        }
        selection = {"result_class": options["result_class"], "baseline": options["baseline"]}
        try:
            data = board_of(campaign, **part, **selection)
        except ValidationError as error:
            raise CommandError(refusal_text(error)) from error
        if options["csv"]:
            for line in export.csv_lines(campaign, **selection):
                self.stdout.write(line, ending="")
            return
        if options["json"]:
            self.stdout.write(strict_dumps(data, indent=2))
            return
        colour = self.stdout.isatty() and sys.stdout.isatty()
        now = database_now()
        progress = campaign_progress(campaign, now=now)
        if first := finding(campaign, progress):
            self.stdout.write(plain(first))
        self.stdout.write(plain(data["verdict"]))
        rows = arms.rows(campaign, **part, of_class=options["result_class"])
        paired = paired_rows(
            campaign, rows, of_class=options["result_class"], baseline=options["baseline"]
        )
        if paired.words:
            self.stdout.write(paired.words)
        empty = plain(why_nothing_is_ranked(campaign, progress))
        self.stdout.write(
            leaderboard_text(campaign, rows, colour=colour, empty=empty, paired=paired)
        )
        sentence = progress_sentence(progress, arms.leading(campaign), now=now)
        self.stdout.write(f"{campaign.state}: {sentence}")
