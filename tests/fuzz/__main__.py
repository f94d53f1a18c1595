"""``python -m tests.fuzz``: a long fuzz run; prints its seed; status 1 if an answer was wrong."""

from __future__ import annotations

import argparse
import os
import secrets
import sys

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
django.setup()

from tests.authorisation.world import make_world  # noqa: E402
from tests.fuzz.run import CALLERS, fuzz  # noqa: E402
from tests.own_database import own_database  # noqa: E402


def main() -> int:
    """Read the arguments, run, print the report."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--examples", type=int, default=100, help="cases per operation (100)")
    parser.add_argument("--seed", type=int, help="seed of a run to repeat (default: random)")
    parser.add_argument("--only", default="", help="only paths that contain this text")
    arguments = parser.parse_args()

    seed = arguments.seed if arguments.seed is not None else secrets.randbelow(2**32)
    print(f"seed {seed}, as {', '.join(CALLERS)}", flush=True)
    with own_database():
        report = fuzz(make_world(), examples=arguments.examples, seed=seed, only=arguments.only)
    print("\n".join(report.lines()))
    return 1 if report.failures else 0


sys.exit(main())
