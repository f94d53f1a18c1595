"""The overview: first steps on an empty installation, then what runs and what came in."""

import html
import re
import shlex

import pytest
from django.core.management import get_commands, load_command_class
from django.test import Client
from django.urls import reverse

from tests import factories

pytestmark = pytest.mark.django_db


def test_an_empty_installation_shows_three_steps_with_commands(client: Client) -> None:
    page = client.get(reverse("overview")).text
    for words in ("Make a campaign", "Join a worker", "Look at the results"):
        assert words in page
    assert "python manage.py create_campaign" in page
    assert "xeenet-worker --server http://testserver" in page


def test_every_command_shown_is_one_that_the_server_knows(client: Client) -> None:
    page = html.unescape(client.get(reverse("overview")).text)
    shown = re.findall(r">python manage.py ([^<]+)<", page)
    names = {shlex.split(line)[0] for line in shown}
    assert names == {"create_campaign", "enroll_worker", "leaderboard"}
    for line in shown:
        name, *arguments = shlex.split(line)
        parser = load_command_class(get_commands()[name], name).create_parser("manage.py", name)
        parser.parse_args(arguments)


def test_a_step_that_was_taken_is_ticked(client: Client) -> None:
    factories.campaign()
    page = client.get(reverse("overview")).text
    assert page.count('class="step done"') == 1
    assert "python manage.py create_campaign" not in page


def test_the_steps_go_away_with_the_first_result(client: Client) -> None:
    factories.completed_task()
    assert "Three steps" not in client.get(reverse("overview")).text


def test_it_shows_running_campaigns_and_the_latest_results(client: Client) -> None:
    factories.completed_task(3.1234, name="long ago")
    campaign = factories.active_campaign(name="right now")
    page = client.get(reverse("overview")).text
    assert "right now" in page
    assert campaign.get_absolute_url() in page
    assert "3.1234" in page


def test_htmx_gets_the_part_that_changes(client: Client) -> None:
    response = client.get(reverse("overview"), headers={"HX-Request": "true"})
    assert "<html" not in response.text
    assert 'id="overview"' in response.text
    assert "HX-Request" in response["Vary"]


def test_back_and_forward_get_the_whole_page(client: Client) -> None:
    headers = {"HX-Request": "true", "HX-History-Restore-Request": "true"}
    assert "<html" in client.get(reverse("overview"), headers=headers).text


def test_its_queries_do_not_grow_with_what_it_lists(
    client: Client, django_assert_max_num_queries
) -> None:
    for _ in range(6):
        factories.completed_task()
    factories.active_campaign(owner=factories.user())
    factories.active_campaign(owner=factories.user())
    with django_assert_max_num_queries(12):
        client.get(reverse("overview"))
