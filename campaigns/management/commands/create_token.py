"""Make a personal token, a researcher's key to the REST API."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from campaigns.clock import database_now
from campaigns.management.lookup import user_or_error
from campaigns.tokens import personal_tokens


class Command(BaseCommand):
    """`manage.py create_token`."""

    help = (
        "Make a personal API token for a user. It is shown only once; the server stores its hash."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--name", default="command line", help="what the token is for")

    def handle(self, *_args: Any, **options: Any) -> None:
        user = user_or_error(options["username"])
        try:
            _, secret = personal_tokens.create(user, options["name"], now=database_now())
        except personal_tokens.TokenRefused as error:
            raise CommandError(str(error)) from error
        self.stdout.write(secret)
        self.stderr.write(
            "Keep the token: it is not shown again. Use: Authorization: Bearer <token>"
        )
