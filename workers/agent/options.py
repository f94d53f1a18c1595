"""The options of ``xeenet-worker``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from workers.agent import AGENT_VERSION
from workers.agent.isolation import AUTO, CHOICES
from workers.agent.limits.options import add_limit_options, positive_float, positive_int
from workers.agent.running.execution import MAX_DISK_BYTES
from workers.agent.secrecy import FLEET_VARIABLE, TOKEN_VARIABLE
from workers.agent.state import HOME_VARIABLE
from workers.agent.tasks.datasets import MAX_DATASET_BYTES

MIB: Final = 1024 * 1024


def parser() -> argparse.ArgumentParser:
    """Return the parser of the agent's options."""
    options = argparse.ArgumentParser(
        prog="xeenet-worker",
        allow_abbrev=False,  # a token must be recognised by its option's whole name
        description="Claim training tasks from a XeeNet server and run them on this machine.",
        epilog="xeenet-worker status [--json] tells what the agent on this machine is doing, "
        "xeenet-worker limits [--json] what it may use, and changes that; xeenet-worker open shows "
        "both as a page in your browser, xeenet-worker desktop in a window. xeenet-worker setup "
        "fetches torch for its GPU, service lets it start by itself, leave ends it and takes it "
        "away. xeenet-worker fleet starts agents on Slurm, Ray or Kubernetes.",
    )
    add = options.add_argument
    help_text = "the server's address; remembered after enrolment"
    add("--server", metavar="URL", type=server_url, help=help_text)
    add("--token", help=f"worker token; safer in {TOKEN_VARIABLE}, which ps does not show")
    add("--enrol", metavar="TOKEN", help="exchange a single-use enrolment token, then work")
    add("--name", help="the worker's name at enrolment (default: the host name)")
    add(
        "--state-dir",
        type=Path,
        help=f"folder for the token, the outbox and task folders, for one agent only (default: "
        f"{HOME_VARIABLE}, or the platform's usual place)",
    )
    add("--data-dir", type=Path, help="data-set cache (default: inside the state folder)")
    add_limit_options(options)
    add(
        "--disk-limit",
        type=positive_float,
        default=MAX_DISK_BYTES / MIB,
        metavar="MIB",
        help="disk space per task folder (default: %(default).0f)",
    )
    add(
        "--dataset-limit",
        type=positive_float,
        default=MAX_DATASET_BYTES / MIB,
        metavar="MIB",
        help="largest data set to download (default: %(default).0f)",
    )
    add(
        "--isolation",
        choices=CHOICES,
        default=AUTO,
        help="how scripts are isolated: T1 uses a bubblewrap sandbox without network, T0 uses no "
        "sandbox (default: T1 where it works)",
    )
    add(
        "--allow-server-code",
        action="store_true",
        help="run other versions of the built-in scripts when the server sends them",
    )
    add(
        "--allow-uploaded-scripts",
        action="store_true",
        help="run researchers' scripts that an operator of the server approved; needs T1, or an "
        "explicit --isolation T0",
    )
    add("--keep-failed", action="store_true", help="keep the task folders of failed runs")
    add(
        "--cold",
        action="store_true",
        help="start each task in a Python of its own; without it, one that has imported torch "
        "waits for each task (Linux)",
    )
    add("--once", action="store_true", help="end when there is nothing to claim")
    add("--max-tasks", type=positive_int, metavar="N", help="claim at most N tasks, then end")
    _add_fleet_options(options)
    add(
        "--drain-seconds",
        type=float,
        default=0.0,
        help="seconds for which running scripts may go on after SIGTERM (default 0)",
    )
    add("--yes", action="store_true", help="set up torch without asking, where that helps")
    add("--no-setup", action="store_true", help="do not ask whether torch should be set up")
    add("--no-simulate", action="store_true", help="without torch, refuse to start")
    add("--simulate", action="store_true", help=argparse.SUPPRESS)  # for demonstrations and tests
    add(
        "--rotate-token",
        action="store_true",
        help="replace the stored token by a new one, then end",
    )
    add("--check", action="store_true", help="print what this machine can do, then end")
    add("--log", action="store_true", help="log to stderr, on a terminal too, without the card")
    add("--page", action="store_true", help="open the worker's page at once, as `open` does later")
    levels = ("debug", "info", "warning", "error")
    add("--log-level", choices=levels, default="info", help="how much to log (default info)")
    add(
        "-v",
        "--verbose",
        dest="log_level",
        action="store_const",
        const="debug",
        help="log each step of a task, as --log-level debug",
    )
    add("--version", action="version", version=f"xeenet-worker {AGENT_VERSION}")
    return options


def why_not_ephemeral(options: argparse.Namespace) -> str:
    """Return which of these options do not fit together with or without --ephemeral; "" if all do.

    An ephemeral worker keeps nothing, so an option that needs a stored token, or wants something
    kept, asks for what cannot be.
    """
    if not options.ephemeral:
        if options.fleet_token_file is not None:
            return "--fleet-token-file makes ephemeral workers: add --ephemeral."
        return ""
    for name, why in _NOT_EPHEMERAL.items():
        if getattr(options, name):
            return f"--ephemeral and --{name.replace('_', '-')} do not go together: {why}"
    if options.server is None and not options.check:
        return "An ephemeral worker remembers no server: add --server URL."
    return ""


def _add_fleet_options(options: argparse.ArgumentParser) -> None:
    add = options.add_argument
    add(
        "--ephemeral",
        action="store_true",
        help="join by a fleet token, keep nothing on this machine but cached data sets and "
        "scripts, and say good-bye at the end: for jobs of Slurm, Kubernetes and the like",
    )
    add(
        "--fleet-token-file",
        type=Path,
        metavar="FILE",
        help=f"file with the fleet token of --ephemeral; without it {FLEET_VARIABLE}",
    )
    add(
        "--exit-after-idle",
        type=positive_float,
        metavar="SECONDS",
        help="end when nothing has run here for so long",
    )
    add(
        "--max-lifetime",
        type=positive_float,
        metavar="SECONDS",
        help="end after so long, and claim nothing that would last longer",
    )


_NOT_EPHEMERAL: Final = {
    "token": "it joins by a fleet token, and gets a token of its own.",
    "enrol": "it joins by a fleet token, which is not used up.",
    "name": "its server names it after the token's prefix and the machine.",
    "state_dir": "it has no state folder, and uses no token that is stored in one. Its scratch "
    "folder is made below TMPDIR.",
    "rotate_token": "it stores no token that could be exchanged.",
    "keep_failed": "nothing stays after its end.",
    "yes": "it makes no Python with torch; `xeenet-worker setup` does.",
}


def server_url(text: str) -> str:
    """Return a server's address without a trailing slash. Raises ArgumentTypeError."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no web address. Write it like https://xeenet.example.org "
            "or http://127.0.0.1:8000."
        )
    return text.rstrip("/")
