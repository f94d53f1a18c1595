"""/account, /account/tokens and /audit: the own account, its tokens and the audit log."""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from campaigns.models import PersonalToken
from campaigns.tokens import personal_tokens
from tests import factories
from tests.clients import bearer, researcher_client, signed_in_client
from workers.models import AuditEntry
from xeenet_site.web import roles

pytestmark = pytest.mark.django_db
TOKENS = "/api/v1/account/tokens"
AUDIT = "/api/v1/audit"


@pytest.mark.parametrize(
    ("role", "may_create", "may_operate"),
    [(roles.VIEWER, False, False), (roles.RESEARCHER, True, False), (roles.OPERATOR, True, True)],
)
def test_a_token_tells_whose_it_is_and_what_it_may(
    role: str, may_create: bool, may_operate: bool
) -> None:
    client, _ = researcher_client(factories.user("ada", role=role))

    assert client.get("/api/v1/account").json() == {
        "username": "ada",
        "role": role,
        "may_create": may_create,
        "may_operate": may_operate,
    }


def test_a_new_token_is_shown_once_and_opens_the_api_as_its_owner() -> None:
    client, user = signed_in_client()

    answer = client.post(TOKENS, {"name": "notebook"})

    secret = answer.json()["token"]
    assert answer.status_code == 201
    assert answer.headers["Cache-Control"] == "no-store"
    assert bearer(secret).get("/api/v1/account").json()["username"] == user.username
    listed = client.get(TOKENS)
    assert [token["name"] for token in listed.json()["results"]] == ["notebook"]
    assert secret not in listed.content.decode()
    assert AuditEntry.objects.get().verb == "create_token"


def test_a_token_makes_no_further_token_that_would_outlive_it() -> None:
    client, user = researcher_client(factories.user(role=roles.OPERATOR))

    answer = client.post(TOKENS, {"name": "more"})

    assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")
    assert "settings page" in answer.json()["message"]
    assert [token.name for token in user.personal_tokens.all()] == ["tests"]
    assert not AuditEntry.objects.exists()


def test_a_viewers_token_may_no_more_than_the_viewer() -> None:
    client, _ = signed_in_client(factories.user(role=roles.VIEWER))
    with_token = bearer(client.post(TOKENS, {"name": "more"}).json()["token"])

    spec = {"name": "x", "experiment": "train_char_lm", "task_count": 1, "time_budget_seconds": 9}
    assert with_token.post("/api/v1/campaigns", spec).status_code == 403
    assert with_token.post("/api/v1/campaigns/preview", spec).status_code == 403
    assert with_token.get(AUDIT).status_code == 403
    assert with_token.post("/api/v1/invitations", {}).status_code == 403


@pytest.mark.parametrize("name", ["", " ", "n" * 101, 5, None])
def test_a_token_needs_a_name_that_says_what_it_is_for(name: object) -> None:
    client, _ = signed_in_client()

    answer = client.post(TOKENS, {"name": name})

    assert (answer.status_code, list(answer.json()["fields"])) == (400, ["name"])
    assert not PersonalToken.objects.exists()


def test_nobody_has_more_tokens_than_allowed() -> None:
    client, user = signed_in_client()
    PersonalToken.objects.bulk_create(
        PersonalToken(user=user, name="old", token_hash=str(number))
        for number in range(personal_tokens.MAX_TOKENS)
    )

    answer = client.post(TOKENS, {"name": "one more"})

    assert answer.status_code == 400
    assert "revoke one first" in answer.json()["message"]


def test_a_revoked_token_opens_nothing_from_the_next_request_on() -> None:
    client, _ = signed_in_client()
    token = client.post(TOKENS, {"name": "lost laptop"}).json()

    assert client.delete(f"{TOKENS}/{token['id']}").status_code == 204

    assert bearer(token["token"]).get("/api/v1/account").status_code == 401
    assert client.get("/api/v1/account").status_code == 200


def acts(client: APIClient, **query: object) -> list[str]:
    reply = client.get(AUDIT, query).json()
    return [
        f"{entry['actor_name']} {entry['verb']} {entry['target_name']}"
        for entry in reply["results"]
    ]


def test_operators_read_the_log_narrowed_by_person_verb_target_and_time() -> None:
    operator, _ = researcher_client(factories.user("olga", role=roles.OPERATOR))
    ada, _ = researcher_client(factories.user("ada"))
    spec = {"experiment": "train_char_lm", "task_count": 1, "time_budget_seconds": 9}
    warm = ada.post("/api/v1/campaigns", spec | {"name": "Warm-up"}).json()
    ada.post("/api/v1/campaigns", spec | {"name": "Depth"})
    operator.post(f"/api/v1/campaigns/{warm['id']}/launch")

    assert acts(operator) == ["olga launch Warm-up", "ada create Depth", "ada create Warm-up"]
    assert acts(operator, person="AD") == ["ada create Depth", "ada create Warm-up"]
    assert acts(operator, verb="launch") == ["olga launch Warm-up"]
    assert acts(operator, kind="campaign", target=warm["id"]) == [
        "olga launch Warm-up",
        "ada create Warm-up",
    ]
    assert acts(operator, search="dep") == ["ada create Depth"]
    assert acts(operator, since="2999-01-01T00:00:00Z") == []
    assert len(acts(operator, until="2999-01-01T00:00:00Z")) == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("target", "x"),
        ("target", "1e999999999"),
        ("target", "-1"),
        ("since", "yesterday"),
        ("since", "0001-01-01T00:00:00+23:59"),
        ("until", "9999-12-31T23:59:59-23:59"),
        ("verb", "a\0b"),
    ],
)
def test_a_filter_that_is_wrong_is_refused_by_field(name: str, value: str) -> None:
    operator, _ = researcher_client(factories.user(role=roles.OPERATOR))

    answer = operator.get(AUDIT, {name: value})

    assert (answer.status_code, list(answer.json()["fields"])) == (400, [name])


def test_the_log_comes_in_pages_that_overlap_nowhere() -> None:
    operator, user = researcher_client(factories.user(role=roles.OPERATOR))
    AuditEntry.objects.bulk_create(
        AuditEntry(at=factories.NOW, actor=user, actor_name="x", verb=f"verb {number}")
        for number in range(5)
    )

    verbs = []
    reply = operator.get(AUDIT, {"page_size": 2}).json()
    while reply:
        verbs += [entry["verb"] for entry in reply["results"]]
        reply = operator.get(reply["next"]).json() if reply["next"] else None

    assert verbs == [f"verb {number}" for number in (4, 3, 2, 1, 0)]
