"""``xeenet-worker service install | remove``: shown first, then done, without the agent's lock.

xeenet-worker service                     what is installed
xeenet-worker service install --print     what it would write and run
xeenet-worker service install -- --no-simulate --drain-seconds 60
xeenet-worker service remove
"""

from __future__ import annotations

import argparse
import getpass
import os
import re
import shutil
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from workers.agent.exits import (
    EXIT_CANNOT_RUN,
    EXIT_OK,
    EXIT_STATE_FOLDER,
    EXIT_USAGE,
)
from workers.agent.options import parser as agent_parser
from workers.agent.plain_text import plain
from workers.agent.questions import NobodyToAsk, ask
from workers.agent.service import apply
from workers.agent.service.plan import (
    DEFAULT_NAME,
    Kind,
    Plan,
    Request,
    ServiceError,
    plan_for,
)
from workers.agent.service.program import this_program
from workers.agent.service.record import Record, read_record
from workers.agent.state import (
    HOME_VARIABLE,
    STATUS_FILE,
    StateFolder,
    StateFolderError,
    default_state_folder,
)
from workers.agent.status.file import read_status
from workers.agent.stop_request import stop_agent

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,50}")
_STOP_SECONDS: Final = 60.0
# What a service decides itself, and what must not stand in a file that others may read.
_REFUSED: Final = {
    "token": "A token does not belong in a service's file: enrol once, then install.",
    "enrol": "Enrol once by hand; the service then needs no token.",
    "once": "A service works until it is stopped.",
    "max_tasks": "A service works until it is stopped.",
    "ephemeral": "A service keeps its worker: enrol once, then install.",
    "fleet_token_file": "A service keeps its worker: enrol once, then install.",
    "exit_after_idle": "A service works until it is stopped.",
    "max_lifetime": "A service works until it is stopped.",
    "rotate_token": "Exchange the token by hand.",
    "check": "Check by hand.",
    "state_dir": "Give --state-dir before the --.",
}


def service_command(words: Sequence[str]) -> int:
    """Install, remove or show the service as the words after "service" say."""
    own, agent_words = _split(list(words))
    options = _parser().parse_args(own)
    state = (options.state_dir or default_state_folder()).expanduser().absolute()
    try:
        if options.action == "install":
            return _install(options, state, agent_words)
        if options.action == "remove":
            return _remove(options, state)
        return _show(state)
    except NobodyToAsk as error:
        print(plain(error), file=sys.stderr)
        return EXIT_USAGE
    except ServiceError as error:
        print(plain(error, keep="\n"), file=sys.stderr)
        return EXIT_CANNOT_RUN
    except (OSError, StateFolderError) as error:
        print(plain(error), file=sys.stderr)
        return EXIT_STATE_FOLDER


def installed_service(state: Path) -> Record | None:
    """Return the service that starts the worker of this state folder. Raises `ServiceError`."""
    return read_record(state)


def remove_service(state: Path, record: Record) -> list[str]:
    """Stop and remove it without asking; return what failed of that. Raises OSError."""
    problems = apply.remove(_plan_of(record, state), record, state, apply.run_command)
    # No command of Windows stops what its start-up folder has started.
    if record.kind is Kind.STARTUP and not stop_agent(state, _STOP_SECONDS):
        problems.append("The agent that runs here has not ended yet; see `xeenet-worker status`.")
    return problems


def _install(options: argparse.Namespace, state: Path, agent_words: list[str]) -> int:
    request = _request(options, state, agent_words)
    plan = plan_for(request)
    apply.check_room(plan, state)
    changed = apply.changes(plan)
    for line in _described(plan, [str(file.path) for file in changed]):
        print(plain(line))
    if options.print:
        return EXIT_OK
    if request.kind is Kind.SYSTEMD and not _has_systemd():
        raise ServiceError(
            "No systemd runs here. Let your system start this with the machine:\n"
            f"  {' '.join(request.agent_words)}"
        )
    if StateFolder(state).load_credentials() is None:
        raise ServiceError(
            f"The worker of {state} is not enrolled, so a service could not start it. Start it "
            "once with --server URL --enrol TOKEN."
        )
    agent_runs = read_status(state / STATUS_FILE).is_living
    if not ask("Install it?", yes=options.yes):
        return EXIT_OK
    linger = plan.asks_linger and _wants_linger(options)
    for problem in apply.install(plan, state, apply.run_command, linger=linger):
        print(plain(problem), file=sys.stderr)
    if agent_runs and changed:
        print("An agent runs here already: the service tries on until that one has ended.")
    print("Installed." if changed else "It was installed already; nothing was changed.")
    if plan.kind is Kind.SYSTEMD:
        print(
            f"Stop it: systemctl --user stop {plan.name}. Its log: journalctl --user -u {plan.name}"
        )
    print("What it does: xeenet-worker status. To undo this: xeenet-worker service remove")
    return EXIT_OK


def _remove(options: argparse.Namespace, state: Path) -> int:
    record = read_record(state)
    if record is None:
        print(plain(f"No service is installed for the worker of {state}."))
        return EXIT_OK
    plan, changed = _plan_of(record, state), apply.changed_since(record)
    print("This stops the service (its tasks go back) and removes:")
    for name in record.files:
        print(plain(f"  {name}" + (" (changed since it was written)" if name in changed else "")))
    for words in _undoing(plan, record):
        print(plain(f"  runs: {' '.join(words)}"))
    if options.print:
        return EXIT_OK
    if not ask("Remove it?", yes=options.yes):
        return EXIT_OK
    for problem in remove_service(state, record):
        print(plain(problem), file=sys.stderr)
    print("Removed. The worker itself stays: `xeenet-worker leave` ends it.")
    return EXIT_OK


