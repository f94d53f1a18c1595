"""The worker's credentials: from options, environment, state folder or enrolment."""

from __future__ import annotations

import argparse
import logging
import re
import socket
import threading
from typing import Final
from urllib.parse import urlsplit

from workers.agent import AGENT_VERSION
from workers.agent.backoff import Backoff
from workers.agent.connection.client import (
    Client,
    CredentialsDropped,
    FleetFull,
    NotAuthenticated,
    Redirected,
    RequestRefused,
    ServerError,
    ServerUnavailable,
)
from workers.agent.connection.server_errors import fault_of
from workers.agent.ephemeral.lifetime import Lifetime
from workers.agent.ephemeral.machine_key import machine_key
from workers.agent.ephemeral.token import FLEET_PREFIX, ONLY_EPHEMERAL, fleet_token
from workers.agent.exits import (
    EXIT_CANNOT_RUN,
    EXIT_NOT_AUTHENTICATED,
    EXIT_OK,
    EXIT_USAGE,
    StartError,
)
from workers.agent.running.hardware import Machine
from workers.agent.secrecy import (
    ENROLMENT_VARIABLE,
    FLEET_VARIABLE,
    TOKEN_VARIABLE,
    take_secret,
)
from workers.agent.state import Credentials, StateFolder
from workers.agent.status.board import StatusBoard
from workers.agent.status.model import Fault
from workers.agent.status.words import span
from workers.protocol import EnrolRequest

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
# A token becomes a header, which is one line of ASCII.
_TOKEN: Final = re.compile(r"[!-~]+")

log = logging.getLogger("xeenet.agent")


def find_credentials(
    options: argparse.Namespace,
    state: StateFolder,
    machine: Machine,
    board: StatusBoard | None = None,
    gives_up: threading.Event | None = None,
    lifetime: Lifetime | None = None,
) -> Credentials:
    """Return server and token from the options, the environment, the state folder or enrolment.

    Enrolment stores its credentials, except an ephemeral worker's. It waits for its server, which
    the board tells, until ``gives_up`` is set or the agent's ``lifetime`` is over. Raises
    `StartError`.
    """
    wait = _Wait(gives_up or threading.Event(), lifetime or Lifetime())
    board = board or StatusBoard()
    stored = state.load_credentials()
    server_url = options.server or ""
    from_environment = take_secret(TOKEN_VARIABLE), take_secret(ENROLMENT_VARIABLE)
    token = options.token or from_environment[0]
    enrolment_token = options.enrol or from_environment[1]
    if options.ephemeral:
        return _join_fleet(options, bool(token or enrolment_token), machine, board, wait)
    if token:
        _check_token_kind(token)
        if not server_url:
            raise StartError("A token needs its server: add --server URL.", EXIT_USAGE)
        warn_if_not_encrypted(server_url)
        return Credentials(server_url, token, name="")
    if stored is not None:
        if server_url and server_url != stored.server_url:
            stored = _moved(stored, server_url, state)
        if enrolment_token:
            log.info("already enrolled as %r, the enrolment token is not used", stored.name)
        warn_if_not_encrypted(stored.server_url)
        return stored
    if not enrolment_token:
        fleet = f" {FLEET_VARIABLE} is set: --ephemeral uses it." * bool(
            take_secret(FLEET_VARIABLE)
        )
        raise StartError(
            "This worker is not enrolled. Make an enrolment token on the server's page for "
            f"workers, then start with --server URL --enrol TOKEN.{fleet}",
            EXIT_USAGE,
        )
    if not server_url:
        raise StartError("Enrolment needs a server: add --server URL.", EXIT_USAGE)
    _check_enrolment_token(enrolment_token)
    host = socket.gethostname()[:64]
    names = [options.name] if options.name else [host, f"{host}-{state.agent_id[:6]}"]
    request = _request(enrolment_token, machine)
    credentials = _enrol(server_url, request, names, board, wait)
    state.store_credentials(credentials)
    log.info("enrolled as %r; the next start needs no token", credentials.name)
    return credentials


