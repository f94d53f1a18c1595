"""End the lock that wrong passwords put on a name, before it ends by itself."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from campaigns.clock import database_now
from campaigns.management.lookup import user_or_error
from xeenet_site.sign_in import end_lock
from xeenet_site.web.plain_text import plain


class Command(BaseCommand):
    """`manage.py unlock_sign_in NAME`."""

    help = "Let a person try to sign in again at once, after too many wrong passwords."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username", metavar="NAME")

    def handle(self, *_args: Any, **options: Any) -> None:
        person = user_or_error(options["username"])
        forgotten = end_lock(None, person, now=database_now())
        self.stdout.write(
            f"{plain(person.get_username())} may sign in again; wrong passwords forgotten: "
            f"{forgotten}."
        )
