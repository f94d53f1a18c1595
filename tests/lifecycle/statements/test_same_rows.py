"""The harness of the statements' tests itself: a difference is seen, and nothing else differs."""

from __future__ import annotations

from typing import Any

import pytest

from campaigns.models import Attempt
from tests.lifecycle.statements import agent_calls, same_rows
from tests.lifecycle.statements.agent_calls import Call
from tests.lifecycle.statements.random_history import History, new_world

pytestmark = pytest.mark.django_db


def test_the_same_history_through_the_verbs_leads_to_the_same_rows() -> None:
    taken = same_rows.compare(agent_calls.VERBS, range(2))
    assert taken.share("claim") == taken.share("submit") == 1.0


def test_a_row_that_differs_is_named_with_its_table_and_column() -> None:
    def claims_with_a_word(call: Call) -> Any:
        reply = agent_calls.claim(call)
        Attempt.objects.filter(message="").update(message="claimed")
        return reply

    with pytest.raises(AssertionError, match=r"Attempt \d+.message: verb '', statement 'claimed'"):
        same_rows.compare({"claim": claims_with_a_word}, [0])


def test_an_answer_that_differs_is_named_with_its_step() -> None:
    def claims_nothing(call: Call) -> Any:
        return {"leases": [], "reason": "nothing"}

    with pytest.raises(AssertionError, match=r"seed 0, step \d+:\n  verb"):
        same_rows.compare({"claim": claims_nothing}, [0])


def test_histories_reach_what_the_calls_depend_on() -> None:
    world = new_world()
    histories = [same_rows.rows_after(History(world, seed, agent_calls.VERBS)) for seed in range(4)]

    def values(table: str, column: str) -> set[Any]:
        return {row[column] for _, rows in histories for row in rows[table]}

    outcomes = values("campaigns.Attempt", "outcome")
    assert outcomes >= {"running", "completed", "failed", "lost", "released", "late"}
    assert values("campaigns.Campaign", "state") >= {"active", "paused", "completed"}
    assert values("campaigns.Task", "purpose") >= {"screen", "race", "repeat", "replay"}
    assert values("workers.Worker", "state") >= {"active", "draining", "disabled"}
    assert len(values("campaigns.Result", "result_class_id")) > 3
    assert {True, False} <= values("campaigns.Result", "simulated")
