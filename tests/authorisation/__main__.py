"""``python -m tests.authorisation [--write]``: compare the table with the server, or replace it."""

from __future__ import annotations

import argparse
import os
import sys

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
django.setup()

from tests.authorisation import table  # noqa: E402
from tests.authorisation.routes import AREAS  # noqa: E402
from tests.authorisation.world import make_world  # noqa: E402
from tests.own_database import own_database  # noqa: E402


def main() -> int:
    """Measure on a temporary database; return 1 if the result differs from the stored table."""
    parser = argparse.ArgumentParser(prog="python -m tests.authorisation", description=__doc__)
    parser.add_argument("--write", action="store_true", help="replace the table")
    arguments = parser.parse_args()

    with own_database():
        world = make_world()
        measured = {area: table.measure(area, world) for area in AREAS}
    if arguments.write:
        table.write(measured)
        print(f"{table.PATH.name}: {sum(map(len, measured.values()))} rows")
        return 0
    expected = table.read()
    lines = [line for area in AREAS for line in table.differences(expected[area], measured[area])]
    print("\n".join(lines) or "The server does what the table says.")
    return 1 if lines else 0


sys.exit(main())
