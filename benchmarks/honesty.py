"""Measure how often a race names a false champion, in simulated campaigns whose truth is known.

    python -m benchmarks.honesty [--campaigns 1000] [--seed 1] [--write-docs]

Every decision comes from `campaigns.race`, the module that the product uses. Beside it stands the
rule of every leaderboard: the best single run wins. Exit code 1 when a rate misses its bar.
"""

import argparse
import datetime as dt
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from random import Random
from typing import TypeVar

from benchmarks.honesty_report import Row, goals, markdown
from benchmarks.honesty_worlds import (
    PROMISES,
    WORLDS,
    Campaign,
    Promise,
    World,
    keeps_promise,
    simulate,
)
from benchmarks.marked_documents import write_between

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "honesty.md"
BEGIN = "<!-- written by honesty: begin -->"
END = "<!-- written by honesty: end -->"
MAX_PROCESSES = 2
# Campaigns that a process gets at a time: small, so that both stay busy to the end.
CHUNK = 50

Job = tuple[World | Promise, int, range]
Outcome = TypeVar("Outcome", Campaign, bool)


def run_job(job: Job) -> list[Campaign] | list[bool]:
    """Run the campaigns with these numbers. Each has a generator of its own from seed and number.

    So the figures do not depend on the number of processes or the size of the chunks.
    """
    subject, seed, numbers = job
    if isinstance(subject, World):
        return [simulate(subject, Random(f"{seed}:{subject.key}:{n}")) for n in numbers]
    return [keeps_promise(subject, Random(f"{seed}:{subject.key}:{n}")) for n in numbers]


def measure(
    subjects: Sequence[World | Promise],
    *,
    campaigns: int,
    seed: int,
    run_all: Callable[[Callable[[Job], list], list[Job]], Iterator[list]] = map,
    show: Callable[[str], None] = lambda _line: None,
) -> list[list]:
    """Return the outcomes of each subject's campaigns, in the subjects' order."""
    chunks = [range(start, min(start + CHUNK, campaigns)) for start in range(0, campaigns, CHUNK)]
    jobs = [(subject, seed, chunk) for subject in subjects for chunk in chunks]
    outcomes: list[list] = []
    for number, part in enumerate(run_all(run_job, jobs)):
        if number % len(chunks) == 0:
            outcomes.append([])
        outcomes[-1] += part
        if (number + 1) % len(chunks) == 0:
            show(f"{len(outcomes)} of {len(subjects)} kinds of campaigns")
    return outcomes


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--campaigns", type=int, default=1000, help="of each kind (1000)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed, the same figures (1)")
    parser.add_argument(
        "--write-docs", action="store_true", help="put the tables into docs/honesty.md"
    )
    options = parser.parse_args(arguments)
    if options.campaigns < 1:
        parser.error("--campaigns must be 1 or more")
    return options


def simulate_all(subjects: Sequence[World | Promise], *, campaigns: int, seed: int) -> list[list]:
    """Return the outcomes of each subject's campaigns; progress goes to stderr."""
    processes = min(MAX_PROCESSES, os.cpu_count() or 1)
    # Ctrl-C reaches every process of the terminal. Only this one must answer it.
    ignore = (signal.SIGINT, signal.SIG_IGN)
    with ProcessPoolExecutor(processes, initializer=signal.signal, initargs=ignore) as pool:
        try:
            return measure(
                subjects,
                campaigns=campaigns,
                seed=seed,
                run_all=pool.map,
                show=lambda line: print(line, file=sys.stderr, flush=True),
            )
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            raise


def main() -> int:
    """Return 0 when every bar was held, 1 when one was missed."""
    arguments = parse_arguments()
    campaigns, seed = arguments.campaigns, arguments.seed
    # SIGTERM as Ctrl-C, or the other processes would work on without this one.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        outcomes = simulate_all([*WORLDS, *PROMISES], campaigns=campaigns, seed=seed)
    except KeyboardInterrupt:
        print("honesty: stopped.", file=sys.stderr)
        return 130
    rows = [Row(world, part) for world, part in zip(WORLDS, outcomes, strict=False)]
    kept = [sum(part) / len(part) for part in outcomes[len(WORLDS) :]]
    promises = list(zip(PROMISES, kept, strict=True))
    heading = (
        f"`make honesty ARGS='--campaigns {campaigns} --seed {seed}'` on "
        f"{dt.datetime.now(dt.UTC):%Y-%m-%d}: {campaigns:,} campaigns of each kind."
    )
    text = markdown(rows, promises, heading=heading)
    print(text)
    if arguments.write_docs:
        write_between(DOCUMENT, BEGIN, END, text)
    return 0 if all(goal.holds for goal in goals(rows, promises)) else 1


if __name__ == "__main__":
    sys.exit(main())
