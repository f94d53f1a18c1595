"""Who may open which page, and who may change campaigns, tasks and workers on pages."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from campaigns.models import Campaign
from tests import factories
from workers.models import EnrolmentToken

pytestmark = pytest.mark.django_db


def reading_pages() -> list[str]:
    task = factories.completed_task()
    return [
        reverse("overview"),
        reverse("campaigns"),
        reverse("campaign", args=[task.campaign_id]),
        reverse("campaign-tasks", args=[task.campaign_id]),
        reverse("task", args=task.name),
        reverse("scripts"),
        reverse("script", args=[task.campaign.package_id]),
        reverse("workers"),
        reverse("worker", args=[task.result.attempt.worker_id]),
    ]


@pytest.fixture
def closed(settings) -> None:
    settings.XEENET = settings.XEENET | {"ANONYMOUS_READ": False}


def test_everybody_reads_when_the_installation_is_open(client: Client, settings) -> None:
    settings.XEENET = settings.XEENET | {"ANONYMOUS_READ": True}
    assert {client.get(path).status_code for path in reading_pages()} == {200}


def test_a_closed_installation_sends_strangers_to_the_login(client: Client, closed) -> None:
    for path in reading_pages():
        response = client.get(path)
        assert response.status_code == 302, path
        assert response["Location"] == f"{reverse('login')}?next={path}"


def test_a_closed_installation_is_read_by_people_signed_in(client: Client, closed) -> None:
    client.force_login(factories.user())
    assert {client.get(path).status_code for path in reading_pages()} == {200}


def test_htmx_takes_the_whole_window_to_the_login(client: Client, closed) -> None:
    response = client.get(reverse("overview"), headers={"HX-Request": "true"})
    assert response["HX-Redirect"] == reverse("login")


@pytest.mark.parametrize("verb", ["launch", "pause", "resume", "cancel"])
def test_a_campaign_is_changed_by_post_only(client: Client, verb: str) -> None:
    campaign = factories.campaign()
    client.force_login(factories.user(is_staff=True))
    response = client.get(reverse("campaign-change", args=[campaign.pk, verb]))
    assert response.status_code == 405


def test_changes_need_the_csrf_token() -> None:
    campaign, owner = factories.campaign(), factories.user(is_staff=True)
    client = Client(enforce_csrf_checks=True)
    client.force_login(owner)
    response = client.post(reverse("campaign-change", args=[campaign.pk, "launch"]))
    assert response.status_code == 403
    assert "form has expired" in response.text


@pytest.mark.parametrize(
    ("caller", "status", "state"),
    [
        ("nobody", 302, "draft"),
        ("stranger", 403, "draft"),
        ("owner", 302, "active"),
        ("staff", 302, "active"),
    ],
)
def test_only_the_owner_and_staff_launch_a_campaign(
    client: Client, caller: str, status: int, state: str
) -> None:
    people = {
        "owner": factories.user("owner"),
        "stranger": factories.user("stranger"),
        "staff": factories.user("staff", is_staff=True),
    }
    campaign = factories.campaign(owner=people["owner"])
    if caller != "nobody":
        client.force_login(people[caller])
    response = client.post(reverse("campaign-change", args=[campaign.pk, "launch"]))
    assert response.status_code == status
    campaign.refresh_from_db()
    assert campaign.state == state


def test_a_stranger_sees_no_buttons(client: Client) -> None:
    campaign = factories.active_campaign(owner=factories.user())
    client.force_login(factories.user())
    page = client.get(campaign.get_absolute_url()).text
    assert "Pause campaign" not in page
    assert "Cancel campaign" not in page


def test_only_the_owner_and_staff_retry_a_task(client: Client) -> None:
    task = factories.failed_task()
    client.force_login(factories.user())
    assert client.post(reverse("task-change", args=[*task.name, "retry"])).status_code == 403
    task.refresh_from_db()
    assert task.state == "failed"


def test_only_staff_invite_workers(client: Client) -> None:
    client.force_login(factories.user())
    assert client.post(reverse("worker-invite")).status_code == 403
    assert not EnrolmentToken.objects.exists()


def test_making_a_campaign_needs_an_account(client: Client) -> None:
    response = client.post(reverse("campaign-new"), {"name": "anonymous"})
    assert response.status_code == 302
    assert not Campaign.objects.exists()


def test_signing_in_leads_back_to_the_page_one_came_for(client: Client) -> None:
    User.objects.create_user("ada", password="correct horse")
    path = reverse("campaign-new")
    page = client.get(path, follow=True)
    assert "Sign in to see that page" in page.text
    response = client.post(
        reverse("login"), {"username": "ada", "password": "correct horse", "next": path}
    )
    assert response["Location"] == path


def test_a_wrong_password_is_told_in_one_sentence(client: Client) -> None:
    response = client.post(reverse("login"), {"username": "ada", "password": "guess"})
    assert "Please enter a correct username and password" in response.text


def test_a_missing_page_says_where_to_go(client: Client) -> None:
    response = client.get("/campaigns/12345/")
    assert response.status_code == 404
    assert "There is no such page" in response.text
