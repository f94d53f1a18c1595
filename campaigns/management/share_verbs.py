"""The verb `share` of `manage.py campaign`."""

from __future__ import annotations

from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand

from campaigns import steering
from campaigns.answers.shares import share_data
from campaigns.clock import database_now
from campaigns.management.lookup import campaign_or_error
from xeenet_site.web.strict_json import strict_dumps


def add_share_verb(verbs: Any, numbered: Callable[[ArgumentParser], ArgumentParser]) -> None:
    """Add the verb to a command's subparsers; `numbered` adds the campaign's number to it."""
    command = numbered(verbs.add_parser("share", help="print or set its share of the workers"))
    command.add_argument(
        "--weight",
        type=float,
        default=SUPPRESS,
        help="of two campaigns the one with twice the weight gets twice the time",
    )
    command.add_argument(
        "--place",
        type=_place,
        default=SUPPRESS,
        help="among its owner's campaigns: 1 comes before 2; “none” is behind all with a place",
    )
    command.add_argument("--json", action="store_true", help="print JSON instead of text")


class ShareVerbs(BaseCommand):
    """What the verb of `add_share_verb` does, with the parsed options."""

    def share(self, options: dict[str, Any]) -> None:
        """Set what is given of the campaign's share, and print it."""
        campaign = campaign_or_error(options["campaign"])
        chosen: dict[str, Any] = {
            name: options[name] for name in ("weight", "place") if name in options
        }
        if chosen:
            steering.set_share(None, campaign, chosen, now=database_now())
        data = share_data(campaign)
        if options["json"]:
            self.stdout.write(strict_dumps(data, indent=2))
            return
        place = "none" if data["place"] is None else data["place"]
        self.stdout.write(
            f"Campaign {campaign.pk}: weight {data['weight']:g}, place {place}. {data['sentence']}"
        )


def _place(text: str) -> int | None:
    if text == "none":
        return None
    try:
        return int(text)
    except ValueError as error:
        raise ArgumentTypeError("must be a whole number, or none") from error
