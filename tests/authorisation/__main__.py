"""``python -m tests.authorisation [--write]``: compare the table with the server, or make it."""

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
    """Measure on a database of its own; return 1 when the checked-in table says something else."""
    parser = argparse.ArgumentParser(prog="python -m tests.authorisation", description=__doc__)
    parser.add_argument("--write", action="store_true", help="replace the table")
    arguments = parser.parse_args()

    with own_database():
        world = make_world()
        found = {area: table.measure(area, world) for area in AREAS}
    if arguments.write:
        table.write(found)
        print(f"{table.PATH.name}: {sum(map(len, found.values()))} rows")
        return 0
    expected = table.read()
    told = [line for area in AREAS for line in table.differences(expected[area], found[area])]
    print("\n".join(told) or "The server does what the table says.")
    return 1 if told else 0


sys.exit(main())
