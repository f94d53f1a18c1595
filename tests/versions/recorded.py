"""What the agent and the server of version 0.1.0 said to each other, recorded from real ones.

``v0_1_0.json`` holds the words and keys of its protocol, and exchanges of its agent with its server
over HTTP, with the commit 2b806dc on both sides: the last one before what the changelog lists after
0.1.0. Tokens and the machine's profile are replaced. A changed script, a small memory limit and its
own client brought about the refusals. It is never changed.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any, Final

_RECORD: Final = json.loads((Path(__file__).parent / "v0_1_0.json").read_text())
PATHS: Final[list[str]] = _RECORD["paths"]
WORDS: Final[dict[str, list[str]]] = _RECORD["words"]
KEYS: Final[dict[str, list[str]]] = _RECORD["keys"]
# The script that 0.1.0 came with, and so of the tasks in the recording.
SCRIPT_SHA256: Final = "46c79ebf3e6ac42c49cef341c5077afc9c329a982a0b7bb5a2e510a2b8274e69"
NAMES: Final[list[str]] = [exchange["name"] for exchange in _RECORD["exchanges"]]

# Key of a reply -> the words of 0.1.0 among which its agent looks for the value.
_VOCABULARIES: Final = {
    "answer": WORDS["HeartbeatAnswer"],
    "verdict": WORDS["Verdict"],
    "code": WORDS["ErrorCode"],
    "required_isolation": WORDS["IsolationTier"],
    "script_origin": WORDS["ScriptOrigin"],
    "worker_state": ["active", "draining", "disabled"],
}
# What of a config the script reads differs from campaign to campaign.
_FREE: Final = {"config"}


def exchange(name: str) -> dict[str, Any]:
    """Return a copy of an exchange."""
    return copy.deepcopy(_RECORD["exchanges"][NAMES.index(name)])


def differences(recorded: Any, reply: Any, where: str = "reply") -> list[str]:
    """Return what an agent of 0.1.0 would miss in a reply, or not understand.

    All keys of the recorded one are needed, with values of the same kind, and words that 0.1.0
    knows. More keys do no harm: it reads only those it knows.
    """
    if isinstance(recorded, dict):
        if not isinstance(reply, dict):
            return [f"{where} is no object"]
        found = [f"{where}.{key} is missing" for key in recorded if key not in reply]
        for key, value in recorded.items():
            if key in reply and key not in _FREE:
                found += differences(value, reply[key], f"{where}.{key}")
                words = _VOCABULARIES.get(key)
                if words and reply[key] not in words:
                    found.append(f"{where}.{key} is {reply[key]!r}")
        return found
    if isinstance(recorded, list):
        if not isinstance(reply, list) or bool(recorded) is not bool(reply):
            return [f"{where} is another kind of list"]
        return [
            problem
            for place, item in enumerate(reply if recorded else [])
            for problem in differences(recorded[0], item, f"{where}[{place}]")
        ]
    return [] if _kind(recorded) == _kind(reply) else [f"{where} is {reply!r}"]


def _kind(value: object) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return "number" if is_number else type(value).__name__