def _show(state: Path) -> int:
    record = read_record(state)
    if record is None:
        print(plain(f"No service is installed for the worker of {state}."))
        return EXIT_OK
    print(plain(f"{record.kind} starts the worker of {state}, as {record.name}:"))
    changed = apply.changed_since(record)
    for name in record.files:
        gone = "" if Path(name).exists() else " (gone)"
        print(plain(f"  {name}{gone}" + (" (changed since)" if name in changed else "")))
    return EXIT_OK


def _described(plan: Plan, changed: list[str]) -> list[str]:
    lines = []
    for file in plan.files:
        state = "" if str(file.path) in changed else " (there already)"
        lines += [f"{file.path}{state}", *(f"  | {line}" for line in file.text.splitlines()), ""]
    commands = plan.start if changed else ()
    lines += [f"runs: {' '.join(command.words)}" for command in commands]
    return [*lines, *plan.notes]


def _undoing(plan: Plan, record: Record) -> list[Sequence[str]]:
    commands: list[Sequence[str]] = [command.words for command in (*plan.stop, *plan.after)]
    return [*commands, apply.LINGER_OFF] if record.linger else commands


def _plan_of(record: Record, state: Path) -> Plan:
    """Return the plan of an installed service, for its commands; its files are in the record."""
    return plan_for(_request_for(record.kind, record.name, state))


def _request(options: argparse.Namespace, state: Path, agent_words: list[str]) -> Request:
    if not _NAME.fullmatch(options.name):
        raise ServiceError("A name has small letters, digits and hyphens.")
    parsed = agent_parser().parse_args(agent_words)
    defaults = agent_parser().parse_args([])
    for name, why in _REFUSED.items():
        if getattr(parsed, name) != getattr(defaults, name):
            raise ServiceError(f"--{name.replace('_', '-')}: {why}")
    return _request_for(
        options.kind or _kind_here(),
        options.name,
        state,
        agent_words,
        drain_seconds=parsed.drain_seconds,
        presence=options.presence,
    )


def _request_for(
    kind: Kind,
    name: str,
    state: Path,
    agent_words: Sequence[str] = (),
    *,
    drain_seconds: float = 0.0,
    presence: bool = True,
) -> Request:
    return Request(
        kind=kind,
        program=this_program(state),
        state=state,
        home=Path.home(),
        user=getpass.getuser(),
        uid=os.getuid() if hasattr(os, "getuid") else 0,
        name=name,
        options=tuple(agent_words),
        drain_seconds=drain_seconds,
        presence=presence,
        hardened=not _needs_new_rights(),
        variables=os.environ,
    )


def _kind_here() -> Kind:
    return {"darwin": Kind.LAUNCHD, "win32": Kind.STARTUP}.get(sys.platform, Kind.SYSTEMD)


def _has_systemd() -> bool:
    return shutil.which("systemctl") is not None and Path("/run/systemd/system").is_dir()


def _needs_new_rights() -> bool:
    """Return whether this machine's bubblewrap gets its rights from the set-user-id bit."""
    bubblewrap = shutil.which("bwrap")
    return bubblewrap is not None and bool(Path(bubblewrap).stat().st_mode & stat.S_ISUID)


def _wants_linger(options: argparse.Namespace) -> bool:
    if options.linger is not None:
        return bool(options.linger)
    if Path("/var/lib/systemd/linger", getpass.getuser()).exists():
        return False  # somebody has asked for it before, and `remove` must not take it away
    # Only asked, never assumed: it keeps more than this worker running while nobody is signed in.
    return not options.yes and ask("Shall it also work while you are not signed in?", yes=False)


def _split(words: list[str]) -> tuple[list[str], list[str]]:
    """Return the words of this command, and those after ``--``, which are the agent's."""
    if "--" not in words:
        return words, []
    place = words.index("--")
    return words[:place], words[place + 1 :]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="xeenet-worker service",
        allow_abbrev=False,
        usage="xeenet-worker service [install | remove] [options] [-- options of the agent]",
        description="Start the worker with the machine or with your session. Says first what it "
        "will write and run; without an action it says what is installed.",
    )
    add = parser.add_argument
    add("action", nargs="?", choices=("install", "remove"), help="without: show")
    add("--print", action="store_true", help="only say what would be done")
    add("--yes", action="store_true", help="do not ask")
    add("--name", default=DEFAULT_NAME, help="of a second worker's service on this machine")
    add(
        "--linger",
        action=argparse.BooleanOptionalAction,
        help="work while you are not signed in, too (systemd; without: ask)",
    )
    add(
        "--presence",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="let a helper in your session tell whether you are there (systemd; default)",
    )
    add("--kind", type=Kind, choices=list(Kind), help=argparse.SUPPRESS)  # to look at the others
    help_text = f"the agent's state folder (default: {HOME_VARIABLE}, or the usual place)"
    add("--state-dir", type=Path, help=help_text)
    return parser
