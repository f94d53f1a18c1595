"""List, make and revoke the tokens of fleets on the command line, as the API does."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterable
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from workers import steering
from workers.fleet_form import FleetTokenForm
from workers.fleet_token import TIER_CHOICES, FleetToken
from workers.joining.lines import starts_of_fleet
from workers.lifecycle import WorkerError
from xeenet_site.web.plain_text import plain


class Command(BaseCommand):
    """`manage.py fleet VERB`."""

    help = "Make, list and revoke the tokens with which clusters start workers as their jobs."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        verbs.add_parser("list", help="list the tokens, newest first")
        create = verbs.add_parser("create", help="make a token; its secret is shown only once")
        create.add_argument("label", help="which cluster or queue it is for")
        create.add_argument("--max-live", type=int, required=True, help="most live workers")
        create.add_argument(
            "--name-prefix", default="fleet", help="how its workers' names begin (default: fleet)"
        )
        create.add_argument(
            "--tier",
            default="",
            choices=[tier for tier, _ in TIER_CHOICES if tier],
            help="weakest isolation in which its workers get tasks (default: any)",
        )
        create.add_argument("--days", type=int, help="valid for so long (default: until revoked)")
        create.add_argument(
            "--server",
            default="http://127.0.0.1:8000",
            help="the server, for the commands",
        )
        revoke = verbs.add_parser("revoke", help="let nobody join with a token any more")
        revoke.add_argument("number", type=int, help="its number, as the list shows it")

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            getattr(self, options["verb"])(options)
        except WorkerError as error:
            raise CommandError(str(error)) from error

    def list(self, _options: dict[str, Any]) -> None:
        """Print a line for each token."""
        now = timezone.now()
        tokens: Iterable[Any] = steering.fleets(None)
        for token in tokens:
            state = "open" if token.is_open(now) else "revoked" if token.revoked_at else "expired"
            until = f", until {token.expires_at:%Y-%m-%d %H:%M}" if token.expires_at else ""
            self.stdout.write(
                f"{token.pk:6}  {plain(token)}  {state}{until}, names {token.name_prefix}-…, "
                f"{token.live} of {token.max_live} live, isolation {token.tier or 'any'}"
            )

    def create(self, options: dict[str, Any]) -> None:
        """Print the secret of a new token, and what the jobs run."""
        values = {name: options[name] for name in ("label", "name_prefix", "max_live", "tier")}
        form = FleetTokenForm(values | {"lifetime_days": options["days"]})
        if not form.is_valid():
            problems = form.errors.get_json_data().items()
            sentences = [f"{name}: {each['message']}" for name, data in problems for each in data]
            raise CommandError(" ".join(sentences))
        token, secret = steering.create_fleet(None, now=timezone.now(), **form.scope())
        self.stderr.write(f"The token {token.pk} of {plain(token)}, shown only once:")
        self.stdout.write(secret)
        for title, command in starts_of_fleet(options["server"].rstrip("/"), secret):
            self.stderr.write(f"\n{title}:\n\n  {command}")

    def revoke(self, options: dict[str, Any]) -> None:
        """Let nobody join with a token, and its workers claim no more."""
        token = FleetToken.objects.filter(pk=options["number"]).first()
        if token is None:
            raise CommandError(f"There is no fleet token {options['number']}; see: fleet list")
        steering.revoke_fleet(None, token, now=timezone.now())
        self.stdout.write(f"The token {token.pk} of {plain(token)} is revoked.")
