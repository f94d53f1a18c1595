"""``xeenet-worker``: options, start-up, signals and exit codes.

The exit codes are in `workers.agent.exits`.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn
from urllib.parse import urlsplit

import stamina.instrumentation

from workers.agent import AGENT_VERSION
from workers.agent.connection.client import Client
from workers.agent.delivery.outbox import Outbox
from workers.agent.enrolment import find_credentials, rotate_token
from workers.agent.exits import EXIT_CANNOT_RUN, EXIT_OK, EXIT_STATE_FOLDER, StartError
from workers.agent.isolation import AUTO, CHOICES, Containment, choose_containment
from workers.agent.limits.command import limits_command, presence_command
from workers.agent.limits.options import (
    add_limit_options,
    limiter_of,
    positive_float,
    positive_int,
)
from workers.agent.loop import Agent, AgentOptions
from workers.agent.plain_text import PlainFormatter, log_uncaught_errors, plain
from workers.agent.processes.process_tree import adopt_orphans, kill_tagged
from workers.agent.running.execution import MAX_DISK_BYTES
from workers.agent.running.hardware import Machine
from workers.agent.secrecy import (
    TOKEN_VARIABLE,
    close_own_process,
    move_secrets_out_of_the_arguments,
)
from workers.agent.state import HOME_VARIABLE, StateFolder, StateFolderError, default_state_folder
from workers.agent.tasks.datasets import MAX_DATASET_BYTES
from workers.agent.tasks.runner import Runner, RunnerSettings
from workers.agent.tasks.scripts import CodePolicy
from workers.protocol import Hardware, IsolationTier

_MIB: Final = 1024 * 1024
_MAX_NOTE_CHARACTERS: Final = 300

log = logging.getLogger("xeenet.agent")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the agent, or the command that comes first; return the exit code."""
    if arguments is None:  # started as a program, not called by the management command
        move_secrets_out_of_the_arguments()
        arguments = sys.argv[1:]
    if arguments and (command := _COMMANDS.get(arguments[0])):
        return command(arguments[1:])
    close_own_process()
    options = _parser().parse_args(arguments)
    _set_up_logging(options.log_level)
    try:
        state = StateFolder(options.state_dir or default_state_folder())
        with state.locked():
            return _run(options, state)
    except StateFolderError as error:
        log.error("%s", error)  # noqa: TRY400 (for people)
        return EXIT_STATE_FOLDER
    except StartError as error:
        log.error("%s", error)  # noqa: TRY400 (for people)
        return error.exit_code
    except KeyboardInterrupt:  # before the agent's own handlers are in place
        return 128 + signal.SIGINT


def _run(options: argparse.Namespace, state: StateFolder) -> int:
    if options.rotate_token:
        return rotate_token(state)
    signal.signal(signal.SIGTERM, _end_before_work)
    adopt_orphans()
    _sweep(state)
    limiter = limiter_of(options, state.root)  # measures the load from now on
    containment = choose_containment(options.isolation, state)
    machine = containment.machine
    if options.check:
        return _print_check(containment)
    _warn_if_unprotected_root(containment)
    simulate = _decide_simulation(options, machine)
    credentials = find_credentials(options, state, machine)
    client = Client(credentials.server_url, credentials.token)
    runner_settings = RunnerSettings(
        simulate=simulate,
        policy=CodePolicy(options.allow_server_code, _accepts_uploads(options, containment)),
        sandbox=containment.sandbox,
        keep_failed=options.keep_failed,
        grant=limiter.grant,
        disk_bytes=int(options.disk_limit * _MIB),
        dataset_bytes=int(options.dataset_limit * _MIB),
        data_folder=options.data_dir.absolute() if options.data_dir else None,
    )
    agent = Agent(
        client,
        Outbox(state.outbox),
        Runner(state, client, machine, runner_settings),
        _hardware_to_report(containment),
        AgentOptions(
            slots=limiter.slots,
            once=options.once,
            max_tasks=options.max_tasks,
            drain_seconds=options.drain_seconds,
            simulate=simulate,
            isolation=containment.tier,
            accepts_uploaded_scripts=runner_settings.policy.uploaded_scripts,
        ),
        limiter,
    )
    signal.signal(signal.SIGTERM, lambda *_: agent.on_sigterm())
    signal.signal(signal.SIGINT, lambda *_: agent.on_interrupt())
    hangup = getattr(signal, "SIGHUP", None)  # the terminal was closed; nohup ignores it
    if hangup is not None and signal.getsignal(hangup) != signal.SIG_IGN:
        signal.signal(hangup, lambda *_: agent.on_sigterm())
    log.info(
        "XeeNet worker %s, server %s, isolation %s",
        *(AGENT_VERSION, client.server_url, containment.tier),
    )
    try:
        return agent.run()
    finally:
        client.close()


def _end_before_work(_number: int, _frame: FrameType | None) -> NoReturn:
    """Exit through every `finally`, so that a torch check under way removes what it started."""
    raise SystemExit(EXIT_OK)


def _sweep(state: StateFolder) -> None:
    """Remove the processes and folders that a killed agent left behind on this state folder.

    Raises `StartError` when a process cannot be killed.
    """
    killed, survivors = kill_tagged(state.tag_prefix)
    if killed:
        log.warning("killed %d process(es) of a former start", killed)
    if survivors:
        raise StartError(
            f"Processes {survivors} of a former start cannot be killed. End them or restart the "
            "machine, then start again.",
            EXIT_CANNOT_RUN,
        )
    if removed := state.remove_stale_folders():
        log.warning("removed %d task folder(s) of a former start", removed)


