"""Print the board of a campaign's arms, and what may be claimed of them."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any, Final

from django.core.management.base import BaseCommand

from campaigns.answers.arms import board_of
from campaigns.management.lookup import campaign_or_error
from campaigns.management.terminal import number
from campaigns.serializers.arms import MAX_BOARD_ROWS
from xeenet_site.web.plain_text import plain

_DEFAULT_ROWS: Final = 20


class Command(BaseCommand):
    """`manage.py arms CAMPAIGN`."""

    help = (
        "Print the arms of a campaign: those that raced first, as their race left them, then the "
        "others by the value of their first run. Above them stands what may be claimed."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("campaign", type=int, nargs="?", help="default: the newest campaign")
        parser.add_argument("--limit", type=int, default=_DEFAULT_ROWS, help="rows (default 20)")
        parser.add_argument("--offset", type=int, default=0)
        parser.add_argument("--json", action="store_true", help="as the API answers")

    def handle(self, **options: Any) -> None:
        """Print the board."""
        campaign = campaign_or_error(options["campaign"])
        limit = min(max(1, options["limit"]), MAX_BOARD_ROWS)
        board = board_of(campaign, limit=limit, offset=max(0, options["offset"]))
        if options["json"]:
            self.stdout.write(json.dumps(board, indent=2))
            return
        self.stdout.write(plain(board["verdict"]))
        spec = campaign.metric_spec
        for row in board["rows"]:
            rank = "-" if row["rank"] is None else row["rank"]
            value = "-" if row["value"] is None else spec.text(row["value"])
            off = "" if row["half_width"] is None else f" ± {spec.text(row['half_width'])}"
            params = ", ".join(f"{name}={number(param)}" for name, param in row["params"].items())
            self.stdout.write(
                f"{rank:>4}  arm {row['arm']:<6} {row['standing']:10}  {value}{off:12} "
                f"{spec.unit}  {row['seeds']:>3} race seeds  {plain(params)}"
            )
