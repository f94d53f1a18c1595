"""Measure how often a race names a false champion, in simulated campaigns whose truth is known.

    python -m benchmarks.honesty [--campaigns 1000] [--seed 1] [--write-docs]

Every decision comes from `campaigns.race`, the module that the product uses. Beside it stands the
rule of every leaderboard: the best single run wins. The sentences of the pages are held to the same
bars, where arms are equal and no parameter matters. Exit code 1 when a rate misses its bar.
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
from statistics import fmean
from typing import TypeVar

from benchmarks.honesty_params import (
    EQUALS,
    NOISES,
    Equal,
    Noise,
    Titles,
    names_a_difference,
    titles,
)
from benchmarks.honesty_report import Row, Said, goals, markdown
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

Subject = World | Promise | Noise | Equal
Job = tuple[Subject, int, range]
Outcome = TypeVar("Outcome", Campaign, bool, Titles)
SIMULATE: dict[type, Callable] = {
    World: simulate,
    Promise: keeps_promise,
    Noise: titles,
    Equal: names_a_difference,
}
SUBJECTS: tuple[Subject, ...] = (*WORLDS, *PROMISES, *NOISES, *EQUALS)


def run_job(job: Job) -> list[Campaign] | list[bool] | list[Titles]:
    """Run the campaigns with these numbers. Each has a generator of its own from seed and number.

    So the figures do not depend on the number of processes or the size of the chunks.
    """
    subject, seed, numbers = job
    run = SIMULATE[type(subject)]
    return [run(subject, Random(f"{seed}:{subject.key}:{n}")) for n in numbers]


def measure(
    subjects: Sequence[Subject],
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


def simulate_all(subjects: Sequence[Subject], *, campaigns: int, seed: int) -> list[list]:
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
        outcomes = simulate_all(SUBJECTS, campaigns=campaigns, seed=seed)
    except KeyboardInterrupt:
        print("honesty: stopped.", file=sys.stderr)
        return 130
    by_subject = dict(zip(SUBJECTS, outcomes, strict=True))
    rows = [Row(world, by_subject[world]) for world in WORLDS]
    promises = [(promise, fmean(by_subject[promise])) for promise in PROMISES]
    said = Said(
        {noise: by_subject[noise] for noise in NOISES},
        {equal: fmean(by_subject[equal]) for equal in EQUALS},
    )
    heading = (
        f"`make honesty ARGS='--campaigns {campaigns} --seed {seed}'` on "
        f"{dt.datetime.now(dt.UTC):%Y-%m-%d}: {campaigns:,} campaigns of each kind."
    )
    text = markdown(rows, promises, said, heading=heading)
    print(text)
    if arguments.write_docs:
        write_between(DOCUMENT, BEGIN, END, text)
    return 0 if all(goal.holds for goal in goals(rows, promises, said)) else 1


if __name__ == "__main__":
    sys.exit(main())
