"""Print the address on which the first account of this installation is made."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from xeenet_site import first_account


class Command(BaseCommand):
    """`manage.py first_account`."""

    help = "Print the address on which the first account is made. It counts for a day."

    def add_arguments(self, parser: ArgumentParser) -> None:
        default = f"http://127.0.0.1:8000{settings.BASE_PATH}"
        parser.add_argument("--server", default=default, help="the server's address")

    def handle(self, *_args: Any, **options: Any) -> None:
        address = first_account.address(options["server"].rstrip("/"))
        if not address:
            raise CommandError(
                "There is an account already. An administrator makes further ones in the admin; "
                "createsuperuser makes one here."
            )
        self.stdout.write(address)
