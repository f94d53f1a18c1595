"""Results and releases through statements lead to the same rows and answers as the verbs."""

from __future__ import annotations

from typing import Any

import pytest

from campaigns.lifecycle.statements.release import release
from campaigns.lifecycle.statements.submit import submit
from tests.lifecycle.statements import random_history, same_rows
from tests.lifecycle.statements.agent_calls import Call

pytestmark = pytest.mark.django_db


def submit_by_statement(call: Call) -> Any:
    body: Any = call.body
    submitted = submit(call.token_hash, call.lease_id, body, now=call.now)
    if submitted is None:
        return None
    answer = submitted.answer
    return str(answer.verdict), answer.message, answer.note


def release_by_statement(call: Call) -> Any:
    reason = call.body.get("reason", "")
    released = release(call.token_hash, call.lease_id, reason=reason, now=call.now)
    return None if released is None else "released"


@pytest.mark.timeout(400)
@pytest.mark.parametrize("seed", range(3))
def test_random_histories_lead_to_the_same_rows(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # More results: the first of each worker in a campaign makes its class, and goes to the verb.
    for name, times in {"claim": 80, "submit_result": 80, "release": 12}.items():
        monkeypatch.setitem(random_history._STEPS, name, times)
    statements = {"submit": submit_by_statement, "release": release_by_statement}
    taken = same_rows.compare(statements, [seed], steps=140)
    assert taken.taken["submit"] >= 5
    assert taken.taken["release"] > 0
