"""What servers may know beyond version 0.1.0, and what an agent says to one that does not.

Pure standard library, like `workers.protocol`. A server names its features in the replies to
``GET workers/me``, to a claim and to a heartbeat; one of 0.1.0 names none. Every server ignores
keys of a request that it does not know, but it refuses unknown words (400, or 422 within a result
line) and unknown addresses (404), and a refusal can cost a result. So an agent uses a word, an
address or a key that came later only with a server that names its feature. An agent ignores
features, and keys of a reply, that it does not know.

Something new on the wire gets a feature here. A new word also gets the older one that comes nearest
to it, which the agent says to servers without the feature.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Final, cast

from workers.protocol import ClaimRequest, FailureClass, HeartbeatRequest, Submission
from workers.result_line import STOP_BUDGET_TOO_SMALL, STOP_NOT_EVALUATED


class Feature(StrEnum):
    """What a server may know beyond version 0.1.0. A closed list: a feature is never taken back.

    Agents believe at most 100 of them, of lower-case letters, digits and underscores.
    """

    CALIBRATION = "calibration"  # claims say `calibrates`, replies order it, and its address
    FINAL_FAILURES = "final_failures"  # `final` of a submission
    FOREIGN_LOAD = "foreign_load"  # `foreign_load` of a submission
    LEAVING = "leaving"  # the address at which a worker says good-bye
    LIFETIMES = "lifetimes"  # claims tell how long a task may take at most
    MACHINE = "machine"  # `machine` of the hardware
    OWNER_PAUSE = "owner_pause"  # heartbeats tell that the owner's rules pause the agent
    RESULT_LISTS = "result_lists"  # the address that takes the results of several leases
    SCRIPTS = "scripts"  # claims tell the scripts that the agent runs
    SLOTS = "slots"  # claims tell how many leases the agent can hold
    UNEVALUATED = "no_time_to_evaluate"  # that stop reason, of a result without a value
    WORK_BUDGETS = "work_budgets"  # the failure class too_slow


# What a server of this version knows.
ALL_FEATURES: Final = frozenset(Feature)
NO_FEATURES: Final[frozenset[Feature]] = frozenset()

CLAIM_KEYS: Final[Mapping[str, Feature]] = {
    "slots": Feature.SLOTS,
    "calibrates": Feature.CALIBRATION,
    "scripts": Feature.SCRIPTS,
    "runs_server_code": Feature.SCRIPTS,
    "longest_seconds": Feature.LIFETIMES,
}
HEARTBEAT_KEYS: Final[Mapping[str, Feature]] = {"owner_pause": Feature.OWNER_PAUSE}
HARDWARE_KEYS: Final[Mapping[str, Feature]] = {"machine": Feature.MACHINE}
SUBMISSION_KEYS: Final[Mapping[str, Feature]] = {
    "foreign_load": Feature.FOREIGN_LOAD,
    "final": Feature.FINAL_FAILURES,
}
# A word that came later -> its feature, and the word of 0.1.0 that comes nearest.
LATER_FAILURE_CLASSES: Final[Mapping[str, tuple[Feature, FailureClass]]] = {
    # What the agent itself sees of it: the script was ended at its guard.
    FailureClass.TOO_SLOW: (Feature.WORK_BUDGETS, FailureClass.TIMEOUT),
}
LATER_STOP_REASONS: Final[Mapping[str, tuple[Feature, str]]] = {
    # Both are results without a value: the budget had no room for one.
    STOP_NOT_EVALUATED: (Feature.UNEVALUATED, STOP_BUDGET_TOO_SMALL),
}


def known_features(words: Iterable[str]) -> frozenset[Feature]:
    """Return those of a server's features that this version knows, too."""
    known = set(Feature)
    return frozenset(Feature(word) for word in words if word in known)


def claim_for(request: ClaimRequest, features: frozenset[Feature]) -> ClaimRequest:
    """Return the claim as a server with these features knows it."""
    spoken: dict[str, Any] = _without(request, CLAIM_KEYS, features)
    if "hardware" in spoken:
        spoken["hardware"] = _without(spoken["hardware"], HARDWARE_KEYS, features)
    return cast(ClaimRequest, spoken)


def heartbeat_for(request: HeartbeatRequest, features: frozenset[Feature]) -> HeartbeatRequest:
    """Return the heartbeat as a server with these features knows it."""
    return cast(HeartbeatRequest, _without(request, HEARTBEAT_KEYS, features))


def submission_for(submission: Submission, features: frozenset[Feature]) -> Submission:
    """Return the submission as a server with these features knows it; nothing else is lost."""
    spoken: dict[str, Any] = _without(submission, SUBMISSION_KEYS, features)
    reported = spoken.get("failure_class")
    if reported is not None:
        spoken["failure_class"] = _word(reported, LATER_FAILURE_CLASSES, features)
    metrics = spoken.get("metrics")
    if isinstance(metrics, dict) and isinstance(metrics.get("stop_reason"), str):
        reason = _word(metrics["stop_reason"], LATER_STOP_REASONS, features)
        spoken["metrics"] = {**metrics, "stop_reason": reason}
    return cast(Submission, spoken)


def _without(
    body: Mapping[str, Any], later: Mapping[str, Feature], features: frozenset[Feature]
) -> dict[str, Any]:
    unknown = {key for key, feature in later.items() if feature not in features}
    return {key: value for key, value in body.items() if key not in unknown}


def _word(word: str, later: Mapping[str, tuple[Feature, Any]], features: frozenset[Feature]) -> str:
    feature, nearest = later.get(word, (None, word))
    return word if feature is None or feature in features else str(nearest)