def warn_if_not_encrypted(server_url: str) -> None:
    """Warn when tokens would travel over the network in the clear."""
    if not is_encrypted(server_url):
        log.warning("%s is not encrypted: the worker's token travels in the clear", server_url)


def is_encrypted(server_url: str) -> bool:
    """Return whether nobody on the way can read a token that is sent to this address."""
    parts = urlsplit(server_url)
    return parts.scheme != "http" or parts.hostname in _LOOPBACK


def rotate_token(state: StateFolder) -> int:
    """Exchange the stored token for a new one; return the exit code.

    Raises `StartError` when no token is stored or the server does not exchange it.
    """
    stored = state.load_credentials()
    if stored is None:
        raise StartError(
            "There is no stored token to exchange: only an enrolled worker has one.", EXIT_USAGE
        )
    client = Client(stored.server_url, stored.token)
    try:
        token = client.rotate_token()["token"]
    except (CredentialsDropped, Redirected) as error:
        raise StartError(f"No new token, the stored one stays: {error}", EXIT_CANNOT_RUN) from error
    except NotAuthenticated as refused:
        raise StartError(
            f"The server does not know the stored token ({refused}). Enrol this worker again.",
            EXIT_NOT_AUTHENTICATED,
        ) from refused
    except ServerError as error:
        raise StartError(
            f"No new token: {error}. Try again; should the server then not know this worker any "
            "more, the answer was lost on its way: enrol this worker again.",
            EXIT_CANNOT_RUN,
        ) from error
    finally:
        client.close()
    state.store_credentials(Credentials(stored.server_url, token, stored.name))
    log.info("worker %r has a new token; the old one is dead", stored.name)
    return EXIT_OK


class _Wait:
    """Waits of an agent that has not joined: until it is to end, or its own time is over."""

    def __init__(self, gives_up: threading.Event, lifetime: Lifetime) -> None:
        self._gives_up = gives_up
        self._lifetime = lifetime

    def __call__(self, seconds: float) -> None:
        """Return after ``seconds``. Raises `StartError` when the agent ends instead."""
        self._check_time()
        if self._gives_up.wait(min(seconds, self._lifetime.patience())):
            raise StartError("Ended before it had joined.", EXIT_OK)
        self._check_time()

    def _check_time(self) -> None:
        if why := self._lifetime.why_over(is_idle=True):
            raise StartError(f"Ended before it had joined: {why}.", EXIT_OK)


def _join_fleet(
    options: argparse.Namespace,
    has_other_token: bool,
    machine: Machine,
    board: StatusBoard,
    wait: _Wait,
) -> Credentials:
    """Return the credentials of an ephemeral worker; nothing is stored. Raises `StartError`."""
    if has_other_token:
        raise StartError(
            "--ephemeral joins by a fleet token: leave out --token and --enrol, and unset "
            f"{TOKEN_VARIABLE} and {ENROLMENT_VARIABLE}.",
            EXIT_USAGE,
        )
    key = machine_key()
    request = _request(fleet_token(options.fleet_token_file), machine)
    log.info("this machine's key %s… is made %s", key.text[:8], key.origin)
    request["machine_key"] = key.text
    credentials = _enrol(options.server, request, [], board, wait)
    log.info("joined as %r, until this job ends", credentials.name)
    return credentials


def _request(token: str, machine: Machine) -> EnrolRequest:
    return {
        "enrolment_token": token,
        "hardware": machine.hardware,
        "agent_version": AGENT_VERSION,
    }


