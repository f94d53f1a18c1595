"""Results and releases through statements lead to the same rows and answers as the verbs."""

from __future__ import annotations

from typing import Any

import pytest

from campaigns.lifecycle.statements.release import release
from campaigns.lifecycle.statements.submit import submit
from tests.lifecycle.statements import same_rows
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


@pytest.mark.parametrize("seed", range(3))
def test_random_histories_lead_to_the_same_rows(seed: int) -> None:
    statements = {"submit": submit_by_statement, "release": release_by_statement}
    taken = same_rows.compare(statements, [seed], steps=90)
    assert taken.share("submit") > 0.1
    assert taken.taken["release"] > 0
