"""Measure one part, or several: ``python -m benchmarks.speed http|fleet|growth|training``."""

import argparse
import sys

from benchmarks.speed import fleet, growth, hot_path, training
from benchmarks.speed.report import Report
from tests.postgres import EXIT_UNAVAILABLE, PostgresUnavailable

PARTS = {"http": hot_path, "fleet": fleet, "growth": growth, "training": training}


def main() -> int:
    """Return 0 when every bar was held, 1 when one was missed, 69 without a PostgreSQL server."""
    parser = argparse.ArgumentParser(prog="bench", description=(__doc__ or "").splitlines()[0])
    parts = parser.add_subparsers(dest="part")
    for name, module in PARTS.items():
        summary = (module.__doc__ or "").splitlines()[0].partition(": ")[2]
        of_part = parts.add_parser(name, help=summary, description=module.__doc__)
        module.options(of_part)
        of_part.add_argument("--write-docs", action="store_true", help="into docs/performance.md")
        of_part.add_argument("--only-report", action="store_true", help="exit 0 also with misses")
    arguments = parser.parse_args()
    if arguments.part is None:
        parser.print_help()
        return 0
    try:
        report: Report = PARTS[arguments.part].measure(arguments)
    except PostgresUnavailable as error:
        print(f"bench: {error}", file=sys.stderr)
        return EXIT_UNAVAILABLE
    except KeyboardInterrupt:
        print("bench: stopped; nothing is left behind.", file=sys.stderr)
        return 130
    print(f"\n{report.text()}")
    if arguments.write_docs:
        report.write()
    return 0 if report.holds or arguments.only_report else 1


if __name__ == "__main__":
    sys.exit(main())
