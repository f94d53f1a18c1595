"""``manage.py create_token``."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client

from campaigns.models import PersonalToken
from tests import factories

pytestmark = pytest.mark.django_db


def test_the_token_is_shown_once_and_opens_the_api_for_its_owner() -> None:
    factories.user("ada")
    output = StringIO()
    call_command("create_token", "ada", "--name", "notebook", stdout=output, stderr=StringIO())
    secret = output.getvalue().strip()
    token = PersonalToken.objects.get()
    assert token.name == "notebook"
    assert secret not in token.token_hash
    body = {"name": "by token", "experiment": "train_char_lm", "task_count": 1}
    body["time_budget_seconds"] = 10
    answer = Client().post(
        "/api/v1/campaigns",
        body,
        content_type="application/json",
        headers={"authorization": f"Bearer {secret}"},
    )
    assert answer.status_code == 201, answer.content
    assert (
        Client().post("/api/v1/campaigns", body, content_type="application/json").status_code == 401
    )


def test_an_unknown_user_is_refused() -> None:
    with pytest.raises(CommandError, match="no user 'nobody'"):
        call_command("create_token", "nobody")
