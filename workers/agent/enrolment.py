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
    NotAuthenticated,
    Redirected,
    RequestRefused,
    ServerError,
    ServerUnavailable,
)
from workers.agent.connection.server_errors import fault_of
from workers.agent.exits import (
    EXIT_CANNOT_RUN,
    EXIT_NOT_AUTHENTICATED,
    EXIT_OK,
    EXIT_USAGE,
    StartError,
)
from workers.agent.running.hardware import Machine
from workers.agent.secrecy import ENROLMENT_VARIABLE, TOKEN_VARIABLE, take_secret
from workers.agent.state import Credentials, StateFolder
from workers.agent.status.board import StatusBoard
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
) -> Credentials:
    """Return server and token from the options, the environment, the state folder or enrolment.

    Enrolment stores its credentials. It waits for its server, which the board tells, until
    ``gives_up`` is set. Raises `StartError`.
    """
    stored = state.load_credentials()
    server_url = options.server or ""
    from_environment = take_secret(TOKEN_VARIABLE), take_secret(ENROLMENT_VARIABLE)
    token = options.token or from_environment[0]
    enrolment_token = options.enrol or from_environment[1]
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
        raise StartError(
            "This worker is not enrolled. Make an enrolment token on the server's page for "
            "workers, then start with --server URL --enrol TOKEN.",
            EXIT_USAGE,
        )
    if not server_url:
        raise StartError("Enrolment needs a server: add --server URL.", EXIT_USAGE)
    if not _TOKEN.fullmatch(enrolment_token):
        raise StartError("The enrolment token must be one word, as it was shown.", EXIT_USAGE)
    host = socket.gethostname()[:64]
    names = [options.name] if options.name else [host, f"{host}-{state.agent_id[:6]}"]
    credentials = _enrol(
        server_url,
        enrolment_token,
        names,
        machine,
        board or StatusBoard(),
        gives_up or threading.Event(),
    )
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


def _enrol(
    server_url: str,
    enrolment_token: str,
    names: list[str],
    machine: Machine,
    board: StatusBoard,
    gives_up: threading.Event,
) -> Credentials:
    """Exchange the enrolment token for credentials, waiting for the server as long as it takes.

    The worker gets the first of ``names`` that is free. Raises `StartError` for a refusal.
    """
    warn_if_not_encrypted(server_url)
    client, backoff = Client(server_url), Backoff()
    request: EnrolRequest = {
        "enrolment_token": enrolment_token,
        "name": names[0],
        "hardware": machine.hardware,
        "agent_version": AGENT_VERSION,
    }
    last_problem, is_probed, is_sent = "", False, False
    board.identify(server=server_url, name=names[0])
    board.setting_up("joins its server")
    try:
        while True:
            try:
                if not is_probed:
                    client.probe()
                is_probed = is_sent = True
                reply = client.enrol(request)
                board.mended("claim")
                return Credentials(server_url, reply["token"], reply["name"])
            except ServerUnavailable as error:
                # Whoever answered in the server's place gets the token once at most.
                is_probed = is_probed and not error.answered
                if isinstance(error, Redirected) and error.server_url:
                    raise StartError(f"Not enrolled: {error}", EXIT_USAGE) from error
                if str(error) != last_problem:
                    words = f"no answer from {server_url}, trying on: {error}"
                    board.trouble("claim", fault_of(error), words)
                last_problem = str(error)
                if gives_up.wait(backoff.next_wait(error.retry_after_seconds)):
                    raise StartError("Ended before it had joined.", EXIT_OK) from error
            except RequestRefused as refused:
                if refused.status == 400 and request["name"] != names[-1]:
                    request["name"] = names[names.index(request["name"]) + 1]
                    continue
                raise StartError(
                    f"The server refused the enrolment: {refused} "
                    + _advice(refused, is_repeated=is_sent and bool(last_problem)),
                    EXIT_NOT_AUTHENTICATED,
                ) from refused
    finally:
        client.close()


def _advice(refused: RequestRefused, *, is_repeated: bool) -> str:
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


def _check_token_kind(token: str) -> None:
    if token.startswith("xe_"):
        raise StartError("This is an enrolment token: use it with --enrol.", EXIT_USAGE)
    if token.startswith("xp_"):
        raise StartError(
            "This is a personal token, which cannot claim tasks. Enrol this machine as a worker.",
            EXIT_USAGE,
        )
    if not _TOKEN.fullmatch(token):
        raise StartError("The token must be one word, as it was shown.", EXIT_USAGE)
