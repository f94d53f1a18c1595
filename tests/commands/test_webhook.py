"""``manage.py webhook VERB`` and ``token VERB``."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from campaigns.models import PersonalToken, Webhook
from campaigns.tokens import personal_tokens
from tests import factories
from workers.models import AuditEntry
from xeenet_site.web import roles

pytestmark = pytest.mark.django_db
URL = "https://8.8.8.8/hook"


def run(command: str, *arguments: Any) -> str:
    output = StringIO()
    call_command(command, *map(str, arguments), stdout=output, stderr=StringIO())
    return output.getvalue()


def test_a_webhook_goes_through_its_life_and_each_act_is_in_the_log() -> None:
    factories.user("ada")
    campaign = factories.campaign()

    created = run("webhook", "create", "ada", URL, "--event", "new_best", "--campaign", campaign.pk)
    hook = Webhook.objects.get()
    edited = run("webhook", "edit", hook.pk, "--event", "silent_fleet", "--campaign", 0)
    disabled = run("webhook", "disable", hook.pk)
    run("webhook", "enable", hook.pk)
    run("webhook", "test", hook.pk)
    delivery = hook.deliveries.get()
    again = run("webhook", "send-again", delivery.pk)
    deliveries = run("webhook", "deliveries", hook.pk, "--state", "pending")
    run("webhook", "delete", hook.pk)

    assert hook.secret in created
    assert f"of campaign {campaign.pk} to {URL}" in created
    assert f"is on: silent_fleet of every campaign to {URL}" in edited
    assert "is off" in disabled
    assert again == deliveries
    assert "silent_fleet, is pending after 0 tries" in again
    assert not Webhook.objects.exists()
    entries = AuditEntry.objects.order_by("pk").values_list("verb", "actor_name")
    verbs = ["create", "edit", "disable", "enable", "send_test", "send_again", "delete"]
    assert list(entries) == [(verb, "command line") for verb in verbs]


def test_the_list_names_owner_and_address_and_no_secret() -> None:
    for name in ("ada", "bob"):
        factories.user(name)
        run("webhook", "create", name, f"{URL}/{name}", "--event", "new_best")

    assert "ada" in run("webhook", "list")
    of_bob = run("webhook", "list", "--owner", "bob")
    assert "ada" not in of_bob
    assert "xs_" not in of_bob


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("create", "ada", "http://127.0.0.1/", "--event", "new_best"), "not on the public"),
        (("create", "eve", URL, "--event", "new_best"), "Only researchers and operators"),
        (("create", "nobody", URL, "--event", "new_best"), "There is no user 'nobody'"),
        (("create", "ada", URL), "--event"),
        (("create", "ada", URL, "--event", "new_best", "--campaign", 999), "no campaign 999"),
        (("disable", 999), "There is no webhook 999"),
        (("send-again", 999), "There is no delivery 999"),
    ],
    ids=str,
)
def test_what_is_refused_over_the_api_is_refused_here(
    arguments: tuple[Any, ...], sentence: str
) -> None:
    factories.user("ada")
    factories.user("eve", role=roles.VIEWER)

    with pytest.raises(CommandError, match=sentence):
        run("webhook", *arguments)
    assert not Webhook.objects.exists()


def test_tokens_are_listed_and_revoked() -> None:
    user = factories.user("ada")
    remaining, _ = personal_tokens.create(user, "kept", now=factories.NOW)
    lost, _ = personal_tokens.create(user, "lost laptop", now=factories.NOW)

    assert f"{lost.pk:6}  lost laptop, last used: never" in run("token", "list", "ada")
    assert run("token", "revoke", lost.pk) == "The token lost laptop of ada is revoked.\n"

    assert PersonalToken.objects.get() == remaining
    assert AuditEntry.objects.latest("pk").verb == "revoke_token"
    with pytest.raises(CommandError, match="There is no token"):
        run("token", "revoke", lost.pk)
