"""What a XeeNet server may answer: the shape of each reply, checked before anything believes it.

A captive portal, another program on the port or a hostile server can answer 200 with anything. Each
function returns the reply when its shape is right, and raises `WrongShape` otherwise. Unknown keys
are ignored: a newer server may send more.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NoReturn, cast

from workers.agent.attempt import SAFE_NAME, SHA256_HEX
from workers.agent.plain_text import short
from workers.calibration import CalibrationReply
from workers.protocol import (
    MAX_COUNTER,
    ClaimReply,
    EnrolReply,
    FleetDemand,
    HeartbeatAnswer,
    HeartbeatReply,
    LeaveReply,
    SubmissionReply,
    TokenReply,
    Verdict,
    is_number,
)

MAX_TEXT_CHARACTERS: Final = 500  # of a sentence for people
MAX_CONTAINERS: Final = 200_000  # objects and lists: a claim of 64 tasks has a few per parameter
MAX_DEPTH: Final = 64
MAX_FEATURES: Final = 100
MAX_INTERVAL_SECONDS: Final = 24 * 3600.0  # between two heartbeats or claims
# Budgets are at most 7 days on the server; longer waits overflow the system's clocks.
MAX_DURATION_SECONDS: Final = 30 * 24 * 3600.0
_TOKEN: Final = re.compile(r"[!-~]{1,500}")  # it becomes a header, which is one line of ASCII
_TIER: Final = re.compile(r"T[0-9]")
_WORD: Final = re.compile(r"[a-z_]{1,50}")
_FEATURE: Final = re.compile(r"[a-z0-9_]{1,50}")


class WrongShape(ValueError):
    """The reply is not one of a XeeNet server; the message says what is wrong."""


def read_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in ``body``. Raises `WrongShape`, for too much nesting as well."""
    if body.count(b"[") + body.count(b"{") > MAX_CONTAINERS:
        raise WrongShape(f"the body has more than {MAX_CONTAINERS:,} lists and objects")
    try:
        reply = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:  # JSON errors and wrong bytes are ValueErrors
        raise WrongShape("the body is not JSON") from error
    if not isinstance(reply, dict):
        raise WrongShape("the body must be a JSON object")
    if _is_deep(reply):
        raise WrongShape(f"the body is nested deeper than {MAX_DEPTH} levels")
    return reply


def enrol_reply(reply: Mapping[str, Any]) -> EnrolReply:
    """Return the reply to an enrolment."""
    _check_token(reply)
    _check_text(reply, "name")
    return cast(EnrolReply, reply)


def token_reply(reply: Mapping[str, Any]) -> TokenReply:
    """Return the reply to the exchange of a token."""
    _check_token(reply)
    return cast(TokenReply, reply)


def leave_reply(reply: Mapping[str, Any]) -> LeaveReply:
    """Return the reply to a worker's good-bye."""
    released = reply.get("released")
    if type(released) is not int or not 0 <= released <= MAX_COUNTER:
        raise WrongShape("released must be a whole number")
    _check_text(reply, "message")
    return cast(LeaveReply, reply)


def claim_reply(reply: Mapping[str, Any], count: int) -> ClaimReply:
    """Return the reply to a claim of ``count`` tasks. `lease_problem` checks each lease."""
    leases = reply.get("leases")
    if not isinstance(leases, list):
        raise WrongShape("leases must be a list")
    if len(leases) > count:
        raise WrongShape(f"leases must be at most the {count} claimed, not {len(leases)}")
    _check_seconds(reply, "heartbeat_seconds")
    _check_seconds(reply, "wait_seconds")
    _check_calibration(reply.get("calibrate"))
    _check_features(reply)
    return cast(ClaimReply, {**reply, "reason": _optional_text(reply, "reason")})


def _check_features(reply: Mapping[str, Any]) -> None:
    """Raise `WrongShape` for features that are no list of words; absent ones are none."""
    features = reply.get("features", [])
    if not isinstance(features, list) or len(features) > MAX_FEATURES:
        raise WrongShape(f"features must be a list of at most {MAX_FEATURES} words")
    if not all(isinstance(word, str) and _FEATURE.fullmatch(word) for word in features):
        raise WrongShape("features must be words")


