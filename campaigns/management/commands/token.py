"""List and revoke personal tokens; `create_token` makes them."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from campaigns.clock import database_now
from campaigns.management.lookup import user_or_error
from campaigns.models import PersonalToken
from campaigns.tokens import personal_tokens
from xeenet_site.web.plain_text import plain


class Command(BaseCommand):
    """`manage.py token VERB`."""

    help = "List a person's API tokens, or revoke one. Use create_token to make one."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        command = verbs.add_parser("list", help="list a person's tokens, the newest first")
        command.add_argument("username")
        command = verbs.add_parser("revoke", help="make a token invalid from the next request on")
        command.add_argument("token", type=int, help="number of the token, from list")

    def handle(self, *_args: Any, **options: Any) -> None:
        getattr(self, options["verb"])(options)

    def list(self, options: dict[str, Any]) -> None:
        """Print a line for each token."""
        user = user_or_error(options["username"])
        for token in user.personal_tokens.order_by("-pk"):
            used = f"{token.last_used_at:%Y-%m-%d %H:%M}" if token.last_used_at else "never"
            self.stdout.write(f"{token.pk:6}  {plain(token.name)}, last used: {used}")

    def revoke(self, options: dict[str, Any]) -> None:
        """Delete a token."""
        token = PersonalToken.objects.select_related("user").filter(pk=options["token"]).first()
        if token is None:
            raise CommandError(f"There is no token {options['token']}.")
        sentence = f"The token {plain(token.name)} of {token.user} is revoked."
        personal_tokens.revoke(token, actor=None, now=database_now())
        self.stdout.write(sentence)
