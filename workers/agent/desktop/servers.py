"""Whether a XeeNet server answers at an address, and how fast. No token is sent."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from workers.agent.connection.client import Client, Redirected, ServerUnavailable
from workers.agent.connection.exchange import within
from workers.agent.enrolment import is_encrypted

_TRIES: Final = 3  # the first one also pays for the connection
_ANSWER_SECONDS: Final = 15.0


@dataclass(frozen=True)
class ServerTest:
    """The address at which a server answered, or why none did."""

    server_url: str = ""
    milliseconds: float = 0.0
    problem: str = ""
    is_encrypted: bool = True
    is_reachable: bool = True  # somebody answered there, if not a server of ours


def try_server(
    candidates: Sequence[str],
    *,
    client_at: Callable[[str], Client] = Client,
    seconds: Callable[[], float] = time.perf_counter,
) -> ServerTest:
    """Return the first candidate at which a XeeNet server answers.

    Each is asked without a token and without a word of who asks.
    """
    first = None
    for address in candidates:
        test = _tested(address, client_at, seconds, follows=True)
        first = first or test
        if not test.problem:
            return test
        if not test.is_reachable:  # all of them are on one machine
            break
    return first or ServerTest(problem="That is no web address.")


def _tested(
    address: str,
    client_at: Callable[[str], Client],
    seconds: Callable[[], float],
    *,
    follows: bool,
) -> ServerTest:
    client = client_at(address)
    times: list[float] = []

    def probe() -> None:
        for _ in range(_TRIES):
            began = seconds()
            client.probe()
            times.append(seconds() - began)

    try:
        within(_ANSWER_SECONDS, probe)
    except Redirected as error:
        moved = error.server_url  # such as from http to https
        if follows and moved and urlsplit(moved).hostname == urlsplit(address).hostname:
            return _tested(moved, client_at, seconds, follows=False)
        return _no(error)
    except Exception as error:  # noqa: BLE001 (any address that a person can type comes here)
        if not times:
            return _no(error)
    finally:
        client.close()
    return ServerTest(address, 1000 * statistics.median(times), "", is_encrypted(address))


def _no(error: Exception) -> ServerTest:
    if isinstance(error, ServerUnavailable):
        return ServerTest(problem=str(error), is_reachable=error.answered)
    return ServerTest(problem=type(error).__name__, is_reachable=False)
