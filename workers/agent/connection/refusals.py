"""What a refused claim means: words and advice for the owner, and whether the agent ends."""

from __future__ import annotations

from dataclasses import dataclass

from workers.agent.connection.client import NotAuthenticated, RequestRefused
from workers.agent.exits import EXIT_NOT_AUTHENTICATED, EXIT_WORKER_IN_USE
from workers.protocol import ErrorCode

_NOT_ACCEPTED = "the server does not accept this worker"


@dataclass(frozen=True)
class ClaimRefusal:
    """A refused claim, for people.

    Where no later claim would be granted there is an ``exit_code``, and ``end_words`` say why.
    """

    words: str
    advice: str = ""
    exit_code: int | None = None
    end_words: str = ""


def explain_refusal(
    refused: RequestRefused, *, once: bool, ephemeral: bool = False
) -> ClaimRefusal:
    """Return what a refused claim means to an agent; ``once``: to one that never waits."""
    if isinstance(refused, NotAuthenticated):
        return ClaimRefusal(
            f"the server does not know this worker's token ({refused})",
            "It was silent for too long, or its fleet token was revoked. A new job joins again."
            if ephemeral
            else "Enrol this machine again: get a token on the server, start with --enrol.",
            EXIT_NOT_AUTHENTICATED,
            _NOT_ACCEPTED,
        )
    if refused.code == ErrorCode.WORKER_IN_USE:
        return ClaimRefusal(
            f"a newer agent works with this worker's token: {refused}",
            "This one finishes what runs, and ends. Give each agent a worker of its own.",
            EXIT_WORKER_IN_USE,
            "a newer agent works with this worker's token, so this one has ended",
        )
    if refused.status == 403:
        return ClaimRefusal(
            f"the server lets this worker claim nothing: {refused}",
            "An operator of it decides that.",
            EXIT_NOT_AUTHENTICATED if once else None,
            _NOT_ACCEPTED if once else "",
        )
    return ClaimRefusal(f"the server refused the claim ({refused.status}): {refused}")
