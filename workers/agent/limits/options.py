"""The command line's limits, which outrank the owner's rules, and what holds without either."""

from __future__ import annotations

import argparse
import math
import os
from pathlib import Path
from typing import Any, Final

import psutil

from workers.agent.grants import Priority
from workers.agent.limits.decisions import Defaults
from workers.agent.limits.limiter import Limiter
from workers.agent.limits.rules import LEAST_TASK_MIB
from workers.agent.running.hardware import usable_cpus, usable_memory_bytes
from workers.protocol import MAX_LEASES_PER_CLAIM

# Of all tasks together, of the machine's memory.
_MEMORY_SHARE: Final = 0.9


def add_limit_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that set rules for this start."""
    add = parser.add_argument
    places = range(1, MAX_LEASES_PER_CLAIM + 1)
    help_text = "number of tasks that run at a time (default 1)"
    add("--slots", type=int, choices=places, metavar="N", help=help_text)
    hidden: Any = {"dest": "slots", "help": argparse.SUPPRESS}  # its name until version 0.1
    add("--parallel", type=int, choices=places, metavar="N", **hidden)
    help_text = "CPU threads per script, at most (default: an equal share of the free cores)"
    add("--threads", type=positive_int, help=help_text)
    add(
        "--memory-limit",
        type=_task_mib,
        metavar="MIB",
        help="memory per task (default: an equal share of 90 %% of RAM)",
    )
    add(
        "--priority",
        choices=list(Priority),
        type=Priority,
        help="how scripts stand back behind other programs (default low)",
    )


def limiter_of(options: argparse.Namespace, root: Path) -> Limiter:
    """Return what follows the rules in ``root``, with the options in front of them."""
    overrides = {
        "slots": options.slots,
        "threads": options.threads or _threads_of_environment(),
        "memory_mib": None if options.memory_limit is None else int(options.memory_limit),
        "priority": options.priority,
    }
    given = {name: value for name, value in overrides.items() if value is not None}
    return Limiter(root, machine_defaults(), given)


def machine_defaults() -> Defaults:
    """Return what holds on this machine where nobody said otherwise.

    Threads beyond the real cores bring nothing, so those of hyper-threading do not count.
    """
    cores = usable_cpus()
    if real := psutil.cpu_count(logical=False):
        cores = min(cores, max(1, real))
    return Defaults(cores=cores, memory_bytes=int(usable_memory_bytes() * _MEMORY_SHARE))


def positive_int(text: str) -> int:
    """Return a whole number above 0. Raises ArgumentTypeError or ValueError."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return value


def positive_float(text: str) -> float:
    """Return a number above 0. Raises ArgumentTypeError or ValueError."""
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return value


def _task_mib(text: str) -> float:
    value = positive_float(text)
    if value < LEAST_TASK_MIB:
        raise argparse.ArgumentTypeError(f"no task can run in less than {LEAST_TASK_MIB} MiB")
    return value


def _threads_of_environment() -> int | None:
    """Return the owner's OMP_NUM_THREADS, which scripts have always followed."""
    text = os.environ.get("OMP_NUM_THREADS", "")
    return int(text) if text.isascii() and text.isdigit() and int(text) > 0 else None
