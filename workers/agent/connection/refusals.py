"""What a refused claim means: words and advice for the owner, and whether the agent ends."""

from __future__ import annotations

from dataclasses import dataclass

from workers.agent.connection.client import NotAuthenticated, RequestRefused


@dataclass(frozen=True)
class ClaimRefusal:
    """A refused claim, for people. ``ends_agent``: no later claim would be granted."""

    words: str
    advice: str = ""
    ends_agent: bool = False


def explain_refusal(refused: RequestRefused, *, once: bool) -> ClaimRefusal:
    """Return what a refused claim means to an agent; ``once``: to one that never waits."""
    if isinstance(refused, NotAuthenticated):
        return ClaimRefusal(
            f"the server does not know this worker's token ({refused})",
            "Enrol this machine again: get a token on the server, start with --enrol.",
            ends_agent=True,
        )
    if refused.status == 403:
        return ClaimRefusal(
            f"the server lets this worker claim nothing: {refused}",
            "An operator of it decides that.",
            ends_agent=once,
        )
    return ClaimRefusal(f"the server refused the claim ({refused.status}): {refused}")
