"""``xeenet-worker``: options, start-up, signals and exit codes.

Exit codes: 0 done or drained; 2 wrong options; 3 the state folder cannot be used; 4 the server
does not accept this worker; 5 this machine cannot run tasks.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import stamina.instrumentation

from workers.agent import AGENT_VERSION
from workers.agent.backoff import Backoff
from workers.agent.client import Client, RequestRefused, ServerUnavailable
from workers.agent.hardware import Machine, inspect_machine, usable_cpus, usable_memory_bytes
from workers.agent.loop import (
    EXIT_CANNOT_RUN,
    EXIT_NOT_AUTHENTICATED,
    EXIT_OK,
    Agent,
    AgentOptions,
)
from workers.agent.outbox import Outbox
from workers.agent.process_tree import adopt_orphans, kill_tagged
from workers.agent.runner import Runner, RunnerSettings
from workers.agent.state import (
    HOME_VARIABLE,
    Credentials,
    StateFolder,
    StateFolderError,
    default_state_folder,
)
from workers.protocol import MAX_LEASES_PER_CLAIM, EnrolRequest

TOKEN_VARIABLE: Final = "XEENET_WORKER_TOKEN"  # noqa: S105 (a name, not a secret)
EXIT_USAGE: Final = 2
EXIT_STATE_FOLDER: Final = 3
_MEMORY_SHARE: Final = 0.9
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})

log = logging.getLogger("xeenet.agent")


class StartError(Exception):
    """The agent cannot start; the message says why and what to do."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the agent; return its exit code."""
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
    adopt_orphans()
    _sweep(state)
    machine = inspect_machine(state.work, state.tag_prefix + "torch-check")
    if options.check:
        return _print_check(machine)
    simulate = _decide_simulation(options, machine)
    credentials = _credentials(options, state, machine)
    _warn_if_readable_on_the_way(credentials.server_url)
    client = Client(credentials.server_url, credentials.token)
    runner_settings = RunnerSettings(
        simulate=simulate,
        allow_server_code=options.allow_server_code,
        keep_failed=options.keep_failed,
        threads=_threads(options),
        memory_bytes=_memory_bytes(options),
        data_folder=options.data_dir.absolute() if options.data_dir else None,
    )
    agent = Agent(
        client,
        Outbox(state.outbox),
        Runner(state, client, machine, runner_settings),
        machine.hardware,
        AgentOptions(
            parallel=options.parallel,
            once=options.once,
            max_tasks=options.max_tasks,
            drain_seconds=options.drain_seconds,
            simulate=simulate,
        ),
    )
    signal.signal(signal.SIGTERM, lambda *_: agent.on_sigterm())
    signal.signal(signal.SIGINT, lambda *_: agent.on_interrupt())
    hangup = getattr(signal, "SIGHUP", None)  # a closed terminal; nohup asks to ignore it
    if hangup is not None and signal.getsignal(hangup) != signal.SIG_IGN:
        signal.signal(hangup, lambda *_: agent.on_sigterm())
    log.info("XeeNet worker %s, server %s", AGENT_VERSION, client.server_url)
    try:
        return agent.run()
    finally:
        client.close()


def _sweep(state: StateFolder) -> None:
    """Remove what an agent that was killed on this state folder left behind."""
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


def _print_check(machine: Machine) -> int:
    print(json.dumps(machine.hardware, indent=2))
    if machine.can_train:
        print(f"This machine can run tasks on: {', '.join(machine.hardware['devices'])}.")
        return EXIT_OK
    print(f"This machine cannot run tasks: {machine.why_not}. {_how_to_get_torch()}")
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


def _credentials(options: argparse.Namespace, state: StateFolder, machine: Machine) -> Credentials:
    """Return server and token from the options, the environment, the state folder or enrolment."""
    stored = state.load_credentials()
    server_url = options.server or ""
    token = options.token or os.environ.get(TOKEN_VARIABLE, "")
    if token:
        _check_token_kind(token)
        if not server_url:
            raise StartError("A token needs its server: add --server URL.", EXIT_USAGE)
        return Credentials(server_url, token, name="")
    if stored is not None:
        if server_url and server_url != stored.server_url:
            raise StartError(
                f"This worker is enrolled at {stored.server_url}, not at {server_url}. "
                "Give the other server its own --state-dir.",
                EXIT_USAGE,
            )
        if options.enrol:
            log.info("already enrolled as %r, the enrolment token is not used", stored.name)
        return stored
    if not options.enrol:
        raise StartError(
            "This worker is not enrolled. Make an enrolment token on the server's page for "
            "workers, then start with --server URL --enrol TOKEN.",
            EXIT_USAGE,
        )
    if not server_url:
        raise StartError("Enrolment needs a server: add --server URL.", EXIT_USAGE)
    host = socket.gethostname()[:64]
    names = [options.name] if options.name else [host, f"{host}-{state.agent_id[:6]}"]
    credentials = _enrol(server_url, options.enrol, names, machine)
    state.store_credentials(credentials)
    log.info("enrolled as %r; the next start needs no token", credentials.name)
    return credentials


