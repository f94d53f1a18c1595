"""Parameters of an address that no view reads are refused, with those that it does read."""

from __future__ import annotations

from typing import Any

import pytest
from drf_spectacular.generators import SchemaGenerator
from rest_framework.test import APIClient

from campaigns.api.bases import _KnownQuery
from campaigns.api.urls import urlpatterns
from tests import factories
from tests.clients import researcher_client

pytestmark = pytest.mark.django_db


def test_every_view_of_the_api_refuses_what_it_does_not_read() -> None:
    views = {pattern.callback.cls for pattern in urlpatterns}  # type: ignore[attr-defined]
    assert [view for view in views if not issubclass(view, _KnownQuery)] == []


def test_the_document_and_the_views_name_the_same_parameters() -> None:
    generator: Any = SchemaGenerator()
    document = generator.get_schema(request=None, public=True)
    compared = 0
    for path, _, method, view in generator._get_paths_and_endpoints():
        operation = document["paths"].get(path, {}).get(method.lower())
        if method != "GET" or operation is None or not isinstance(view, _KnownQuery):
            continue
        documented = {
            parameter["name"]
            for parameter in operation.get("parameters", [])
            if parameter["in"] == "query"
        }
        assert documented == set(view.known_parameters()), path
        compared += 1
    assert compared > 30


@pytest.mark.parametrize(
    ("path", "name", "sentence"),
    [
        ("campaigns/{}/leaderboard?worker=box1", "worker", "known are: result_class, baseline"),
        ("campaigns/{}/results.csv?worker=box1", "worker", "known are: simulated."),
        ("campaigns/{}/results?simulate=true", "simulate", "known are: simulated, is_ranked"),
        ("campaigns/{}/tasks?status=failed", "status", "seed, worker, sort, page_size, cursor."),
        ("campaigns/{}/importance?z=1", "z", "known are: device."),
        ("campaigns/{}/log?after=1", "after", "known are: before."),
        ("campaigns/{}?expand=tasks", "expand", "this address takes none"),
        ("campaigns?stat=active", "stat", "known are: state, budget_kind, "),
        ("workers?nmae=x", "nmae", "known are: "),
        ("catalog?x", "x", "this address takes none"),
        ("campaigns?state=active&state=draft", "state", "Give this parameter once."),
        ("campaigns/{}/leaderboard?limit=1&limit=2", "limit", "Give this parameter once."),
    ],
)
def test_an_unknown_parameter_is_refused_with_the_known_ones(
    path: str, name: str, sentence: str
) -> None:
    client, _ = researcher_client()
    response = client.get(f"/api/v1/{path.format(factories.active_campaign(1).pk)}")
    assert response.status_code == 400
    (told,) = response.json()["fields"][name]
    assert sentence in told


def test_a_change_takes_no_parameters_and_is_not_made() -> None:
    client, owner = researcher_client()
    campaign = factories.active_campaign(1, owner=owner)
    response = client.post(f"/api/v1/campaigns/{campaign.pk}/pause?reason=x&state=y")
    assert response.status_code == 400
    assert set(response.json()["fields"]) == {"reason", "state"}
    campaign.refresh_from_db()
    assert campaign.state == "active"


def test_very_many_unknown_parameters_are_not_all_named() -> None:
    names = "&".join(f"p{number}" for number in range(500))
    assert len(APIClient().get(f"/api/v1/campaigns?{names}").json()["fields"]) == 10


def test_who_may_not_call_hears_that_first() -> None:
    assert APIClient().get("/api/v1/account?x=1").status_code == 401
    assert APIClient().post("/api/v1/leases/claim?x=1").status_code == 401


def test_a_method_that_the_view_does_not_have_is_told_as_such() -> None:
    client, _ = researcher_client()
    assert client.post("/api/v1/compare?tasks=1,2").status_code == 405
