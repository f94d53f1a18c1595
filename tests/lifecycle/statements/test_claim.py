"""Claims by statements: the same rows and answers as the verb, and who is left to it."""

from __future__ import annotations

from typing import Any

import pytest

from campaigns.lifecycle.statements.claim import claim
from tests.lifecycle.statements import agent_calls, same_rows
from tests.lifecycle.statements.agent_calls import Call

pytestmark = pytest.mark.django_db


def by_statement(call: Call) -> Any:
    claimed = claim(call.token_hash, call.body, now=call.now)
    return None if claimed is None else agent_calls.reply_to_claim(claimed.claim, call)


def test_random_histories_lead_to_the_same_rows_as_through_the_verb() -> None:
    taken = same_rows.compare({"claim": by_statement}, range(3))
    print(taken)
    assert taken.share("claim") > 0.5
