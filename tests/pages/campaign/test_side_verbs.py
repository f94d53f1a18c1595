"""What the side panel changes: further runs, races, notes, and who may do that."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from campaigns import lifecycle, steering
from campaigns.models import Campaign, Note, Task
from tests import factories
from tests.factories import NOW
from xeenet_site.web import roles

pytestmark = pytest.mark.django_db

HOSTILE = "</textarea><script>alert(1)</script> {{ 7*7 }} \u202egnp.exe"


def panel(client: Client, campaign: Campaign, key: str) -> Any:
    return client.get(reverse("campaign-side", args=[campaign.pk]), {"open": key})


# --- Who may what --------------------------------------------------------------------------------


def test_a_reader_without_an_account_reads_and_changes_nothing(client: Client) -> None:
    campaign = factories.completed_task().campaign
    steering.write_note(None, campaign.arms.get(), "seen", now=NOW)
    page = panel(client, campaign, "arm-0").text
    assert "seen" in page
    for absent in ("textarea", "side-again", "side-race", "side-bundle"):
        assert absent not in page


def test_where_nobody_reads_without_an_account_it_is_closed(client: Client, settings: Any) -> None:
    campaign = factories.active_campaign(1)
    settings.XEENET = settings.XEENET | {"ANONYMOUS_READ": False}
    answer = panel(client, campaign, "arm-0")
    assert answer.status_code == 302
    assert answer["Location"].startswith("/login/")


@pytest.mark.parametrize(
    ("role", "is_owner", "may"),
    [
        (roles.VIEWER, False, False),
        (roles.RESEARCHER, False, False),
        (roles.RESEARCHER, True, True),
        (roles.OPERATOR, False, True),
    ],
)
def test_who_may_change_the_campaign_may_run_again_and_write(
    client: Client, role: str, is_owner: bool, may: bool
) -> None:
    person = factories.user(role=role)
    campaign = factories.active_campaign(1, owner=person if is_owner else factories.user())
    client.force_login(person)
    page = panel(client, campaign, "arm-0").text
    assert ("textarea" in page) is may
    assert ("side-again" in page) is may
    answers = [
        client.post(reverse("arm-note", args=[campaign.pk, 0]), {"text": "seen"}),
        client.post(reverse("task-note", args=[campaign.pk, 0]), {"text": "seen"}),
        client.post(reverse("arm-again", args=[campaign.pk, 0]), {"times": "2"}),
    ]
    assert {answer.status_code for answer in answers} == {302 if may else 403}
    assert Note.objects.count() == (2 if may else 0)
    assert campaign.tasks.count() == (3 if may else 1)


def owned(client: Client, **fields: Any) -> tuple[Campaign, User]:
    """Return a campaign of one task, and its owner, who is signed in."""
    owner = factories.user("ada")
    client.force_login(owner)
    return factories.active_campaign(1, owner=owner, **fields), owner


# --- Run again, race -----------------------------------------------------------------------------


def test_an_arm_runs_again_on_the_next_seeds_and_the_page_comes_back(client: Client) -> None:
    campaign, _ = owned(client)
    back = reverse("campaign-tasks", args=[campaign.pk]) + "?state=pending&open=arm-0"
    answer = client.post(
        reverse("arm-again", args=[campaign.pk, 0]), {"times": "3", "next": back}, follow=True
    )
    assert answer.redirect_chain == [(back, 302)]
    assert "Arm 0 runs on 3 further seeds: tasks 1 to 3." in answer.text
    assert list(campaign.tasks.values_list("seed_index", flat=True)) == [0, 1, 2, 3]


@pytest.mark.parametrize("next_page", ["https://evil.example/", "//evil.example", "javascript:1"])
def test_a_form_leads_to_no_other_site(client: Client, next_page: str) -> None:
    campaign, _ = owned(client)
    url = reverse("arm-again", args=[campaign.pk, 0])
    answer = client.post(url, {"times": "1", "next": next_page})
    assert answer["Location"] == f"{campaign.get_absolute_url()}?open=arm-0"


@pytest.mark.parametrize("times", ["", "0", "21", "-1", "1.5", "many", "9" * 30])
def test_a_number_of_runs_that_makes_no_sense_is_refused(client: Client, times: str) -> None:
    campaign, _ = owned(client)
    url = reverse("arm-again", args=[campaign.pk, 0])
    page = client.post(url, {"times": times}, follow=True).text
    assert "No run was added. The number of runs must be" in page
    assert campaign.tasks.count() == 1


def test_it_offers_a_race_against_the_first_of_the_board(client: Client) -> None:
    owner = factories.user()
    client.force_login(owner)
    campaign = factories.active_campaign(3, owner=owner)
    factories.run_pending(campaign, lambda task: 3.0 + task.number)
    page = panel(client, campaign, "arm-2").text
    assert "Race arm 0</button>" in page
    assert "Race arm 1</button>" in panel(client, campaign, "arm-0").text
    sent = dict.fromkeys(re.findall(r'name="arms" value="(\d+)"', page))
    answer = client.post(
        reverse("campaign-race", args=[campaign.pk]), {"arms": list(sent), "seeds": "12"}
    )
    assert answer.status_code == 302
    assert campaign.races.get().arms == [2, 0]


def test_a_cancelled_campaign_offers_neither(client: Client) -> None:
    campaign, _ = owned(client)
    lifecycle.cancel(campaign, now=NOW)
    page = panel(client, campaign, "arm-0").text
    assert "side-again" not in page
    assert "side-race" not in page
    assert "textarea" in page


# --- Notes ---------------------------------------------------------------------------------------


def test_a_note_is_written_and_read_again(client: Client) -> None:
    campaign, _ = owned(client)
    for kind in ("arm", "task"):
        url = reverse(f"{kind}-note", args=[campaign.pk, 0])
        back = f"{campaign.get_absolute_url()}?whole=1&open={kind}-0"
        note = {"text": "  two\r\nlines  ", "edits": "0", "next": back}
        page = client.post(url, note, follow=True).text
        assert f'name="next" value="{html.escape(back)}"' in page
        assert "The note is saved." in page
        assert "two\nlines</textarea>" in page
        assert "<bdi>ada</bdi>, " in page
    assert Note.objects.get(arm__isnull=False).text == "two\nlines"


def test_a_hostile_note_is_only_text(client: Client) -> None:
    campaign, _ = owned(client)
    client.post(reverse("arm-note", args=[campaign.pk, 0]), {"text": HOSTILE + "\0"})
    for reader in (client, Client()):
        page = panel(reader, campaign, "arm-0").text
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert(1)" in page
        assert "{{ 7*7 }}" in page
        tasks = reader.get(reverse("campaign-tasks", args=[campaign.pk])).text
        assert "<script>alert" not in tasks


def test_who_writes_over_a_note_they_have_not_read_is_told(client: Client) -> None:
    campaign, _ = owned(client)
    arm = campaign.arms.get()
    steering.write_note(factories.user("bob", role=roles.OPERATOR), arm, "first", now=NOW)
    url = reverse("arm-note", args=[campaign.pk, 0])
    answer = client.post(url, {"text": "mine", "edits": "0"}, headers={"HX-Request": "true"})
    assert "bob has changed this note since you read it." in answer.text
    # What was typed is still in the field, and the other text above it.
    assert "mine</textarea>" in answer.text
    assert "first</blockquote>" in answer.text
    assert Note.objects.get().text == "first"
    again = client.post(url, {"text": "mine", "edits": "1"}, headers={"HX-Request": "true"})
    assert "Saved." in again.text
    assert Note.objects.get().text == "mine"


def test_a_note_that_is_too_long_is_refused_and_kept_in_the_field(client: Client) -> None:
    campaign, _ = owned(client)
    url = reverse("task-note", args=[campaign.pk, 0])
    answer = client.post(url, {"text": "x" * 2001}, headers={"HX-Request": "true"})
    assert "The note is not saved. The note must have at most 2,000 characters." in answer.text
    assert "x" * 2001 in answer.text
    assert not Note.objects.exists()


def test_the_search_of_the_tasks_tab_finds_notes_of_tasks_and_arms(client: Client) -> None:
    campaign = factories.active_campaign(4)
    steering.write_note(None, campaign.tasks.get(number=1), "Loss SPIKE at 40", now=NOW)
    steering.write_note(None, campaign.arms.get(number=2), "spike again", now=NOW)
    other = factories.active_campaign(1)
    steering.write_note(None, other.arms.get(), "spike elsewhere", now=NOW)
    url = reverse("campaign-tasks", args=[campaign.pk])
    page = client.get(url, {"q": "spike"}).text
    assert re.findall(r'data-open="(task-\d+)"', page) == ["task-1", "task-2"]
    assert "2 tasks" in page
    assert 'title="Loss SPIKE at 40"' in page
    assert client.get(url, {"q": "spike", "state": "failed"}).text.count('data-open="') == 0
    assert "No note matches." in client.get(url, {"q": "100%\0"}).text


def test_the_list_of_tasks_has_the_params_that_vary(client: Client) -> None:
    campaign = factories.active_campaign(2)
    page = client.get(reverse("campaign-tasks", args=[campaign.pk])).text
    assert '<th class=" wide-only">lr</th>' in page
    task = Task.objects.get(campaign=campaign, number=1)
    assert f'<td class="mono wide-only">{task.params["d_model"]}</td>' in page
