"""compare: tasks or campaigns side by side, as numbers."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from campaigns import lifecycle
from campaigns.models import Campaign, Task
from tests import factories

pytestmark = pytest.mark.django_db


def compare(status: int = 200, **query: object) -> Any:
    answer = APIClient().get("/api/v1/compare", query)
    assert answer.status_code == status, answer.json()
    return answer.json()


def task_with_curve(val_bpb: float, **fields: Any) -> Task:
    attempt = factories.leased_task(**fields)
    points = ({"elapsed_seconds": 2 * n, "value": val_bpb + 1 - n / 5} for n in range(3))
    factories.curve(attempt, points)
    factories.finish(attempt, val_bpb)
    return Task.objects.get(pk=attempt.task_id)


def campaign_with(*values: float) -> Campaign:
    campaign = factories.active_campaign(len(values))
    worker = factories.worker()
    for minute, value in enumerate(values):
        now = factories.NOW + dt.timedelta(minutes=minute)
        factories.finish(factories.claim_one(worker, now=now), value, now=now)
    return campaign


def test_tasks_stand_side_by_side_with_params_values_and_curves() -> None:
    first, second = task_with_curve(2.5), task_with_curve(2.0, base_seed=7)

    reply = compare(tasks=f"{first.name},{second.name}", x="steps")

    columns = [(c["letter"], c["id"], c["val_bpb"], c["behind"]) for c in reply["columns"]]
    assert columns == [("A", first.pk, 2.5, 0.5), ("B", second.pk, 2.0, 0.0)]
    params = {row["name"]: row for row in reply["params"]}
    assert params["lr"]["values"] == [first.params["lr"], second.params["lr"]]
    assert params["lr"]["differs"] is True
    seed = next(row for row in reply["conditions"] if row["name"] == "seed")
    assert (seed["values"], seed["differs"]) == (["42", "7"], True)
    a, b = reply["curves"]
    assert (a["x"], a["y"], a["end"]) == ([0, 10, 20], [3.5, 3.3, 3.1], [100, 2.5])
    assert b["end"] == [100, 2.0]
    assert reply["verdict"].startswith("Cannot be told: their results are of different classes")


def test_values_come_with_their_spread_over_seeds() -> None:
    task = factories.completed_task(3.0)
    again = lifecycle.enqueue(task.campaign, task.params, now=factories.at(1))
    factories.finish(factories.claim_one(factories.worker(), now=factories.at(1)), 3.2)
    single_seed = factories.completed_task(2.0)

    reply = compare(tasks=f"{task.name},{again.name},{single_seed.name}")

    spreads = [column["spread"] for column in reply["columns"]]
    assert spreads[0] == spreads[1]
    assert spreads[0]["values"] == [3.0, 3.2]
    assert spreads[0]["mean"] == pytest.approx(3.1)
    assert spreads[2]["deviation"] is None


def test_campaigns_are_compared_by_their_best_so_far() -> None:
    first, second = campaign_with(3.0, 2.5, 2.8), campaign_with(2.9)

    reply = compare(campaigns=f"{first.pk}, {second.pk}")

    columns = [(c["name"], c["val_bpb"], c["measured"]) for c in reply["columns"]]
    assert columns == [(first.name, 2.5, 3), (second.name, 2.9, 1)]
    assert reply["x"] == "results"
    a, b = reply["curves"]
    # The last value is repeated, so that the curve reaches the newest result.
    assert (a["x"], a["y"], a["end"]) == ([1, 2, 3], [3.0, 2.5, 2.5], None)
    assert (b["x"], b["y"]) == ([1, 1], [2.9, 2.9])
    assert {row["name"] for row in reply["spaces"]} == {"lr", "d_model"}


def test_what_has_no_value_is_shown_and_leads_nobody() -> None:
    done, waiting = factories.completed_task(3.0), factories.pending_task()

    reply = compare(tasks=f"{waiting.name},{done.name}")

    waits, leads = reply["columns"]
    assert (waits["state"], waits["val_bpb"], waits["behind"]) == ("pending", None, None)
    assert (leads["behind"], reply["verdict"]) == (0.0, "")


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"tasks": "1"},
        {"tasks": "1,1"},
        {"tasks": "1,2,3,4,5,6"},
        {"tasks": "1,x"},
        {"tasks": "1,-2"},
        {"tasks": "1,²"},
        {"tasks": "1," + "9" * 19},
        {"tasks": "1,2", "campaigns": "1,2"},
        {"tasks": "1,2", "x": "results"},
        {"campaigns": "1,2", "x": "luck"},
    ],
    ids=str,
)
def test_what_cannot_be_compared_is_refused(query: dict[str, str]) -> None:
    assert compare(400, **query)["code"] == "invalid"


def test_what_is_not_there_is_named() -> None:
    task = factories.pending_task()

    assert (
        "There is no task 9/98 and no 9/99."
        in compare(404, tasks=f"9/98,{task.name},9/99")["message"]
    )


def test_the_queries_do_not_grow_with_the_columns() -> None:
    tasks = [task_with_curve(3.0 + number / 10) for number in range(5)]

    def queries(count: int) -> int:
        with CaptureQueriesContext(connection) as captured:
            compare(tasks=",".join(str(task.name) for task in tasks[:count]))
        return len(captured)

    assert queries(2) == queries(5)
