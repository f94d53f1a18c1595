"""The shape of each reply: what is taken, and that anything else is refused with a sentence."""

from __future__ import annotations

import json
from typing import Any

import pytest

from campaigns.api import errors
from tests.agent.server import make_lease
from workers.agent.connection.replies import (
    MAX_CONTAINERS,
    MAX_DEPTH,
    MAX_TEXT_CHARACTERS,
    WrongShape,
    claim_reply,
    enrol_reply,
    heartbeat_reply,
    lease_problem,
    me_reply,
    read_object,
    submission_reply,
    token_reply,
)
from workers.protocol import ERROR_STATUS, ErrorCode

CLAIM: dict[str, Any] = {"leases": [], "heartbeat_seconds": 10, "wait_seconds": 3.5, "reason": ""}
ANSWER = {"lease_id": "a", "answer": "continue", "reason": ""}
HEARTBEAT: dict[str, Any] = {
    "leases": [ANSWER],
    "heartbeat_seconds": 10.0,
    "worker_state": "active",
}
ODD = [None, True, "soon", "10", [], {}, -1, 1e12, 10**400]


@pytest.mark.parametrize("note", [None, 5, ["x"], {"a": 1}, True])
def test_a_note_that_is_no_text_costs_no_result(note: Any) -> None:
    reply = {"verdict": "accepted", "message": "thanks"}
    assert submission_reply(reply)["note"] == ""
    assert submission_reply(reply | {"note": note})["note"] == ""
    assert len(submission_reply(reply | {"note": "x" * 9_000})["note"]) == MAX_TEXT_CHARACTERS


def test_sound_replies_are_taken_with_unknown_keys() -> None:
    assert claim_reply({**CLAIM, "new": 1}, 2)["wait_seconds"] == 3.5
    assert heartbeat_reply({**HEARTBEAT, "new": 1})["leases"] == [ANSWER]
    assert submission_reply({"verdict": "accepted", "message": "x" * 9_000})["message"][-1] == "…"
    assert enrol_reply({"token": "xw_1", "name": "lab-7", "worker_id": 1})["name"] == "lab-7"
    assert token_reply({"token": "xw_1"})["token"] == "xw_1"


def test_optional_keys_may_be_absent() -> None:
    assert claim_reply({key: CLAIM[key] for key in CLAIM if key != "reason"}, 1)["reason"] == ""
    assert submission_reply({"verdict": "late"})["message"] == ""
    assert heartbeat_reply({"leases": [], "heartbeat_seconds": 1})["worker_state"] == "active"


@pytest.mark.parametrize("value", ODD)
@pytest.mark.parametrize("key", ["heartbeat_seconds", "wait_seconds"])
def test_seconds_must_be_sane_numbers(key: str, value: Any) -> None:
    with pytest.raises(WrongShape, match=f"{key} must be a number"):
        claim_reply({**CLAIM, key: value}, 1)


@pytest.mark.parametrize("value", [None, True, "x", {}, 5])
def test_leases_must_be_a_list(value: Any) -> None:
    with pytest.raises(WrongShape, match="leases must be a list"):
        claim_reply({**CLAIM, "leases": value}, 1)
    with pytest.raises(WrongShape, match="leases must be a list"):
        heartbeat_reply({**HEARTBEAT, "leases": value})


def test_no_more_leases_come_than_were_claimed() -> None:
    with pytest.raises(WrongShape, match="at most the 2 claimed, not 3"):
        claim_reply({**CLAIM, "leases": [{}] * 3}, 2)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        {"answer": "cancel"},
        {"lease_id": 5, "answer": "cancel"},
        {"lease_id": "a", "answer": "explode"},
        {"lease_id": "a", "answer": ["cancel"]},
        {"lease_id": "a", "answer": "cancel", "reason": 5},
    ],
)
def test_answers_of_a_heartbeat_must_be_of_the_protocol(answer: Any) -> None:
    with pytest.raises(WrongShape):
        heartbeat_reply({**HEARTBEAT, "leases": [answer]})


@pytest.mark.parametrize("state", [None, 5, [], "", "\x1b[2J", "A" * 100])
def test_the_workers_state_must_be_a_word(state: Any) -> None:
    with pytest.raises(WrongShape, match="worker_state"):
        heartbeat_reply({**HEARTBEAT, "worker_state": state})


@pytest.mark.parametrize("verdict", [None, True, 5, "", "taken", ["accepted"], {"accepted": 1}])
def test_only_a_verdict_of_the_protocol_takes_a_result(verdict: Any) -> None:
    with pytest.raises(WrongShape, match="verdict must be one of"):
        submission_reply({"verdict": verdict})