def me_reply(reply: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the server says of this worker; only its features are used."""
    _check_features(reply)
    return dict(reply)


def fleet_demand(reply: Mapping[str, Any]) -> FleetDemand:
    """Return what a fleet has to do."""
    counts = ("claimable", "leased", "live_workers", "wanted_workers")
    _check_counts(reply, (*counts, "max_live"))
    needs = reply.get("needs")
    if not isinstance(needs, list):
        raise WrongShape("needs must be a list")
    for need in needs:
        if not isinstance(need, dict) or not isinstance(need.get("device"), str):
            raise WrongShape("each of needs must be an object with a device")
        _check_counts(need, counts)
    return cast(FleetDemand, reply)


def _check_counts(reply: Mapping[str, Any], keys: Iterable[str]) -> None:
    for key in keys:
        value = reply.get(key)
        if type(value) is not int or not 0 <= value <= MAX_COUNTER:
            raise WrongShape(f"{key} must be a whole number from 0")


def _check_calibration(order: object) -> None:
    """Raise `WrongShape` for an order that names no script; most replies have none."""
    if order is None:
        return
    if not isinstance(order, dict) or not _is_name(order.get("experiment")):
        raise WrongShape("calibrate must be an object with the name of an experiment")
    sha256 = order.get("script_sha256")
    if not isinstance(sha256, str) or not SHA256_HEX.fullmatch(sha256):
        raise WrongShape("calibrate must have the script_sha256 in lower-case hex")
    if type(order.get("repeated")) is not bool:
        raise WrongShape("calibrate must say whether it is repeated")


def calibration_reply(reply: Mapping[str, Any]) -> CalibrationReply:
    """Return the reply to a calibration."""
    _check_text(reply, "message")
    return cast(CalibrationReply, reply)


def heartbeat_reply(reply: Mapping[str, Any]) -> HeartbeatReply:
    """Return the reply to a heartbeat."""
    answers = reply.get("leases")
    if not isinstance(answers, list):
        raise WrongShape("leases must be a list")
    checked = []
    for answer in answers:
        if not isinstance(answer, dict) or not isinstance(answer.get("lease_id"), str):
            raise WrongShape("each of leases must be an object with a lease_id")
        if answer.get("answer") not in list(HeartbeatAnswer):
            raise WrongShape(f"answer must be one of {', '.join(HeartbeatAnswer)}")
        checked.append({**answer, "reason": _optional_text(answer, "reason")})
    _check_seconds(reply, "heartbeat_seconds")
    state = reply.get("worker_state", "active")
    if not isinstance(state, str) or not _WORD.fullmatch(state):
        raise WrongShape("worker_state must be a word")
    _check_features(reply)
    return cast(HeartbeatReply, {**reply, "leases": checked, "worker_state": state})


def submission_reply(reply: Mapping[str, Any]) -> SubmissionReply:
    """Return the reply to a result.

    Only a verdict of the protocol counts: the result's only copy is deleted after it.
    """
    if reply.get("verdict") not in list(Verdict):
        raise WrongShape(f"verdict must be one of {', '.join(Verdict)}")
    note = reply.get("note")  # for people only, so a wrong one must not keep the result here
    said = short(note, MAX_TEXT_CHARACTERS) if isinstance(note, str) else ""
    message = _optional_text(reply, "message")
    return cast(SubmissionReply, {**reply, "message": message, "note": said})


def results_reply(reply: Mapping[str, Any], lease_ids: Sequence[str]) -> list[dict[str, Any]]:
    """Return the answers to the results of these leases, in their order; each has a status."""
    answers = reply.get("results")
    if not isinstance(answers, list) or len(answers) != len(lease_ids):
        raise WrongShape("results must be a list with an answer to each result")
    for answer, lease_id in zip(answers, lease_ids, strict=True):
        if not isinstance(answer, dict) or answer.get("lease_id") != lease_id:
            raise WrongShape("each of results must name its lease, in the order of the request")
        if type(answer.get("status")) is not int:
            raise WrongShape("each of results must have a status")
    return answers


def any_reply(reply: Mapping[str, Any]) -> dict[str, Any]:
    """Return a reply of which nothing is used."""
    return dict(reply)


def lease_problem(lease: Any) -> str:
    """Return why a claimed lease cannot be run; "" when it is sound.

    The server is trusted to choose the task, but not to choose file paths or endless durations.
    """
    if not isinstance(lease, dict) or not _is_name(lease.get("lease_id")):
        return "it has no usable lease_id"
    for key in ("task_id", "task_number", "campaign_id"):
        if type(lease.get(key)) is not int or abs(lease[key]) > MAX_COUNTER:
            return f"{key} must be a whole number"
    for key in ("time_budget_seconds", "kill_grace_seconds", "deadline_seconds"):
        if not is_number(lease.get(key)) or not 0 < lease[key] <= MAX_DURATION_SECONDS:
            return f"{key} must be a number above 0 and at most {MAX_DURATION_SECONDS:,.0f}"
    if not all(isinstance(lease.get(key), str) for key in ("code_package_ref", "campaign_name")):
        return "code_package_ref and campaign_name must be texts"
    if not _TIER.fullmatch(str(lease.get("required_isolation", "T0"))):
        return "required_isolation must be a tier"
    if not isinstance(lease.get("script_origin", ""), str):
        return "script_origin must be a text"
    return _inputs_problem(lease)


def _inputs_problem(lease: dict[str, Any]) -> str:
    dataset, config = lease.get("dataset"), lease.get("config")
    if not isinstance(config, dict) or not isinstance(dataset, dict):
        return "config and dataset must be objects"
    hashes = (lease.get("code_sha256"), dataset.get("sha256"))
    if not all(isinstance(value, str) and SHA256_HEX.fullmatch(value) for value in hashes):
        return "code_sha256 and dataset.sha256 must be sha256 in lower-case hex"
    if not _is_name(dataset.get("name")):
        return "dataset.name must be a plain file name"
    if type(dataset.get("size_bytes")) is not int or not 0 < dataset["size_bytes"] <= MAX_COUNTER:
        return "dataset.size_bytes must be a whole number above 0"
    return ""


def _is_name(value: object) -> bool:
    return isinstance(value, str) and SAFE_NAME.fullmatch(value) is not None


def _check_token(reply: Mapping[str, Any]) -> None:
    token = reply.get("token")
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise WrongShape("token must be a text without spaces")


def _check_text(reply: Mapping[str, Any], key: str) -> None:
    value = reply.get(key)
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT_CHARACTERS:
        raise WrongShape(f"{key} must be a text of 1 to {MAX_TEXT_CHARACTERS} characters")


def _optional_text(reply: Mapping[str, Any], key: str) -> str:
    """Return a sentence for people, shortened, and "" when it is absent."""
    value = reply.get(key, "")
    if not isinstance(value, str):
        raise WrongShape(f"{key} must be a text")
    return short(value, MAX_TEXT_CHARACTERS)


def _check_seconds(reply: Mapping[str, Any], key: str) -> None:
    value: Any = reply.get(key)
    if not is_number(value) or not 0 <= value <= MAX_INTERVAL_SECONDS:
        raise WrongShape(f"{key} must be a number from 0 to {MAX_INTERVAL_SECONDS:,.0f}")


def _is_deep(value: object) -> bool:
    """Return whether lists and objects are nested deeper than `MAX_DEPTH`, without recursion."""
    level: list[object] = [value]
    for _ in range(MAX_DEPTH):
        inner: list[object] = []
        for container in level:
            children = container.values() if isinstance(container, dict) else container
            inner += [child for child in children if isinstance(child, dict | list)]  # type: ignore[attr-defined]
        if not inner:
            return False
        level = inner
    return True


def _refuse_constant(literal: str) -> NoReturn:
    raise ValueError(f"{literal} is not JSON")
