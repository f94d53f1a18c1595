"""The buttons in a campaign's head: who sees them, their dialogs and their effects."""

import pytest
from django.test import Client
from django.urls import reverse

from campaigns import lifecycle
from campaigns.models import Campaign
from tests import factories
from workers.models import AuditEntry
from xeenet_site.web import roles

pytestmark = pytest.mark.django_db


def own(client: Client, campaign: Campaign) -> Campaign:
    """Give the campaign a new owner and sign that person in."""
    owner = factories.user()
    Campaign.objects.filter(pk=campaign.pk).update(owner=owner)
    client.force_login(owner)
    return campaign


def send(client: Client, name: str, campaign: Campaign, **fields: object) -> str:
    return client.post(reverse(name, args=[campaign.pk]), fields, follow=True).text


def test_tasks_are_added_and_the_log_says_who_did_it(client: Client) -> None:
    campaign = own(client, factories.active_campaign(2))
    assert "Added 3 tasks." in send(client, "campaign-add-tasks", campaign, count=3)
    campaign.refresh_from_db()
    assert (campaign.task_count, campaign.tasks.count()) == (5, 5)
    assert AuditEntry.objects.get().verb == "add_tasks"


@pytest.mark.parametrize("count", ["", "0", "-1", "many", "100000", "1e3"])
def test_a_number_of_tasks_that_cannot_be_added_is_refused_in_a_sentence(
    client: Client, count: str
) -> None:
    campaign = own(client, factories.active_campaign(2))
    page = send(client, "campaign-add-tasks", campaign, count=count)
    assert "No task was added. The number of tasks must be" in page
    assert campaign.tasks.count() == 2


def test_a_cancelled_campaign_does_not_grow(client: Client) -> None:
    campaign = own(client, factories.active_campaign(1))
    lifecycle.cancel(campaign, now=factories.NOW)
    page = send(client, "campaign-add-tasks", campaign, count=1)
    assert "No task was added. The campaign is cancelled" in page
    assert "add-dialog" not in page
    assert "tries-dialog" not in page


@pytest.mark.parametrize("verb", ["pause", "cancel"])
def test_who_stops_a_campaign_may_say_why_and_others_read_it(client: Client, verb: str) -> None:
    campaign = own(client, factories.active_campaign(2))
    assert f'id="{verb}-reason"' in client.get(campaign.get_absolute_url()).text
    path = reverse("campaign-change", args=[campaign.pk, verb])
    # The NUL is replaced, because no database stores it.
    reason = "the <b>class</b> needs the machines\0 "
    client.post(path, {"reason": reason})
    client.logout()
    page = client.get(campaign.get_absolute_url()).text
    shown_reason = "the &lt;b&gt;class&lt;/b&gt; needs the machines"
    assert f">{shown_reason}\ufffd</bdi>" in page
    assert (f"<p><strong>Paused</strong>: {shown_reason}" in page) == (verb == "pause")
    assert shown_reason in client.get(reverse("campaign-log", args=[campaign.pk])).text
    assert AuditEntry.objects.get().detail == "the <b>class</b> needs the machines\ufffd"


def test_a_reason_is_cut_to_what_a_campaign_keeps(client: Client) -> None:
    campaign = own(client, factories.active_campaign(1))
    client.post(reverse("campaign-change", args=[campaign.pk, "pause"]), {"reason": "x" * 501})
    campaign.refresh_from_db()
    assert campaign.state_reason == "x" * 500


def test_each_task_may_try_more_often(client: Client) -> None:
    campaign = own(client, factories.active_campaign(1))
    page = send(client, "campaign-more-tries", campaign, max_failed_attempts=4, max_lost_attempts=9)
    assert "Each task may try so often now." in page
    task = campaign.tasks.get()
    assert (task.max_failed_attempts, task.max_lost_attempts) == (4, 9)


def test_fewer_tries_than_today_are_refused_in_a_sentence(client: Client) -> None:
    campaign = own(client, factories.active_campaign(1))
    page = send(client, "campaign-more-tries", campaign, max_failed_attempts=1, max_lost_attempts=5)
    assert "The tries stay as they were. The tries that may fail must be from 2" in page


@pytest.mark.parametrize("name", ["campaign-add-tasks", "campaign-more-tries"])
@pytest.mark.parametrize(
    ("role", "status"),
    [(None, 302), (roles.VIEWER, 403), (roles.RESEARCHER, 403), (roles.OPERATOR, 302)],
)
def test_only_the_owner_and_operators_give_a_campaign_more(
    client: Client, name: str, role: str | None, status: int
) -> None:
    campaign = factories.active_campaign(1, owner=factories.user())
    if role:
        client.force_login(factories.user(role=role))
    fields = {"count": 1, "max_failed_attempts": 3, "max_lost_attempts": 6}
    response = client.post(reverse(name, args=[campaign.pk]), fields)
    assert response.status_code == status
    changed = Campaign.objects.get()
    grew = (changed.task_count, changed.max_failed_attempts) != (1, 2)
    assert grew is (role == roles.OPERATOR)
    assert client.get(reverse(name, args=[campaign.pk])).status_code == (302 if not role else 405)


@pytest.mark.parametrize(
    ("role", "buttons"),
    [
        (None, set()),
        (roles.VIEWER, set()),
        (roles.RESEARCHER, {"clone-link"}),
        (roles.OPERATOR, {"clone-link", "add-button", "tries-button", "cancel-button"}),
    ],
)
def test_people_see_the_buttons_that_they_may_press(
    client: Client, role: str | None, buttons: set[str]
) -> None:
    campaign = factories.active_campaign(1, owner=factories.user())
    if role:
        client.force_login(factories.user(role=role))
    page = client.get(campaign.get_absolute_url()).text
    all_buttons = {"clone-link", "add-button", "tries-button", "cancel-button"}
    assert {button for button in all_buttons if f'id="{button}"' in page} == buttons


def test_cloning_leads_to_the_form_with_this_campaign(client: Client) -> None:
    campaign = own(client, factories.campaign())
    page = client.get(campaign.get_absolute_url()).text
    assert f'href="{reverse("campaign-new")}?clone={campaign.pk}"' in page


def test_finish_is_offered_only_while_a_program_is_expected_to_ask(client: Client) -> None:
    campaign = own(client, factories.active_campaign(1))
    assert "finish-dialog" not in client.get(campaign.get_absolute_url()).text
    Campaign.objects.update(asked_at=factories.NOW)
    assert "finish-dialog" in client.get(campaign.get_absolute_url()).text
    url = reverse("campaign-change", args=[campaign.pk, "finish"])
    assert "Nobody will ask again" in client.post(url, follow=True).text
    assert "finish-dialog" not in client.get(campaign.get_absolute_url()).text
    assert "No outside program adds tasks" in client.post(url, follow=True).text
