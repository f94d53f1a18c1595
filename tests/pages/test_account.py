"""The settings page with its tokens, and the audit log."""

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils.html import escape

from campaigns import steering
from campaigns.models import PersonalToken
from campaigns.tokens import personal_tokens
from tests import factories
from workers import audit
from workers.models import AuditEntry
from workers.tokens import hash_token

pytestmark = pytest.mark.django_db

HOSTILE = '<script>alert(1)</script> {{ 7*7 }} \u202e\' onload="x"'


def make_token(client: Client, name: str = "notebook") -> str:
    """Make a token on the page and return its secret."""
    page = client.post(reverse("account-token"), {"name": name}).text
    match = re.search(r'<pre id="token-secret"[^>]*>(xp_[\w-]+)</pre>', page)
    assert match
    return match[1]


@pytest.mark.parametrize(
    ("role", "words"),
    [("viewer", "reads everything"), ("researcher", "their own"), ("operator", "steers workers")],
)
def test_the_settings_say_ones_role_and_what_it_allows(
    client: Client, role: str, words: str
) -> None:
    client.force_login(factories.user(role=role))
    page = client.get(reverse("account")).text
    assert f"Your role: {role}" in page
    assert f"<dt>{role} (you)</dt>" in page
    assert words in page
    assert "You have no token yet." in page


def test_a_token_is_shown_once_and_opens_the_api(client: Client) -> None:
    user = factories.user("ada")
    client.force_login(user)
    secret = make_token(client)
    token = PersonalToken.objects.get()
    assert (token.user, token.name, token.token_hash) == (user, "notebook", hash_token(secret))
    page = client.get(reverse("account")).text
    assert "notebook" in page
    assert secret not in page
    assert token.token_hash not in page
    answer = Client().get(reverse("api-campaigns"), headers={"Authorization": f"Bearer {secret}"})
    assert answer.status_code == 200
    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.verb, entry.target_name) == (user, "create_token", str(token))
    assert secret not in entry.detail


def test_the_page_with_the_secret_is_not_cached(client: Client) -> None:
    client.force_login(factories.user())
    response = client.post(reverse("account-token"), {"name": "notebook"})
    assert "no-store" in response["Cache-Control"]


def test_a_revoked_token_opens_nothing(client: Client) -> None:
    client.force_login(factories.user())
    secret = make_token(client)
    path = reverse("account-token-revoke", args=[PersonalToken.objects.get().pk])
    assert client.get(path).status_code == 405
    page = client.post(path, follow=True).text
    assert "The token “notebook” is revoked" in page
    answer = Client().get(reverse("api-campaigns"), headers={"Authorization": f"Bearer {secret}"})
    assert answer.status_code == 401
    assert AuditEntry.objects.filter(verb="revoke_token").exists()


def test_nobody_revokes_the_token_of_another(client: Client) -> None:
    owner = factories.user()
    token, _ = personal_tokens.create(owner, "mine", now=factories.NOW)
    client.force_login(factories.user(role="operator", is_staff=True))
    path = reverse("account-token-revoke", args=[token.pk])
    assert client.post(path).status_code == 404
    assert PersonalToken.objects.filter(pk=token.pk).exists()
    assert "mine" not in client.get(reverse("account")).text


@pytest.mark.parametrize("name", ["", "   ", "x" * 101, "a\0b"])
def test_a_token_needs_a_name_to_be_known_by(client: Client, name: str) -> None:
    client.force_login(factories.user())
    response = client.post(reverse("account-token"), {"name": name})
    assert response.status_code == 422
    assert "what the token is for" in response.text
    assert not PersonalToken.objects.exists()


def test_tokens_are_bounded(client: Client) -> None:
    user = factories.user("ada")
    PersonalToken.objects.bulk_create(
        PersonalToken(user=user, name=f"token {n}", token_hash=f"{n:064}")
        for n in range(personal_tokens.MAX_TOKENS)
    )
    client.force_login(user)
    response = client.post(reverse("account-token"), {"name": "one more"})
    assert "ada has 50 tokens already; revoke one first." in response.text


