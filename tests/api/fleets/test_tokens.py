"""The tokens of fleets over the API: list, make, revoke; for operators alone."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from tests.clients import researcher_client
from tests.factories import user
from workers.fleet_token import FleetToken
from workers.tokens import hash_token

pytestmark = pytest.mark.django_db
URL = "/api/v1/fleets"
SCOPE = {"label": "cluster", "name_prefix": "lab", "max_live": 3}


@pytest.fixture
def operator() -> Any:
    return researcher_client(user(role="operator"))[0]


def test_a_token_is_made_listed_without_its_secret_and_revoked(operator: Any) -> None:
    answer = operator.post(URL, SCOPE | {"tier": "T1", "lifetime_days": 2})
    assert answer.status_code == 201, answer.json()
    assert answer.headers["Cache-Control"] == "no-store"
    made = answer.json()
    token = FleetToken.objects.get()
    assert token.token_hash == hash_token(made["token"])
    assert token.expires_at == token.created_at + dt.timedelta(days=2)
    assert made["token"] in made["command"]
    (row,) = operator.get(URL).json()["results"]
    assert row == {key: value for key, value in made.items() if key not in {"token", "command"}}
    assert (row["label"], row["max_live"], row["tier"], row["live_workers"]) == (
        "cluster",
        3,
        "T1",
        0,
    )
    revoked = operator.post(f"{URL}/{token.pk}/revoke")
    assert revoked.json()["revoked_at"] is not None
    again = operator.post(f"{URL}/{token.pk}/revoke")
    assert (again.status_code, again.json()["code"]) == (409, "wrong_state")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name_prefix", "with space"),
        ("label", ""),
        ("max_live", 0),
        ("max_live", "3"),
        ("tier", "T9"),
        ("lifetime_days", 0),
        ("colour", "red"),
    ],
)
def test_what_no_token_has_is_refused_at_its_field(operator: Any, field: str, value: Any) -> None:
    answer = operator.post(URL, SCOPE | {field: value})
    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == [field]
    assert not FleetToken.objects.exists()
