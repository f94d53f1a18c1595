"""webhooks: create, edit, enable, disable, test, delete; and the log of their deliveries."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from campaigns.models import Webhook, WebhookDelivery
from campaigns.notifications import hooks
from tests import factories
from tests.clients import researcher_client
from workers.models import AuditEntry
from xeenet_site.web import roles

pytestmark = pytest.mark.django_db
URL = "/api/v1/webhooks"
BODY = {"url": "https://8.8.8.8/hook", "events": ["silent_fleet", "new_best"]}


def create(client: APIClient, **changes: Any) -> dict[str, Any]:
    answer = client.post(URL, BODY | changes)
    assert answer.status_code == 201, answer.json()
    reply: dict[str, Any] = answer.json()
    return reply


def test_the_secret_is_in_the_first_answer_and_in_no_other() -> None:
    client, owner = researcher_client()

    answer = client.post(URL, BODY)

    hook = Webhook.objects.get()
    reply = answer.json()
    assert answer.status_code == 201
    assert reply["secret"] == hook.secret
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Location"] == f"{URL}/{hook.pk}"
    assert (hook.owner, reply["events"], reply["campaign_id"]) == (
        owner,
        ["new_best", "silent_fleet"],
        None,
    )
    for path in (URL, f"{URL}/{hook.pk}"):
        assert hook.secret not in client.get(path).content.decode()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"url": "http://127.0.0.1/"}, "url"),
        ({"url": "http://10.0.0.1/"}, "url"),
        ({"url": "ftp://8.8.8.8/"}, "url"),
        ({"url": "https://ada:pw@8.8.8.8/"}, "url"),
        ({"url": "https://8.8.8.8/\r\nX: y"}, "url"),
        ({"url": 5}, "url"),
        ({"url": ""}, "url"),
        ({"events": []}, "events"),
        ({"events": ["everything"]}, "events.0"),
        ({"events": "new_best"}, "events"),
        ({"campaign_id": 999}, "campaign_id"),
        ({"campaign_id": True}, "campaign_id"),
        ({"secret": "mine"}, "secret"),
    ],
    ids=str,
)
def test_what_is_wrong_is_said_at_its_field_and_nothing_is_stored_or_changed(
    changes: dict[str, Any], field: str
) -> None:
    client, owner = researcher_client()

    refused = client.post(URL, BODY | changes)
    hook = Webhook.objects.create(owner=owner, url="https://8.8.4.4/", events=["new_best"])
    not_edited = client.patch(f"{URL}/{hook.pk}", changes)

    for answer in (refused, not_edited):
        assert answer.status_code == 400
        assert list(answer.json()["fields"]) == [field]
    hook.refresh_from_db()
    assert (hook.url, hook.events, hook.campaign) == ("https://8.8.4.4/", ["new_best"], None)
    assert Webhook.objects.count() == 1


def test_an_edit_changes_what_it_names_and_keeps_secret_and_log() -> None:
    client, _ = researcher_client()
    campaign = factories.campaign()
    first = create(client)
    client.post(f"{URL}/{first['id']}/test")

    for change in ({"url": "https://8.8.4.4/"}, {"campaign_id": campaign.pk}):
        assert client.patch(f"{URL}/{first['id']}", change).status_code == 200
    reply = client.get(f"{URL}/{first['id']}").json()

    assert (reply["url"], reply["campaign_id"]) == ("https://8.8.4.4/", campaign.pk)
    assert (reply["events"], reply["waiting"]) == (["new_best", "silent_fleet"], 1)
    assert Webhook.objects.get().secret == first["secret"]
    everywhere = client.patch(f"{URL}/{first['id']}", {"campaign_id": None}).json()
    assert everywhere["campaign_id"] is None


def test_each_act_is_in_the_log_with_its_person() -> None:
    client, owner = researcher_client()
    address = f"{URL}/{create(client)['id']}"

    client.patch(address, {"events": ["new_best"]})
    assert client.post(f"{address}/disable").json()["is_active"] is False
    assert client.post(f"{address}/enable").json()["is_active"] is True
    assert client.post(f"{address}/test").json()["waiting"] == 1
    delivery = WebhookDelivery.objects.get()
    client.post(f"/api/v1/deliveries/{delivery.pk}/again")
    assert client.delete(address).status_code == 204

    acts = ["create", "edit", "disable", "enable", "send_test", "send_again", "delete"]
    entries = AuditEntry.objects.order_by("pk")
    assert list(entries.values_list("verb", flat=True)) == acts
    assert set(entries.values_list("actor", flat=True)) == {owner.pk}
    assert not Webhook.objects.exists()


def test_viewers_make_none_and_see_none_of_others_while_operators_see_all() -> None:
    owner, _ = researcher_client()
    viewer, _ = researcher_client(factories.user(role=roles.VIEWER))
    operator, _ = researcher_client(factories.user(role=roles.OPERATOR))
    create(owner)

    assert viewer.post(URL, BODY).status_code == 403
    counts = [len(client.get(URL).json()["results"]) for client in (owner, viewer, operator)]
    assert counts == [1, 0, 1]


def test_one_webhook_more_than_a_person_may_have_is_a_conflict() -> None:
    client, owner = researcher_client()
    Webhook.objects.bulk_create(
        Webhook(owner=owner, url=BODY["url"], events=["new_best"])
        for _ in range(hooks.MAX_PER_OWNER)
    )

    answer = client.post(URL, BODY)

    assert (answer.status_code, answer.json()["code"]) == (409, "wrong_state")
    assert "delete one first" in answer.json()["message"]


def test_the_list_is_narrowed_to_what_hears_of_a_campaign() -> None:
    client, _ = researcher_client()
    campaign, other_campaign = factories.campaign(), factories.campaign()
    of_all, of_campaign = create(client), create(client, campaign_id=campaign.pk)
    create(client, campaign_id=other_campaign.pk)

    listed = client.get(URL, {"campaign": campaign.pk}).json()["results"]

    assert [webhook["id"] for webhook in listed] == [of_campaign["id"], of_all["id"]]


def test_deliveries_are_narrowed_by_state_and_event_and_sent_again() -> None:
    client, _ = researcher_client()
    hook = Webhook.objects.get(pk=create(client)["id"])
    for number, (event, state) in enumerate(
        [("new_best", "failed"), ("new_best", "delivered"), ("silent_fleet", "failed")]
    ):
        hook.deliveries.create(event=event, state=state, attempts=8, event_key=number, payload={})
    address = f"{URL}/{hook.pk}/deliveries"

    def deliveries(**query: str) -> list[tuple[str, str]]:
        reply = client.get(address, query).json()["results"]
        return [(delivery["event"], delivery["state"]) for delivery in reply]

    assert deliveries(state="failed") == [("silent_fleet", "failed"), ("new_best", "failed")]
    assert deliveries(state="failed", event="new_best") == [("new_best", "failed")]
    assert client.get(address, {"state": "odd"}).status_code == 400
    failed = client.get(address, {"state": "failed"}).json()["results"][0]
    again = client.post(f"/api/v1/deliveries/{failed['id']}/again").json()
    assert (again["state"], again["attempts"]) == ("pending", 0)


def test_the_list_costs_the_same_however_long_it_is(
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    client, owner = researcher_client()
    campaign = factories.campaign()
    for _ in range(5):
        hook = Webhook.objects.create(
            owner=owner, campaign=campaign, url="https://8.8.8.8/", events=["new_best"]
        )
        hook.deliveries.create(event="new_best", event_key="once", payload={})

    with django_assert_max_num_queries(5):  # the token and its use, the role, the page, the time
        assert len(client.get(URL).json()["results"]) == 5
