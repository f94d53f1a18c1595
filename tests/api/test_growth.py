"""campaigns/<id>/add-tasks and raise-attempts: more tasks and tries for a launched campaign."""

from __future__ import annotations

from typing import Any

import pytest

from tests import factories
from tests.clients import researcher_client

pytestmark = pytest.mark.django_db


def test_more_tasks_are_sampled_and_the_campaign_says_so() -> None:
    client, owner = researcher_client()
    campaign = factories.active_campaign(2, owner=owner)

    answer = client.post(f"/api/v1/campaigns/{campaign.pk}/add-tasks", {"count": 3})

    assert answer.status_code == 200, answer.json()
    assert answer.json()["task_count"] == answer.json()["progress"]["pending"] == 5
    assert list(campaign.tasks.values_list("seed", flat=True)) == [42] * 5


@pytest.mark.parametrize("body", [{}, {"count": 0}, {"count": "3"}, {"count": 10**6}])
def test_a_number_of_tasks_that_makes_no_sense_is_refused(body: dict[str, Any]) -> None:
    client, owner = researcher_client()
    campaign = factories.active_campaign(2, owner=owner)

    answer = client.post(f"/api/v1/campaigns/{campaign.pk}/add-tasks", body)

    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == ["count"]
    assert campaign.tasks.count() == 2


def test_the_tries_that_are_not_named_stay_as_they_are() -> None:
    client, owner = researcher_client()
    campaign = factories.active_campaign(1, owner=owner)
    url = f"/api/v1/campaigns/{campaign.pk}/raise-attempts"

    raised = client.post(url, {"max_failed_attempts": 4})
    lowered = client.post(url, {"max_failed_attempts": 3})

    assert raised.status_code == 200, raised.json()
    assert raised.json()["max_failed_attempts"] == 4
    assert raised.json()["max_lost_attempts"] == campaign.max_lost_attempts
    assert campaign.tasks.get().max_failed_attempts == 4
    assert lowered.status_code == 400
    assert list(lowered.json()["fields"]) == ["max_failed_attempts"]
