"""The words of ``xeenet-worker fleet``."""

from __future__ import annotations

import argparse
import os
import re
import shlex
from pathlib import Path
from typing import Final

from workers.agent.fleet.demand import DEVICES
from workers.agent.fleet.engine import END_SECONDS
from workers.agent.limits.options import positive_float, positive_int
from workers.agent.options import server_url
from workers.agent.secrecy import FLEET_VARIABLE
from workers.protocol import MAX_LEASES_PER_CLAIM

_LEAST_MINUTES: Final = 3  # the agent's last minute, and time for a task
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the words after "fleet"."""
    top = argparse.ArgumentParser(
        prog="xeenet-worker fleet",
        allow_abbrev=False,
        description="Start as many agents on Slurm, Ray or Kubernetes as the server has work for. "
        "Options of the agent follow after --.",
    )
    engines = top.add_subparsers(dest="engine", required=True, metavar="slurm | ray | kubernetes")
    _add_slurm(engines.add_parser("slurm", allow_abbrev=False, help="arrays of jobs, by sbatch"))
    _add_ray(engines.add_parser("ray", allow_abbrev=False, help="detached actors"))
    _add_kubernetes(
        engines.add_parser("kubernetes", allow_abbrev=False, help="print manifests to apply")
    )
    return top


def split(words: list[str]) -> tuple[list[str], tuple[str, ...]]:
    """Return the words of this command, and those after ``--``, which are the agent's."""
    if "--" not in words:
        return words, ()
    place = words.index("--")
    return words[:place], tuple(words[place + 1 :])


def _add_common(add: argparse.ArgumentParser, *, memory: int | None, cpus: type) -> None:
    option = add.add_argument
    option("--server", metavar="URL", type=server_url, required=True, help="the server's address")
    option(
        "--fleet-token-file",
        metavar="FILE",
        type=Path,
        help=f"file with the fleet token, of mode 600; without it {FLEET_VARIABLE}",
    )
    help_text = "of jobs, actors or manifests (default: made of server and token)"
    option("--name", type=_name, help=help_text)
    places = range(1, MAX_LEASES_PER_CLAIM + 1)
    help_text = "tasks that an agent runs at a time (default 1)"
    option("--slots", type=int, choices=places, metavar="N", default=1, help=help_text)
    help_text = "serve only what such a machine can run (default: all of the fleet's work)"
    option("--device", choices=DEVICES, default="", help=help_text)
    kind = positive_int if cpus is int else positive_float
    option("--cpus", type=kind, default=cpus(1), help="CPUs of each agent (default %(default)s)")
    help_text = "memory of each agent" + ("" if memory is None else " (default %(default)s)")
    option("--memory-mib", type=positive_int, metavar="MIB", default=memory, help=help_text)
    help_text = "seconds without work after which an agent ends (default %(default)s)"
    option("--exit-after-idle", type=positive_int, metavar="SECONDS", default=60, help=help_text)
    option(
        "--agent",
        type=lambda text: tuple(shlex.split(text)),
        default=(),
        metavar="WORDS",
        help="command that starts the agent on a node (default: as this one was started)",
    )


def _add_rounds(add: argparse.ArgumentParser) -> None:
    option = add.add_argument
    how = add.add_mutually_exclusive_group()
    how.add_argument("--once", action="store_true", help="do one round, then end")
    how.add_argument(
        "--every",
        type=positive_float,
        metavar="SECONDS",
        default=30.0,
        help="seconds between two rounds (default 30)",
    )
    option("--dry-run", action="store_true", help="print what would be submitted")
    help_text = "most jobs that one round submits (default %(default)s)"
    option("--most", type=positive_int, metavar="N", default=100, help=help_text)


def _add_slurm(add: argparse.ArgumentParser) -> None:
    _add_common(add, memory=None, cpus=int)
    _add_rounds(add)
    option = add.add_argument
    option(
        "--time-limit",
        type=_minutes,
        metavar="MINUTES",
        default=60,
        help=f"of each job; its agent ends {END_SECONDS} s earlier, and takes nothing that would "
        "outlast that (default %(default)s)",
    )
    option("--gpus", type=positive_int, default=0, help="GPUs of each job (default none)")
    option("--partition", default="", help="default: the cluster's")
    option("--account", default="", help="default: yours")
    help_text = "pattern of the jobs' output files, as of sbatch (default: slurm-%%A_%%a.out)"
    option("--output", default="", metavar="PATTERN", help=help_text)
    option(
        "--sbatch",
        action="append",
        default=[],
        metavar="OPTION",
        help="another option of sbatch, such as --sbatch=--constraint=a100; repeatable",
    )


def _add_ray(add: argparse.ArgumentParser) -> None:
    _add_common(add, memory=None, cpus=float)
    _add_rounds(add)
    option = add.add_argument
    address = os.environ.get("RAY_ADDRESS", "auto")
    help_text = "of the cluster (default: RAY_ADDRESS, or the one on this machine)"
    option("--address", default=address, help=help_text)
    help_text = "GPUs of each actor; 0.25 puts four on one (default none)"
    option("--gpus", type=positive_float, default=0.0, metavar="SHARE", help=help_text)
    help_text = "an actor's agent ends after these (default: as long as there is work)"
    option("--max-lifetime", type=positive_int, metavar="SECONDS", help=help_text)


def _add_kubernetes(add: argparse.ArgumentParser) -> None:
    _add_common(add, memory=4096, cpus=float)
    option = add.add_argument
    option("--image", required=True, help="image with xeenet-worker and torch")
    option("--namespace", default="", help="default: that of kubectl")
    option("--gpus", type=positive_int, default=0, help="GPUs of each pod (default none)")
    help_text = "Secret with the fleet token under the key token (default: the name)"
    option("--secret", default="", metavar="NAME", help=help_text)
    help_text = "seconds after which an agent ends (default: as long as there is work)"
    option("--max-lifetime", type=positive_int, metavar="SECONDS", help=help_text)
    option(
        "--kind",
        choices=("job", "scaledjob"),
        default="scaledjob",
        help="job: agents for what is wanted now; scaledjob: KEDA starts them by demand (default)",
    )
    help_text = "pods of a job (default: as many as the server wants and has not)"
    option("--pods", type=positive_int, metavar="N", help=help_text)
    help_text = "most jobs of a ScaledJob (default %(default)s)"
    option("--most", type=positive_int, metavar="N", default=100, help=help_text)


def _minutes(text: str) -> int:
    value = positive_int(text)
    if value < _LEAST_MINUTES:
        raise argparse.ArgumentTypeError(f"no task fits into less than {_LEAST_MINUTES} minutes")
    return value


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(
            "a name has small letters, digits and hyphens, 42 at most, and no hyphen at its ends"
        )
    return text
