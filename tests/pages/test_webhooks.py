"""The pages of webhooks: who sees and changes them, their secret and their log."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from campaigns.models import Webhook, WebhookDelivery
from campaigns.notifications import delivery, hooks
from tests import factories
from workers.models import AuditEntry
from xeenet_site.web import roles

pytestmark = pytest.mark.django_db

HOSTILE = "<img src=x onerror=alert(1)> {{ 7*7 }} \u202egnp.exe"
FORM = {"url": "https://8.8.8.8/hook", "events": ["new_best", "silent_fleet"]}


def hook(owner: Any, **fields: Any) -> Webhook:
    values = {"url": "https://8.8.8.8/hook", "secret": "xs_hidden", "events": ["new_best"]} | fields
    return Webhook.objects.create(owner=owner, **values)


def delivery_to(webhook: Webhook, **fields: Any) -> WebhookDelivery:
    values = {"event": "new_best", "payload": {"text": "a new lead"}} | fields
    number = webhook.deliveries.count()
    return WebhookDelivery.objects.create(webhook=webhook, event_key=f"key {number}", **values)


@pytest.fixture
def ada(client: Client) -> Any:
    user = factories.user("ada")
    client.force_login(user)
    return user


def test_the_secret_is_shown_once_and_nothing_else_shows_it(client: Client, ada: Any) -> None:
    response = client.post(reverse("webhooks"), FORM)
    match = re.search(r"xs_[\w-]{40,}", response.text)
    assert match
    assert "no-store" in response["Cache-Control"]
    webhook = Webhook.objects.get()
    assert webhook.secret == match[0]
    assert (webhook.owner, webhook.campaign, webhook.events) == (
        ada,
        None,
        ["new_best", "silent_fleet"],
    )
    for path in (reverse("webhooks"), reverse("webhook", args=[webhook.pk])):
        assert "xs_" not in client.get(path).text


def test_the_snippet_on_the_page_verifies_what_is_sent(client: Client, ada: Any) -> None:
    page = client.post(reverse("webhooks"), FORM).text
    snippet = re.search(r'<pre id="verify-snippet"[^>]*>(.*?)</pre>', page, re.DOTALL)
    assert snippet
    scope: dict[str, Any] = {}
    exec(html.unescape(snippet[1]), scope)
    verify, now = scope["is_from_xeenet"], int(scope["time"].time())
    header = delivery.sign("xs_secret", now, b"{}")
    assert verify("xs_secret", header, b"{}")
    assert not verify("xs_secret", header, b"{} ")
    assert not verify("xs_other", header, b"{}")
    assert not verify("xs_secret", delivery.sign("xs_secret", now - 600, b"{}"), b"{}")


def test_a_webhook_made_on_a_campaigns_page_is_for_that_campaign(client: Client, ada: Any) -> None:
    campaign = factories.campaign(name="width study")
    path = reverse("campaign-webhooks", args=[campaign.pk])
    assert "New webhook for this campaign" in client.get(path).text
    client.post(path, FORM)
    assert Webhook.objects.get().campaign == campaign


def test_a_campaigns_page_lists_what_hears_of_it(client: Client, ada: Any) -> None:
    campaign, other_campaign = factories.campaign(), factories.campaign()
    hook(ada, url="https://8.8.8.8/of-all")
    hook(ada, url="https://8.8.8.8/of-campaign", campaign=campaign)
    hook(ada, url="https://8.8.8.8/of-other", campaign=other_campaign)
    page = client.get(reverse("campaign-webhooks", args=[campaign.pk])).text
    assert ["of-all" in page, "of-campaign" in page, "of-other" in page] == [True, True, False]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"url": "http://127.0.0.1/"}, "not on the public internet"),
        ({"url": "http://[::ffff:10.0.0.1]/"}, "not on the public internet"),
        ({"url": "https://nowhere.invalid/"}, "has no address; check the spelling"),
        ({"url": "https://ada:pw@8.8.8.8/"}, "Leave user name and password out"),
        ({"url": "ftp://8.8.8.8/"}, "must begin with https:// or http://"),
        ({"url": "not an address"}, "Enter a valid URL"),
        ({"url": ""}, "This field is required"),
        ({"events": []}, "Choose at least one event"),
        ({"events": ["everything"]}, "is not one of the available choices"),
    ],
    ids=lambda value: next(iter(value.values())) if isinstance(value, dict) else "",
)
def test_what_is_wrong_is_said_at_its_field(
    client: Client, ada: Any, changes: dict[str, Any], sentence: str
) -> None:
    response = client.post(reverse("webhooks"), FORM | changes)
    assert response.status_code == 422
    assert sentence in html.unescape(response.text)
    assert not Webhook.objects.exists()

    webhook = hook(ada, url="https://8.8.4.4/before")
    path = reverse("webhook-edit", args=[webhook.pk])
    edited = client.post(path, FORM | changes)
    assert edited.status_code == 422
    assert sentence in html.unescape(edited.text)
    webhook.refresh_from_db()
    assert (webhook.url, webhook.events) == ("https://8.8.4.4/before", ["new_best"])
    assert not AuditEntry.objects.filter(verb="edit").exists()


def test_the_owner_edits_where_it_goes_and_what_it_hears_and_its_secret_stays(
    client: Client, ada: Any
) -> None:
    campaign = factories.campaign(name="width study")
    webhook = hook(ada)
    path = reverse("webhook-edit", args=[webhook.pk])
    assert path in client.get(reverse("webhook", args=[webhook.pk])).text
    page = client.get(path).text
    assert 'value="https://8.8.8.8/hook"' in page
    assert re.findall(r'value="(\w+)" checked', page) == ["new_best"]
    assert "xs_hidden" not in page

    changes = {"url": "https://8.8.4.4/else", "events": ["silent_fleet"], "campaign": campaign.pk}
    assert client.post(path, changes)["Location"] == reverse("webhook", args=[webhook.pk])

    webhook.refresh_from_db()
    assert (webhook.url, webhook.events) == ("https://8.8.4.4/else", ["silent_fleet"])
    assert (webhook.campaign, webhook.secret, webhook.owner) == (campaign, "xs_hidden", ada)
    assert f'value="{campaign.pk}"' in client.get(path).text
    entry = AuditEntry.objects.get()
    assert (entry.actor_name, entry.verb, entry.target_kind) == ("ada", "edit", "webhook")
    client.post(path, changes | {"campaign": ""})
    webhook.refresh_from_db()
    assert webhook.campaign is None


def test_a_campaign_that_is_not_there_is_said_at_its_field(client: Client, ada: Any) -> None:
    webhook = hook(ada)
    response = client.post(reverse("webhook-edit", args=[webhook.pk]), FORM | {"campaign": "987"})
    assert response.status_code == 422
    assert "There is no campaign 987." in response.text


def test_nobody_has_more_than_a_handful(client: Client, ada: Any) -> None:
    for _ in range(hooks.MAX_PER_OWNER):
        hook(ada)
    response = client.post(reverse("webhooks"), FORM)
    assert (response.status_code, Webhook.objects.count()) == (422, hooks.MAX_PER_OWNER)
    assert "delete one first" in response.text


def test_an_empty_page_says_what_to_do(client: Client, ada: Any) -> None:
    page = client.get(reverse("webhooks")).text
    assert "No webhook yet" in page
    webhook = hook(ada)
    assert "Press “Send a test”" in client.get(reverse("webhook", args=[webhook.pk])).text


def test_strangers_to_the_installation_sign_in_first(client: Client) -> None:
    webhook = hook(factories.user())
    for path in (reverse("webhooks"), reverse("webhook", args=[webhook.pk])):
        assert client.get(path)["Location"] == f"{reverse('login')}?next={path}"


def test_a_viewer_is_told_who_may_and_cannot(client: Client) -> None:
    client.force_login(factories.user(role=roles.VIEWER))
    page = client.get(reverse("webhooks")).text
    assert "Researchers and operators can make them" in page
    assert "Make webhook" not in page
    assert client.post(reverse("webhooks"), FORM).status_code == 403
    assert not Webhook.objects.exists()


def requests_about(webhook: Webhook, row: WebhookDelivery) -> list[tuple[str, str]]:
    changes = [
        ("post", reverse("webhook-change", args=[webhook.pk, verb]))
        for verb in ("test", "disable", "enable")
    ]
    return [
        ("get", reverse("webhook", args=[webhook.pk])),
        ("get", reverse("webhook-edit", args=[webhook.pk])),
        *changes,
        ("post", reverse("webhook-again", args=[row.pk])),
        ("post", reverse("webhook-change", args=[webhook.pk, "delete"])),
    ]


@pytest.mark.parametrize(
    ("caller", "expected"),
    [
        ("another researcher", {403}),
        ("a viewer", {403}),
        ("the owner", {200, 302}),
        ("an operator", {200, 302}),
    ],
)
def test_only_the_owner_and_operators_see_and_change_a_webhook(
    client: Client, caller: str, expected: set[int]
) -> None:
    owner = factories.user()
    people = {
        "another researcher": factories.user(),
        "a viewer": factories.user(role=roles.VIEWER),
        "the owner": owner,
        "an operator": factories.user(role=roles.OPERATOR),
    }
    webhook = hook(owner)
    row = delivery_to(webhook)
    client.force_login(people[caller])
    answers = {
        getattr(client, method)(path).status_code for method, path in requests_about(webhook, row)
    }
    assert answers == expected
    assert Webhook.objects.exists() == (expected == {403})
    listed = webhook.url in client.get(reverse("webhooks")).text
    assert not listed  # deleted, or never shown


def test_the_list_shows_ones_own_and_operators_everybodys(client: Client, ada: Any) -> None:
    hook(factories.user("bob"), url="https://8.8.8.8/of-bob")
    hook(ada, url="https://8.8.8.8/of-ada")
    page = client.get(reverse("webhooks")).text
    assert "of-ada" in page
    assert "of-bob" not in page
    client.force_login(factories.user(role=roles.OPERATOR))
    assert "of-bob" in client.get(reverse("webhooks")).text


def test_changes_are_made_by_post_only_and_are_written_down(client: Client, ada: Any) -> None:
    client.post(reverse("webhooks"), FORM)
    webhook = Webhook.objects.get()
    for verb in ("disable", "enable", "test", "delete"):
        path = reverse("webhook-change", args=[webhook.pk, verb])
        assert client.get(path).status_code == 405
        assert client.post(path).status_code == 302
    entries = AuditEntry.objects.order_by("pk").values_list("actor_name", "verb", "target_kind")
    assert [entry for entry in entries if entry[2] == "webhook"] == [
        ("ada", verb, "webhook") for verb in ("create", "disable", "enable", "send_test", "delete")
    ]


def test_a_test_is_written_as_such(client: Client, ada: Any) -> None:
    webhook = hook(ada)
    for _ in range(2):
        client.post(reverse("webhook-change", args=[webhook.pk, "test"]))
    rows = WebhookDelivery.objects.all()
    assert [row.payload["test"] for row in rows] == [True, True]
    page = client.get(reverse("webhook", args=[webhook.pk])).text
    assert page.count("<strong>Test</strong>") == 2


def test_the_log_shows_each_deliverys_fate_and_sends_it_again(client: Client, ada: Any) -> None:
    webhook = hook(ada)
    row = delivery_to(
        webhook, state="failed", attempts=8, last_status=500, last_error="It answered 500."
    )
    delivery_to(webhook, state="delivered", attempts=1, last_status=204)
    page = client.get(reverse("webhook", args=[webhook.pk])).text
    for words in ("8 / 8", "It answered 500.", "</svg>delivered</span>", "204"):
        assert words in page
    client.post(reverse("webhook-again", args=[row.pk]))
    row.refresh_from_db()
    assert (row.state, row.attempts) == ("pending", 0)
    assert "Send now" in client.get(reverse("webhook", args=[webhook.pk])).text


def test_a_sent_again_delivery_arrives_though_its_last_try_ends_later(ada: Any) -> None:
    """A person sends again while the job waits for an answer: the job's failure is outdated."""
    row = delivery_to(hook(ada), next_attempt_at=factories.NOW)
    (claimed,) = delivery._claim(factories.NOW, set())
    hooks.send_again(ada, row, now=factories.NOW)
    delivery._record(claimed, delivery.SendResult(None, "refused", is_final=True), factories.NOW)
    row.refresh_from_db()
    assert (row.state, row.attempts) == ("pending", 0)