def test_a_stranger_is_sent_to_sign_in(client: Client) -> None:
    for name in ("account", "audit"):
        assert client.get(reverse(name)).status_code == 302
    assert client.post(reverse("account-token"), {"name": "x"}).status_code == 302
    assert client.post(reverse("account-token-revoke", args=[1])).status_code == 302


def test_the_audit_log_shows_who_did_what_to_what(client: Client) -> None:
    ada = factories.user("ada")
    campaign = factories.campaign(owner=ada, name="width study")
    steering.launch(ada, campaign, now=factories.NOW)
    client.force_login(factories.user(role="operator"))
    page = client.get(reverse("audit")).text
    assert f'href="{campaign.get_absolute_url()}"><bdi>width study</bdi>' in page
    assert '<td class="mono">launch</td>' in page
    assert "<bdi>ada</bdi>" in page


def test_the_audit_log_is_filtered(client: Client) -> None:
    ada, bob = factories.user("ada"), factories.user("bob")
    campaign, worker = factories.campaign(name="width study"), factories.worker("lab-1")
    audit.record(ada, "launch", campaign, now=factories.NOW)
    audit.record(bob, "drain", worker, now=factories.NOW)
    client.force_login(factories.user(role="operator"))

    def verbs(**query: str) -> list[str]:
        page = client.get(reverse("audit"), query).text
        return re.findall(r'<td class="mono">(\w+)</td>', page)

    assert verbs() == ["drain", "launch"]
    assert verbs(person="AD") == ["launch"]
    assert verbs(verb="drain") == ["drain"]
    assert verbs(kind="campaign") == ["launch"]
    assert verbs(q="lab") == ["drain"]
    assert verbs(q="lab", person="ada") == []
    assert "No entry matches." in client.get(reverse("audit"), {"q": "nothing"}).text
    # A search for NUL matches nothing and must not break the page.
    assert client.get(reverse("audit"), {"q": "\0"}).status_code == 200


def test_an_empty_audit_log_says_what_will_stand_there(client: Client) -> None:
    client.force_login(factories.user(role="operator"))
    assert "Nobody has changed anything yet." in client.get(reverse("audit")).text


@pytest.mark.parametrize("role", ["viewer", "researcher"])
def test_only_operators_read_the_audit_log(client: Client, role: str) -> None:
    client.force_login(factories.user(role=role))
    response = client.get(reverse("audit"))
    assert response.status_code == 403
    assert "Only operators may read the audit log." in response.text
    assert reverse("audit") not in client.get(reverse("overview")).text


def test_entries_outlive_the_account(client: Client) -> None:
    ada = factories.user("ada")
    audit.record(ada, "launch", factories.campaign(), now=factories.NOW)
    User.objects.filter(pk=ada.pk).delete()
    client.force_login(factories.user(role="operator"))
    assert "<bdi>ada</bdi> <span" in client.get(reverse("audit")).text


def test_hostile_text_is_shown_verbatim(client: Client) -> None:
    operator = factories.user(role="operator")
    client.force_login(operator)
    make_token(client, HOSTILE)
    audit.record(
        operator, "pause", factories.campaign(name=HOSTILE), now=factories.NOW, detail=HOSTILE
    )
    for name in ("account", "audit"):
        page = client.get(reverse(name)).text
        assert escape(HOSTILE) in page
        assert "<script>alert" not in page


def test_the_queries_of_both_pages_do_not_grow(
    client: Client, django_assert_max_num_queries
) -> None:
    operator = factories.user(role="operator", is_staff=True)
    client.force_login(operator)
    campaign = factories.campaign()
    for number in range(60):
        audit.record(operator, "launch", campaign, now=factories.at(number))
    for number in range(5):
        personal_tokens.create(operator, f"token {number}", now=factories.NOW)
    with django_assert_max_num_queries(4):
        client.get(reverse("account"))
    with django_assert_max_num_queries(7):
        page = client.get(reverse("audit")).text
    assert "Page 1 of 2" in page
