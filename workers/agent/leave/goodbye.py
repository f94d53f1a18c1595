"""The server's side of leaving: deliver what waits, then end the worker there."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import Final

from workers.agent.connection.client import (
    Client,
    NotAuthenticated,
    RequestRefused,
    ServerError,
)
from workers.agent.connection.exchange import OutOfTime, within
from workers.agent.delivery.outbox import Outbox
from workers.agent.exits import EXIT_WORKER_IN_USE
from workers.agent.state import Credentials
from workers.agent.status import words
from workers.agent.status.board import StatusBoard
from workers.features import Feature

_LOOK_SECONDS: Final = 0.1
_RETIRE_SECONDS: Final = 10.0  # a job must end, and its server notices by itself

log = logging.getLogger("xeenet.agent")


@dataclass(frozen=True)
class Farewell:
    """How the server took it: whether the worker is ended there, and what a person must know."""

    is_ended: bool
    sentence: str


def deliver(outbox: Outbox, client: Client, seconds: float) -> int:
    """Send what waits, for so long at most; return how many results still wait."""
    if not outbox.pending_lease_ids():
        return 0
    stop, end = threading.Event(), time.monotonic() + seconds
    delivery = threading.Thread(
        target=outbox.deliver_until, args=(client, stop), name="delivery", daemon=True
    )
    delivery.start()
    while outbox.pending_lease_ids() and time.monotonic() < end:
        time.sleep(_LOOK_SECONDS)
    stop.set()
    outbox.wake()
    delivery.join(_LOOK_SECONDS)
    return len(outbox.pending_lease_ids())


def say_goodbye(credentials: Credentials, client: Client) -> Farewell:
    """End the worker on its server, as far as that goes."""
    server, name = words.host(credentials.server_url), credentials.name
    try:
        if Feature.LEAVING not in client.features():
            return Farewell(
                False,
                f"{server} is older and cannot end a worker by itself: {name} stays in its list, "
                "and its token would still open it. Ask an operator there to disable the worker.",
            )
        reply = client.leave()
    except NotAuthenticated:
        return Farewell(True, f"{server} does not know this worker any more.")
    except RequestRefused as refused:
        if refused.status == 403:
            return Farewell(True, f"An operator of {server} has disabled {name} already.")
        return _not_ended(server, name, refused)
    except ServerError as error:
        return _not_ended(server, name, error)
    released = reply["released"]
    back = f", and {words.count(released, 'task')} of it went back" if released else ""
    return Farewell(
        True, f"{name} has left {server}{back}. Its results stay there; its token opens nothing."
    )


def retire(credentials: Credentials, client: Client, board: StatusBoard) -> None:
    """End an ephemeral worker on its server at the end of its job, and log how that went.

    Its server does so by itself when the worker is silent for minutes. Where a newer agent has
    taken it over, it is not this one's any more.
    """
    if board.status.exit_code == EXIT_WORKER_IN_USE:
        return
    try:
        farewell = within(_RETIRE_SECONDS, lambda: say_goodbye(credentials, client))
    except OutOfTime as error:
        farewell = _not_ended(words.host(credentials.server_url), credentials.name, error)
    log.info("%s", farewell.sentence)


def _not_ended(server: str, name: str, error: Exception) -> Farewell:
    return Farewell(
        False,
        f"{name} could not be ended on {server}: {error}. There it stays in the list, and its "
        "token would still open it, until an operator disables the worker.",
    )
