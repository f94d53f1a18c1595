"""xeenet_site.accounts: a session's person and role are one query, and older sessions stay."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import BACKEND_SESSION_KEY, authenticate
from django.test import Client
from django.urls import reverse

from tests import factories
from xeenet_site.accounts import AccountBackend
from xeenet_site.web import roles

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("role", roles.ROLES)
def test_a_person_comes_with_their_role(role: str, django_assert_num_queries: Any) -> None:
    person = factories.user("ada", role=role)
    with django_assert_num_queries(1):
        user = AccountBackend().get_user(person.pk)
        assert (user, roles.role_of(user)) == (person, role)


def test_a_person_who_was_shut_out_has_no_session_any_more() -> None:
    person = factories.user("ada")
    type(person).objects.update(is_active=False)
    assert AccountBackend().get_user(person.pk) is None


def test_a_wrong_password_is_hashed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    person = factories.user("ada")
    checked: list[str] = []
    monkeypatch.setattr(type(person), "check_password", lambda _, raw: checked.append(raw))
    assert authenticate(username="ada", password="wrong") is None
    assert checked == ["wrong"]


def test_a_session_from_before_this_backend_is_still_one(client: Client) -> None:
    client.force_login(factories.user("ada"), backend="django.contrib.auth.backends.ModelBackend")
    assert client.session[BACKEND_SESSION_KEY].startswith("django.")
    assert client.get(reverse("account")).status_code == 200