def _enrol(
    server_url: str,
    request: EnrolRequest,
    names: list[str],
    board: StatusBoard,
    wait: _Wait,
) -> Credentials:
    """Exchange the token of the request for credentials, waiting for the server.

    The worker gets the first of ``names`` that is free, without any the server's choice. Raises
    `StartError` for a refusal, and when the wait is over.
    """
    warn_if_not_encrypted(server_url)
    client, backoff = Client(server_url), Backoff()
    if names:
        request["name"] = names[0]
    last_problem, is_probed, is_sent = "", False, False
    board.identify(server=server_url, name=request.get("name", ""))
    board.setting_up("joins its server")
    try:
        while True:
            try:
                if not is_probed:
                    client.probe()
                is_probed = is_sent = True
                reply = client.enrol(request)
                board.mended("claim")
                board.mended("fleet")
                return Credentials(server_url, reply["token"], reply["name"])
            except FleetFull as full:
                backoff.reset()  # the server is there, and says how long to wait
                seconds = backoff.next_wait(full.retry_after_seconds)
                again = span(full.retry_after_seconds or seconds)
                words = f"the fleet has no place for it, it asks again every {again}: {full}"
                board.setting_up("waits for a place in its fleet")
                board.trouble("fleet", Fault.NOBODY, words)
                wait(seconds)
            except ServerUnavailable as error:
                # Whoever answered in the server's place gets the token once at most.
                is_probed = is_probed and not error.answered
                if isinstance(error, Redirected) and error.server_url:
                    raise StartError(f"Not enrolled: {error}", EXIT_USAGE) from error
                if str(error) != last_problem:
                    words = f"no answer from {server_url}, trying on: {error}"
                    board.trouble("claim", fault_of(error), words)
                last_problem = str(error)
                wait(backoff.next_wait(error.retry_after_seconds))
            except RequestRefused as refused:
                if refused.status == 400 and names and request["name"] != names[-1]:
                    request["name"] = names[names.index(request["name"]) + 1]
                    continue
                raise StartError(
                    f"The server refused the enrolment: {refused} "
                    + _advice(refused, request, is_repeated=is_sent and bool(last_problem)),
                    EXIT_NOT_AUTHENTICATED,
                ) from refused
    finally:
        client.close()


def _advice(refused: RequestRefused, request: EnrolRequest, *, is_repeated: bool) -> str:
    if "machine_key" in request:
        return "Ask an operator of it for a fleet token that is valid."
    if refused.status == 400:
        return "In a terminal: --name NAME."
    advice = "Enrolment tokens work once; make a new one on the server's page for workers."
    if is_repeated:
        advice += " The answer to an earlier try may have been lost after the token was used."
    return advice


def _moved(stored: Credentials, server_url: str, state: StateFolder) -> Credentials:
    """Return the credentials for the same server under https. Raises `StartError` for others.

    The token goes to no other host and never from https back to http. The new address is stored
    once a XeeNet server answers there.
    """
    before, now = urlsplit(stored.server_url), urlsplit(server_url)
    if (before.scheme, now.scheme) != ("http", "https") or before.hostname != now.hostname:
        raise StartError(
            f"This worker is enrolled at {stored.server_url}, not at {server_url}. Give the other "
            "server its own --state-dir. If the same server has moved, write its new address into "
            f"{state.root / 'credentials.json'}.",
            EXIT_USAGE,
        )
    moved = Credentials(server_url, stored.token, stored.name)
    client = Client(server_url)  # without the token
    try:
        client.probe()
        state.store_credentials(moved)
        log.info("the server's address is now %s", server_url)
    except ServerUnavailable as error:
        log.warning("the new address %s is used but not stored yet: %s", server_url, error)
    finally:
        client.close()
    return moved


def _check_enrolment_token(token: str) -> None:
    if token.startswith(FLEET_PREFIX):
        raise StartError(ONLY_EPHEMERAL, EXIT_USAGE)
    if not _TOKEN.fullmatch(token):
        raise StartError("The enrolment token must be one word, as it was shown.", EXIT_USAGE)


def _check_token_kind(token: str) -> None:
    if token.startswith("xe_"):
        raise StartError("This is an enrolment token: use it with --enrol.", EXIT_USAGE)
    if token.startswith(FLEET_PREFIX):
        raise StartError(ONLY_EPHEMERAL, EXIT_USAGE)
    if token.startswith("xp_"):
        raise StartError(
            "This is a personal token, which cannot claim tasks. Enrol this machine as a worker.",
            EXIT_USAGE,
        )
    if not _TOKEN.fullmatch(token):
        raise StartError("The token must be one word, as it was shown.", EXIT_USAGE)