@pytest.mark.parametrize("token", [None, 5, "", "xw 1", "xw_\n", "xw_\x00", "xw_ü", "x" * 501])
def test_a_token_must_fit_into_a_header(token: Any) -> None:
    for shape in (token_reply, enrol_reply):
        with pytest.raises(WrongShape, match="token"):
            shape({"token": token, "name": "lab-7"})


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"[" * 100_000, "not JSON"),
        (b"[" * (MAX_CONTAINERS + 1), "more than"),
        (b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1), "nested deeper"),
        (b'{"a": ' + b"[" * 900 + b"]" * 900 + b"}", "nested deeper"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "not JSON"),
        (b'{"a": NaN}', "not JSON"),
        (b'{"a": -Infinity}', "not JSON"),
        (b"\xff", "not JSON"),
        ("{}".encode("utf-16"), "not JSON"),
        (b"", "not JSON"),
        (b"[]", "JSON object"),
        (b'"leases"', "JSON object"),
    ],
    ids=lambda value: str(value[:20]),
)
def test_a_body_that_is_no_plain_json_object_is_refused(body: bytes, problem: str) -> None:
    with pytest.raises(WrongShape, match=problem):
        read_object(body)


def test_a_config_may_have_as_many_levels_as_a_sensible_one_has() -> None:
    body: Any = 1
    for _ in range(MAX_DEPTH - 1):
        body = {"a": body}
    assert read_object(json.dumps(body).encode()) == body


def test_a_lease_of_this_server_is_sound() -> None:
    lease: dict[str, Any] = dict(make_lease(b"", required_isolation="T1", script_origin="uploaded"))
    assert lease_problem(lease) == ""
    assert lease_problem({**lease, "from_a_newer_server": [1]}) == ""


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("lease_id", ["../x", "", None, 5, ["a"], "a/b"]),
        ("task_id", ["7", None, 7.0, True, 10**30]),
        ("task_number", ["7", None, {}]),
        ("campaign_id", ["7", None, []]),
        ("campaign_name", [None, 5, ["x"]]),
        ("code_package_ref", [None, 5, {}]),
        ("code_sha256", [None, 5, "../x", "AB" * 32]),
        ("time_budget_seconds", ["10", None, 0, -1, True, 1e300, 10**400, []]),
        ("kill_grace_seconds", ["10", None, 0, 1e300]),
        ("deadline_seconds", ["10", None, -5, 1e300]),
        ("required_isolation", [None, 1, "", "T10", "high", ["T0"]]),
        ("script_origin", [None, 1, []]),
        ("config", [None, [], "x", 5]),
        ("dataset", [None, [], "x", {}]),
    ],
)
def test_a_lease_with_a_wrong_type_is_refused_with_a_sentence(key: str, values: list[Any]) -> None:
    for value in values:
        problem = lease_problem({**make_lease(b""), key: value})
        assert problem, (key, value)
        assert len(problem) < 200


@pytest.mark.parametrize("size", [None, "10", 0, -1, 1.5, True, 2**63, 1e15])
def test_a_data_sets_size_must_be_a_whole_number(size: Any) -> None:
    lease = make_lease(b"")
    dataset = {**lease["dataset"], "size_bytes": size}
    assert "size_bytes" in lease_problem({**lease, "dataset": dataset})


def test_the_agent_knows_the_status_of_each_code_that_the_server_sends() -> None:
    retried = {ErrorCode.THROTTLED, ErrorCode.DATABASE_UNAVAILABLE}
    # These say that the request was changed on its way: the agent itself sends no such request.
    changed = {ErrorCode.UNSUPPORTED_MEDIA_TYPE, ErrorCode.METHOD_NOT_ALLOWED}
    sent = {code: status for _, status, code in errors._ANSWERS}
    sent |= {ErrorCode.METRICS_REFUSED: 422}
    expected = {code: status for code, status in sent.items() if status < 500}
    for code in retried | changed:
        expected.pop(code, None)
    assert dict(ERROR_STATUS) == expected


@pytest.mark.parametrize(
    "features",
    [
        None,
        "slots",
        {"slots": True},
        [None],
        [["slots"]],
        [1],
        ["a" * 51],
        ["Slots"],
        ["slots\n"],
        ["x\x1b[31m"],
        ["slots"] * 101,
    ],
)
def test_features_are_a_bounded_list_of_words(features: Any) -> None:
    for reply in (
        lambda: claim_reply({**CLAIM, "features": features}, 2),
        lambda: heartbeat_reply({**HEARTBEAT, "features": features}),
        lambda: me_reply({"features": features}),
    ):
        with pytest.raises(WrongShape, match="features"):
            reply()
    assert me_reply({"features": ["slots", "of_2030"]})["features"] == ["slots", "of_2030"]