def test_hostile_text_is_shown_as_it_is(client: Client, ada: Any) -> None:
    campaign = factories.campaign(name=HOSTILE)
    webhook = hook(ada, campaign=campaign)
    delivery_to(webhook, payload={"text": HOSTILE}, state="failed", last_error=HOSTILE)
    for path in (
        reverse("webhooks"),
        reverse("webhook", args=[webhook.pk]),
        reverse("campaign-webhooks", args=[campaign.pk]),
    ):
        page = client.get(path).text
        assert "<img src=x" not in page
        assert html.escape(HOSTILE) in page


def test_the_queries_of_the_pages_do_not_grow(
    client: Client, ada: Any, django_assert_num_queries: Any
) -> None:
    campaign = factories.campaign()
    for _ in range(5):
        webhook = hook(ada, campaign=campaign)
        for _ in range(5):
            delivery_to(webhook)
    clock = connection.vendor == "postgresql"
    with django_assert_num_queries(3 + clock):  # session, user with role, list
        client.get(reverse("webhooks"))
    with django_assert_num_queries(5 + clock):  # and webhook, count, page
        client.get(reverse("webhook", args=[webhook.pk]))


def test_the_log_refreshes_as_a_fragment(client: Client, ada: Any) -> None:
    webhook = hook(ada)
    page = client.get(reverse("webhook", args=[webhook.pk]), headers={"HX-Request": "true"}).text
    assert 'id="webhook"' in page
    assert "<html" not in page