def _enrol(
    server_url: str, enrolment_token: str, names: list[str], machine: Machine
) -> Credentials:
    """Exchange the enrolment token, waiting for the server as long as it takes.

    The first of ``names`` that is free becomes the worker's.
    """
    client, backoff = Client(server_url), Backoff()
    request: EnrolRequest = {
        "enrolment_token": enrolment_token,
        "name": names[0],
        "hardware": machine.hardware,
        "agent_version": AGENT_VERSION,
    }
    announced = False
    try:
        while True:
            try:
                reply = client.enrol(request)
                return Credentials(server_url, reply["token"], reply["name"])
            except ServerUnavailable as error:
                if not announced:
                    log.warning("no answer from %s, trying on: %s", server_url, error)
                announced = True
                time.sleep(backoff.next_wait(error.retry_after_seconds))
            except RequestRefused as refused:
                if refused.status == 400 and request["name"] != names[-1]:
                    request["name"] = names[names.index(request["name"]) + 1]
                    continue
                advice = (
                    "Choose another with --name."
                    if refused.status == 400
                    else "Enrolment tokens work once; make a new one on the server's page for "
                    "workers."
                )
                raise StartError(
                    f"The server refused the enrolment: {refused} {advice}",
                    EXIT_NOT_AUTHENTICATED,
                ) from refused
    finally:
        client.close()


def _server_url(text: str) -> str:
    """Return a server's address without a trailing slash, or tell argparse what is wrong."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no web address. Write it like https://xeenet.example.org "
            "or http://127.0.0.1:8000."
        )
    return text.rstrip("/")


def _warn_if_readable_on_the_way(server_url: str) -> None:
    parts = urlsplit(server_url)
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        log.warning("%s is not encrypted: the worker's token travels in the clear", server_url)


def _check_token_kind(token: str) -> None:
    if token.startswith("xe_"):
        raise StartError("This is an enrolment token: use it with --enrol.", EXIT_USAGE)
    if token.startswith("xp_"):
        raise StartError(
            "This is a personal token, which cannot claim tasks. Enrol this machine as a worker.",
            EXIT_USAGE,
        )


def _threads(options: argparse.Namespace) -> int | None:
    """Return the CPU threads per script; parallel scripts share the cores instead of fighting."""
    if options.threads is not None or options.parallel == 1:
        threads: int | None = options.threads
        return threads
    return max(1, usable_cpus() // int(options.parallel))


def _memory_bytes(options: argparse.Namespace) -> int:
    """Return the memory one script's tree may use."""
    if options.memory_limit is not None:
        return int(options.memory_limit * 1024 * 1024)
    return int(usable_memory_bytes() * _MEMORY_SHARE / int(options.parallel))


def _set_up_logging(level: str) -> None:
    logging.basicConfig(
        stream=sys.stderr,
        level=level.upper(),
        format="%(asctime)s %(levelname)-7s %(message)s",
        datefmt="%Y-%m-%d %H:%M:%S",
    )
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    # stamina would otherwise write through structlog where that happens to be installed.
    stamina.instrumentation.set_on_retry_hooks([stamina.instrumentation.LoggingOnRetryHook])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="xeenet-worker",
        description="Claim training tasks from a XeeNet server and run them on this machine.",
    )
    add = parser.add_argument
    help_text = "the server's address; remembered after enrolment"
    add("--server", metavar="URL", type=_server_url, help=help_text)
    add("--token", help=f"worker token; better in {TOKEN_VARIABLE}, where ps does not show it")
    add("--enrol", metavar="TOKEN", help="exchange a single-use enrolment token, then work")
    add("--name", help="the worker's name at enrolment (default: the host name)")
    add(
        "--state-dir",
        type=Path,
        help=f"folder for token, outbox and task folders (default: {HOME_VARIABLE} or the "
        "platform's place); one agent per folder",
    )
    add("--data-dir", type=Path, help="data-set cache (default: inside the state folder)")
    places = range(1, MAX_LEASES_PER_CLAIM + 1)
    add(
        "--parallel",
        type=int,
        choices=places,
        default=1,
        metavar="N",
        help="tasks at a time (default 1)",
    )
    add("--threads", type=_positive_int, help="CPU threads per script (default: shared equally)")
    add(
        "--memory-limit",
        type=_positive_float,
        metavar="MIB",
        help="per task (default: 90 %% of RAM)",
    )
    add("--allow-server-code", action="store_true", help="run scripts that the server sends")
    add("--keep-failed", action="store_true", help="keep the task folders of failed runs")
    add("--once", action="store_true", help="end when there is nothing to claim")
    add("--max-tasks", type=_positive_int, metavar="N", help="end after N tasks")
    add(
        "--drain-seconds",
        type=float,
        default=0.0,
        help="after SIGTERM let running scripts go on for so long (default 0)",
    )
    add("--no-simulate", action="store_true", help="without torch, refuse to start")
    add("--simulate", action="store_true", help=argparse.SUPPRESS)  # for demonstrations and tests
    add("--check", action="store_true", help="say what this machine can do, and end")
    levels = ("debug", "info", "warning", "error")
    add("--log-level", choices=levels, default="info", help="how much to log (default info)")
    add("--version", action="version", version=f"xeenet-worker {AGENT_VERSION}")
    return parser


def _positive_int(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return value


def _positive_float(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return value
