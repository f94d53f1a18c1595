"""Print the data of one panel of a campaign's analysis."""

from __future__ import annotations

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
from xeenet_site.web.strict_json import strict_dumps


class Command(BaseCommand):
    """`manage.py analysis PANEL`."""

    help = (
        "Print the data of an analysis panel as CSV or JSON, and the finding to standard error. "
        "Panels: " + ", ".join(PANELS)
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("panel", choices=list(PANELS), metavar="PANEL", help="such as importance")
        add("campaign", nargs="?", type=int, help="number of the campaign (default: the newest)")
        add("--device", default="", help="only results measured on this device")
        add("--x", default="", metavar="NAME", help="for slice and contour: the parameter to show")
        add("--y", default="", metavar="NAME", help="for contour: the second parameter")
        add("--json", action="store_true", help="print a JSON object instead of CSV")

    def handle(self, *_args: Any, **options: Any) -> None:
        campaign = campaign_or_error(options["campaign"])
        subject = {name: options[name] for name in ("device", "x", "y")}
        try:
            check_subject(campaign, **subject)
            if options["panel"] == "importance":
                _compute_missing(campaign, options["device"])
            data = panel_data(campaign, options["panel"], **subject)
        except ValidationError as error:
            raise CommandError(refusal_text(error)) from error
        if options["json"]:
            self.stdout.write(strict_dumps(data, indent=2))
            return
        for line in (data["title"], data["empty"], *data["warnings"], *data["notes"]):
            if line:
                self.stderr.write(plain(line))
        for line in csv_lines(data["columns"], data["rows"]):
            self.stdout.write(line, ending="")


def _compute_missing(campaign: Campaign, device: str) -> None:
    """Compute the importance if no job has done so yet: a command may take seconds."""
    if estimates.estimate(campaign, device).is_pending:
        estimates.importance_now(campaign, device)
