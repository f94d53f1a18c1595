"""Print the data of one panel of a campaign's analysis."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rest_framework.exceptions import ValidationError

from campaigns.analysis import estimates
from campaigns.answers.panel import check_subject, panel_data
from campaigns.answers.refusals import refusal_text
from campaigns.management.lookup import campaign_or_error
from campaigns.models import Campaign
from campaigns.panels import PANELS
from xeenet_site.web.csv_text import csv_lines
from xeenet_site.web.plain_text import plain


class Command(BaseCommand):
    """`manage.py analysis PANEL`."""

    help = (
        "Print what the analysis found (to standard error) and the data behind it as CSV or JSON. "
        "Panels: " + ", ".join(PANELS)
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("panel", choices=list(PANELS), metavar="PANEL", help="such as importance")
        add("campaign", nargs="?", type=int, help="its number (default: the newest)")
        add("--device", default="", help="only of results measured on this device")
        add("--x", default="", metavar="NAME", help="of slice and contour: the parameter to show")
        add("--y", default="", metavar="NAME", help="of contour: the second parameter")
        add("--json", action="store_true", help="one JSON object instead of CSV")

    def handle(self, *_args: Any, **options: Any) -> None:
        campaign = campaign_or_error(options["campaign"])
        asked = {name: options[name] for name in ("device", "x", "y")}
        try:
            check_subject(campaign, **asked)
            if options["panel"] == "importance":
                _compute_missing(campaign, options["device"])
            found = panel_data(campaign, options["panel"], **asked)
        except ValidationError as error:
            raise CommandError(refusal_text(error)) from error
        if options["json"]:
            self.stdout.write(json.dumps(found, indent=2))
            return
        for line in (found["title"], found["empty"], *found["warnings"], *found["notes"]):
            if line:
                self.stderr.write(plain(line))
        for line in csv_lines(found["columns"], found["rows"]):
            self.stdout.write(line, ending="")


def _compute_missing(campaign: Campaign, device: str) -> None:
    """Compute the importance where none is kept: here nobody waits for a page."""
    if estimates.estimate(campaign, device).is_pending:
        estimates.importance_now(campaign, device)
