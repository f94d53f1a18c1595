"""``xeenet-worker leave``: ends the worker, then offers to delete what it has on this machine.

The exit code is 0 when the worker has left or the owner changed their mind, 2 where nobody can be
asked, 3 while an agent runs or the folder cannot be used, and 5 when the server cannot be reached
and nobody said to leave without it.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from workers.agent.connection.client import Client
from workers.agent.delivery.outbox import Outbox
from workers.agent.exits import EXIT_CANNOT_RUN, EXIT_OK, EXIT_STATE_FOLDER, EXIT_USAGE
from workers.agent.leave.belongings import (
    CREDENTIALS_FILE,
    ENVIRONMENTS,
    ID_FILE,
    Belonging,
    belongings,
    delete,
    delete_empty,
    environments_of,
    links_among,
)
from workers.agent.leave.goodbye import Farewell, deliver, say_goodbye
from workers.agent.plain_text import plain
from workers.agent.questions import NobodyToAsk, ask
from workers.agent.service.command import installed_service, remove_service
from workers.agent.service.plan import ServiceError
from workers.agent.service.record import Record
from workers.agent.setup.environments import Environments, SetUpRuns
from workers.agent.state import (
    HOME_VARIABLE,
    LOCK_FILE,
    STATUS_FILE,
    Credentials,
    StateFolder,
    StateFolderError,
    default_state_folder,
)
from workers.agent.status import words
from workers.agent.status.file import read_status

_DELIVERY_SECONDS: Final = 60.0
# How long an agent may take to end after its service was stopped.
_STOP_SECONDS: Final = 30.0


class _Stays(Exception):
    """The worker does not leave; the message says why, and what to do."""


def leave_command(arguments: Sequence[str]) -> int:
    """End the worker as the words after "leave" say; return the exit code."""
    options = _parser().parse_args(list(arguments))
    root = (options.state_dir or default_state_folder()).expanduser().absolute()
    log = logging.getLogger("xeenet")
    level = log.level
    log.setLevel(logging.ERROR)  # the sentences here say it all
    try:
        if not _is_state_folder(root):
            print(plain(f"No worker has its state in {root}: nothing to leave."))
            return EXIT_OK
        return _leave(options, root)
    except NobodyToAsk as error:
        print(plain(error), file=sys.stderr)
        return EXIT_USAGE
    except _Stays as error:
        print(plain(error), file=sys.stderr)
        return EXIT_CANNOT_RUN
    except (OSError, ServiceError, StateFolderError) as error:
        print(plain(error, keep="\n"), file=sys.stderr)
        return EXIT_STATE_FOLDER
    finally:
        log.setLevel(level)


def _is_state_folder(root: Path) -> bool:
    """Return whether an agent made this folder: nothing is ever deleted in another one."""
    return any(os.path.lexists(root / name) for name in (ID_FILE, CREDENTIALS_FILE))


def _leave(options: argparse.Namespace, root: Path) -> int:
    service, state = installed_service(root), StateFolder(root)
    if service is None:
        _check_that_no_agent_runs(state)
    credentials = state.load_credentials()
    for line in _announced(root, credentials, service):
        print(plain(line))
    if not ask("Leave now?", yes=options.yes):
        print("Nothing was changed.")
        return EXIT_OK
    if service is not None:
        for problem in remove_service(root, service):
            print(plain(problem), file=sys.stderr)
        print("The service is removed.")
        _wait_for_its_agent(state)
    with state.locked():
        if credentials is not None:
            farewell = _goodbye(options, state, credentials)
            print(plain(farewell.sentence))
        (root / CREDENTIALS_FILE).unlink(missing_ok=True)
        kept = {
            belonging.title
            for belonging in belongings(root)
            if not _offer(belonging, root, options)
        }
    delete_empty(environments_of(root))
    if kept <= {ENVIRONMENTS}:  # which lie beside it
        (root / LOCK_FILE).unlink(missing_ok=True)  # nobody holds it any more
        if left := delete_empty(root):
            print(plain(f"In {root} stays what no agent made: {', '.join(left[:10])}"))
    return EXIT_OK


def _announced(root: Path, credentials: Credentials | None, service: Record | None) -> list[str]:
    lines = []
    if credentials is None:
        lines.append(f"The worker of {root} is not enrolled: there is no server to leave.")
    else:
        server = words.host(credentials.server_url)
        lines.append(
            f"{credentials.name} leaves {server}: results that wait are sent, tasks go back, and "
            "its token is thrown away. To join again it needs a new invitation."
        )
    if service is not None:
        lines.append(f"The service {service.name} is stopped and removed.")
    lines += [_line(belonging) for belonging in belongings(root)]
    return lines


def _line(belonging: Belonging) -> str:
    return f"  {words.size(belonging.size_bytes):>8}  {belonging.title}: {belonging.about}"


def _goodbye(options: argparse.Namespace, state: StateFolder, stored: Credentials) -> Farewell:
    """End the worker on its server. Raises `_Stays` when that fails and nobody wants it so."""
    client = Client(stored.server_url, stored.token)
    without = options.without_server
    try:
        waiting = deliver(Outbox(state.outbox), client, 0.0 if without else _DELIVERY_SECONDS)
        if waiting and not without:
            lost = f"{words.count(waiting, 'result')} cannot be sent now and would be lost."
            if options.yes or not ask(f"{lost} Leave all the same?", yes=False):
                raise _Stays(f"{lost} Try again later, or add --without-server.")
        farewell = say_goodbye(stored, client)
    finally:
        client.close()
    if farewell.is_ended or without:
        return farewell
    question = f"{farewell.sentence} Leave here all the same?"
    if options.yes or not ask(question, yes=False):
        raise _Stays(f"{farewell.sentence} To leave here all the same: --without-server")
    return farewell


def _offer(belonging: Belonging, root: Path, options: argparse.Namespace) -> bool:
    """Delete this, if the owner wants it; return whether it is gone."""
    size = words.size(belonging.size_bytes)
    wants = options.delete
    if not (options.keep or options.delete or options.yes):
        wants = ask(f"Delete the {belonging.title} ({size})?", yes=False, instead="--keep")
    if not wants:
        print(plain(f"Kept: the {belonging.title} ({size}), in {belonging.paths[0].parent}"))
        return False
    for link in links_among(belonging.paths):
        print(plain(f"{link} is a link: what it points to stays."))
    try:
        with _unused(belonging, root):
            left = delete(belonging)
    except SetUpRuns as error:
        print(plain(f"Not deleted: the {belonging.title}, because {error}."), file=sys.stderr)
        return False
    if left:
        print(plain(f"Not deleted: {', '.join(map(str, left))}"), file=sys.stderr)
        return False
    if belonging.title == ENVIRONMENTS:
        (environments_of(root) / LOCK_FILE).unlink(missing_ok=True)  # nobody holds it any more
    print(plain(f"Deleted: the {belonging.title} ({size})"))
    return True


def _unused(belonging: Belonging, root: Path) -> contextlib.AbstractContextManager[object]:
    """Hold what is to be deleted. Raises `SetUpRuns` when a set-up works on it."""
    if belonging.title == ENVIRONMENTS:
        return Environments(root).locked()
    return contextlib.nullcontext()


def _check_that_no_agent_runs(state: StateFolder) -> None:
    """Raise `StateFolderError` while an agent has the folder."""
    try:
        with state.locked():
            return
    except StateFolderError as error:
        status = read_status(state.root / STATUS_FILE).status
        process = f" (process {status.identity.pid})" if status is not None else ""
        raise StateFolderError(
            f"An agent works on {state.root}{process}. Stop it first: q on its card, Stop on its "
            "page, or Ctrl-C twice; its tasks go back. Then leave."
        ) from error


def _wait_for_its_agent(state: StateFolder) -> None:
    end = time.monotonic() + _STOP_SECONDS
    while True:
        try:
            return _check_that_no_agent_runs(state)
        except StateFolderError:
            if time.monotonic() > end:
                raise
            time.sleep(0.5)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="xeenet-worker leave",
        allow_abbrev=False,
        description="End this worker on its server, then delete what you want of it here.",
        epilog="Exit codes: 0 it has left, 3 an agent runs or the folder cannot be used, 5 its "
        "server cannot be reached.",
    )
    add = parser.add_argument
    add("--yes", action="store_true", help="do not ask; keeps the files unless --delete")
    what = parser.add_mutually_exclusive_group()
    help_text = "delete environments, data sets and state without asking for each"
    what.add_argument("--delete", action="store_true", help=help_text)
    what.add_argument("--keep", action="store_true", help="delete only the token")
    help_text = "leave here also if the server cannot be reached; results that wait are lost"
    add("--without-server", action="store_true", help=help_text)
    place = f"the agent's state folder (default: {HOME_VARIABLE}, or the platform's usual place)"
    add("--state-dir", type=Path, help=place)
    return parser
