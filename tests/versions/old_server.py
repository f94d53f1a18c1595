"""A server that answers the agent as one of 0.1.0 did, from the recording."""

from __future__ import annotations

import re
from typing import Any

from tests.agent.server import AgentServer, Reply
from tests.versions import recorded
from workers.protocol import CLAIM_PATH, HEARTBEAT_PATH, ME_PATH

_PATHS = [re.compile(re.sub(r"\{\w+\}", "[^/]+", path)) for path in recorded.PATHS]
_SUBMISSION = {*recorded.KEYS["Submission"]}
_FAILURES = recorded.WORDS["FailureClass"]


def _recorded(name: str) -> Reply:
    exchange = recorded.exchange(name)
    return Reply(exchange["status"], exchange["reply"])


class OldServer(AgentServer):
    """Names no features, answers unknown addresses and words with 404, 400 and 422.

    It ignores unknown keys, and notes them in `unknown_keys`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.unknown_keys: set[str] = set()
        self.refused: list[Any] = []

    def _normal(self, path: str, body: Any) -> Reply:
        if not any(known.fullmatch(path) for known in _PATHS):
            self.refused.append(path)
            return _recorded("unknown address")
        if path == ME_PATH:
            return _recorded("me")
        if path == CLAIM_PATH:
            self._note(body, "ClaimRequest")
            self._note(body.get("hardware", {}), "Hardware")
            return self._as_recorded(path, body, "claim, a task")
        if path == HEARTBEAT_PATH:
            self._note(body, "HeartbeatRequest")
            return self._as_recorded(path, body, "heartbeat")
        if path.endswith("/result"):
            return self._as_then(path, body)
        return super()._normal(path, body)

    def _as_recorded(self, path: str, body: Any, name: str) -> Reply:
        """Answer as usual, with the keys of the recorded reply alone."""
        reply = super()._normal(path, body)
        keys = recorded.exchange(name)["reply"].keys()
        return Reply(reply.status, {key: reply.body[key] for key in keys})

    def _as_then(self, path: str, body: Any) -> Reply:
        self._note(body, "Submission")
        metrics = body.get("metrics") or {}
        is_sound = metrics.get("val_bpb") is not None or metrics.get("diverged") is True
        if body.get("failure_class") not in (None, *_FAILURES):
            self.refused.append(body)
            return _recorded("submit an unknown failure class")
        if metrics and not is_sound and metrics["stop_reason"] != "budget_too_small":
            self.refused.append(body)
            return _recorded("submit an unknown stop reason")
        super()._normal(path, body)
        return _recorded("submit a result")

    def _note(self, body: Any, kind: str) -> None:
        self.unknown_keys |= body.keys() - {*recorded.KEYS[kind]}