def _warn_if_unprotected_root(containment: Containment) -> None:
    """Warn when scripts would run as root without a sandbox."""
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    if is_root and containment.sandbox is None:
        log.warning("scripts run as root and unprotected: give the agent an account of its own")


def _accepts_uploads(options: argparse.Namespace, containment: Containment) -> bool:
    """Return whether uploaded scripts may run: in T1, or where the owner explicitly chose T0."""
    if not options.allow_uploaded_scripts:
        return False
    if containment.tier is IsolationTier.T1 or options.isolation == IsolationTier.T0:
        return True
    log.warning(
        "uploaded scripts are not accepted: T1 does not work here (%s). --isolation T0 would run "
        "them with everything that this user may read and reach",
        containment.why_not_t1,
    )
    return False


def _hardware_to_report(containment: Containment) -> Hardware:
    """Return the machine's profile, with a note on why T1 does not work when it does not."""
    hardware = containment.hardware
    if not containment.why_not_t1:
        return hardware
    note = f"isolation T1: {containment.why_not_t1}"[:_MAX_NOTE_CHARACTERS]
    return {**hardware, "notes": [*hardware.get("notes", []), note]}


def _print_check(containment: Containment) -> int:
    machine = containment.machine
    print(json.dumps(_hardware_to_report(containment), indent=2))
    print(f"Scripts run in isolation tier {containment.tier}.")
    if machine.can_train:
        devices = plain(", ".join(machine.hardware["devices"]))
        print(f"This machine can run tasks on: {devices}.")
        return EXIT_OK
    print(f"This machine cannot run tasks: {plain(machine.why_not)}. {_how_to_get_torch()}")
    return EXIT_CANNOT_RUN


def _decide_simulation(options: argparse.Namespace, machine: Machine) -> bool:
    """Return whether results will be simulated. Raises `StartError` when the owner forbids it."""
    if machine.can_train and not options.simulate:
        return False
    reason = "asked for by --simulate" if machine.can_train else machine.why_not
    if options.no_simulate:
        raise StartError(
            f"This machine cannot train ({reason}) and --no-simulate forbids made-up results. "
            + _how_to_get_torch(),
            EXIT_CANNOT_RUN,
        )
    log.warning("=" * 78)
    log.warning("SIMULATED RESULTS ONLY: %s", reason)
    log.warning("Nothing is trained here. Simulated results are marked and never ranked.")
    if not machine.can_train:
        log.warning("%s", _how_to_get_torch())
    log.warning("=" * 78)
    return True


def _how_to_get_torch() -> str:
    return f"Install torch: {sys.executable} -m pip install torch"


def _server_url(text: str) -> str:
    """Return a server's address without a trailing slash. Raises ArgumentTypeError."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no web address. Write it like https://xeenet.example.org "
            "or http://127.0.0.1:8000."
        )
    return text.rstrip("/")


def _set_up_logging(level: str) -> None:
    logging.basicConfig(stream=sys.stderr, level=level.upper())
    # The handlers may be those of manage.py, which starts the agent inside its own process.
    formatter = PlainFormatter("%(asctime)s %(levelname)-7s %(message)s", "%Y-%m-%d %H:%M:%S")
    for handler in logging.getLogger().handlers:
        handler.setFormatter(formatter)
    log_uncaught_errors(log)
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    # Where structlog happens to be installed, stamina would otherwise log through it.
    stamina.instrumentation.set_on_retry_hooks([stamina.instrumentation.LoggingOnRetryHook])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="xeenet-worker",
        allow_abbrev=False,  # a token must be recognised by its option's whole name
        description="Claim training tasks from a XeeNet server and run them on this machine.",
    )
    add = parser.add_argument
    help_text = "the server's address; remembered after enrolment"
    add("--server", metavar="URL", type=_server_url, help=help_text)
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
    add_limit_options(parser)
    add(
        "--disk-limit",
        type=positive_float,
        default=MAX_DISK_BYTES / _MIB,
        metavar="MIB",
        help="disk space per task folder (default: %(default).0f)",
    )
    add(
        "--dataset-limit",
        type=positive_float,
        default=MAX_DATASET_BYTES / _MIB,
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
    add("--once", action="store_true", help="end when there is nothing to claim")
    add("--max-tasks", type=positive_int, metavar="N", help="claim at most N tasks, then end")
    add(
        "--drain-seconds",
        type=float,
        default=0.0,
        help="seconds for which running scripts may go on after SIGTERM (default 0)",
    )
    add("--no-simulate", action="store_true", help="without torch, refuse to start")
    add("--simulate", action="store_true", help=argparse.SUPPRESS)  # for demonstrations and tests
    add(
        "--rotate-token",
        action="store_true",
        help="replace the stored token by a new one, then end",
    )
    add("--check", action="store_true", help="print what this machine can do, then end")
    levels = ("debug", "info", "warning", "error")
    add("--log-level", choices=levels, default="info", help="how much to log (default info)")
    add("--version", action="version", version=f"xeenet-worker {AGENT_VERSION}")
    return parser


_COMMANDS: Final[dict[str, Callable[[Sequence[str]], int]]] = {
    "limits": limits_command,
    "presence": presence_command,
}
