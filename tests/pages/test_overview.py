"""The overview: first steps on an empty installation, running campaigns, results, concerns."""

import datetime as dt
import html
import re
import shlex
from typing import Any

import pytest
from django.conf import settings
from django.core.management import get_commands, load_command_class
from django.test import Client
from django.urls import reverse
from django_q.models import Schedule

from campaigns import lifecycle, steering
from campaigns.clock import database_now
from campaigns.models import Campaign
from campaigns.scripts import steering as script_steering
from campaigns.standings.champions import latest_champions
from tests import factories
from tests.factories import VARIATION, uploaded
from workers import lifecycle as worker_lifecycle
from workers.models import Worker
from workers.protocol import FailureClass
from xeenet_site.web import roles
from xeenet_site.web.formats import clock

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def the_q_cluster_runs(db: None) -> None:
    """Make no job overdue: the schedules are as old as the database, thus minutes in a long run."""
    Schedule.objects.update(next_run=database_now())


# What a browser on the server's own machine sends.
AT_THE_MACHINE = {"host": "localhost"}


def test_an_empty_installation_shows_four_steps_from_the_account_to_results(client: Client) -> None:
    page = client.get(reverse("overview")).text
    for words in ("Make the first account", "Make a campaign", "Join a worker", "Look at the"):
        assert words in page
    assert "Four steps" in page
    # A stranger in the network learns nothing of where this server lies.
    assert str(settings.BASE_DIR) not in page
    client.force_login(factories.user())
    assert "Three steps" in client.get(reverse("overview")).text


def test_every_command_shown_is_one_that_the_server_knows(client: Client) -> None:
    page = html.unescape(client.get(reverse("overview"), headers=AT_THE_MACHINE).text)
    commands = re.findall(rf"{settings.BASE_DIR}/manage.py ([^<]+)<", page)
    names = {shlex.split(line)[0] for line in commands}
    expected = {"first_account", "create_campaign", "enroll_worker", "run_worker", "leaderboard"}
    assert names == expected
    for line in commands:
        name, *arguments = shlex.split(line)
        parser = load_command_class(get_commands()[name], name).create_parser("manage.py", name)
        parser.parse_args(arguments)


def test_a_step_that_was_taken_is_ticked(client: Client) -> None:
    factories.campaign()
    page = client.get(reverse("overview"), headers=AT_THE_MACHINE).text
    assert page.count('class="step done"') == 1
    assert "manage.py create_campaign" not in page


def test_the_steps_go_away_with_the_first_result(client: Client) -> None:
    factories.completed_task()
    assert "steps to a first result" not in client.get(reverse("overview")).text


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
    client: Client, django_assert_max_num_queries: Any
) -> None:
    client.force_login(factories.user(role=roles.OPERATOR))
    for number in range(5):
        uploaded(VARIATION + b"#" * number, now=database_now())
    silent = factories.worker(last_seen_at=database_now() - dt.timedelta(hours=1))
    for _ in range(6):
        factories.completed_task(by=silent)
    failing_campaign(by=silent)
    factories.active_campaign(owner=factories.user())
    paused = factories.active_campaign(owner=factories.user())
    lifecycle.pause(paused, now=factories.NOW, reason="looks odd")
    Schedule.objects.update(next_run=database_now() - dt.timedelta(hours=1))
    with django_assert_max_num_queries(15):
        client.get(reverse("overview"))
    with django_assert_max_num_queries(13):
        page = client.get(reverse("overview")).text
    assert page.count("<li><bdi>") == 5


def test_a_script_that_waits_is_told_to_operators_and_to_who_uploaded_it(client: Client) -> None:
    ada, operator = factories.user("ada"), factories.user(role=roles.OPERATOR)
    uploaded(actor=ada, now=database_now())
    for person, expected in (
        (None, False),
        (factories.user(), False),
        (ada, True),
        (operator, True),
    ):
        if person:
            client.force_login(person)
        page = html.unescape(client.get(reverse("overview")).text)
        mentioned = "Uploaded script “wider” waits for an operator’s approval" in page
        assert mentioned == expected, person
    assert f'href="{reverse("scripts")}"' in concerns_of(client)


def test_scripts_that_an_operator_judged_and_forgotten_ones_need_no_attention(
    client: Client,
) -> None:
    operator = factories.user(role=roles.OPERATOR)
    now = database_now()
    script_steering.approve(operator, uploaded(b"# approved", now=now), now=now)
    withdrawn = uploaded(b"# withdrawn", now=now)
    script_steering.approve(operator, withdrawn, now=now)
    script_steering.withdraw(operator, withdrawn, now=now)
    uploaded(b"# forgotten", now=now - dt.timedelta(days=15))
    client.force_login(operator)
    assert "Uploaded script" not in client.get(reverse("overview")).text
    for number in range(5):
        uploaded(
            VARIATION + b"#" * number,
            name=f"new {number}",
            now=now + dt.timedelta(seconds=number),
        )
    assert "“new 4”, “new 3”, “new 2” and 2 more wait for" in concerns_of(client)


def failing_campaign(*, by: Worker) -> None:
    factories.active_campaign(10, name="too wide", max_failed_attempts=1)
    for second in range(8):
        factories.fail(factories.claim_one(by, now=factories.at(second)), FailureClass.OOM)


def test_it_names_the_latest_champions_with_their_config(client: Client) -> None:
    worker = factories.worker("lab-1")
    factories.active_campaign(2, name="lr and width")
    factories.finish(factories.claim_one(worker), 3.25)
    factories.finish(factories.claim_one(worker), 3.5)
    page = client.get(reverse("overview")).text
    assert "First on the boards" in page
    assert "3.2500" in page
    assert "3.5000" not in page
    assert re.search(r"lr 0\.\d+ · d_model \d+", page)


def test_it_counts_the_fleet_and_what_it_does(client: Client) -> None:
    now = database_now()
    busy = factories.worker(last_seen_at=now)
    factories.worker(last_seen_at=now, simulates=True)
    factories.worker(last_seen_at=now - dt.timedelta(days=9))
    factories.completed_task(by=busy, now=now)
    factories.active_campaign(3, now=now)
    factories.claim_one(busy, now=now)
    page = " ".join(re.sub("<[^>]+>", " ", client.get(reverse("overview")).text).split())
    assert "Tasks running 1 2 waiting" in page
    assert "Tasks per hour 1 in the last hour" in page
    assert "Workers online 2 of 3 1 busy · 1 simulating only" in page


def concerns_of(client: Client) -> str:
    page = html.unescape(client.get(reverse("overview")).text)
    return page.split("Needs attention")[1].split("</section>")[0]


def test_nothing_is_said_while_all_is_well(client: Client) -> None:
    worker = factories.worker(last_seen_at=database_now())
    factories.completed_task(by=worker)
    assert "Needs attention" not in client.get(reverse("overview")).text


def test_it_says_that_the_q_cluster_does_not_run(client: Client) -> None:
    now = database_now()
    due = now - dt.timedelta(minutes=20)
    Schedule.objects.update(next_run=due)
    assert f"The background jobs have not run since {clock(due, now)}: the" in concerns_of(client)
    Schedule.objects.all().delete()
    assert "The background jobs have not run: the q-cluster" in concerns_of(client)


def test_it_says_that_tasks_wait_for_workers_that_fell_silent(client: Client) -> None:
    now = database_now()
    since = now - dt.timedelta(minutes=10)
    factories.worker("lab-1", last_seen_at=since)
    campaign = factories.active_campaign(2)
    words = f"2 tasks wait and no worker is online, since {clock(since, now)}. Silent: lab-1."
    assert words in concerns_of(client)
    # The row of the campaign and its own page say it, too.
    row = f'late-text" title="">no worker online since {clock(since, now)}</span>'
    assert row in client.get(reverse("overview")).text
    page = client.get(campaign.get_absolute_url()).text
    assert row in page
    words = f"no worker online since {clock(since, now)}. 2 tasks wait."
    assert words in re.sub("<[^>]+>", "", page)
    factories.worker("lab-2", last_seen_at=now)
    assert "lab-1 has fallen silent while 2 tasks wait." in concerns_of(client)


def test_it_says_which_campaign_no_worker_online_may_run(client: Client) -> None:
    factories.worker(last_seen_at=database_now())
    factories.active_campaign(2, name="shielded", required_isolation="T1")
    factories.active_campaign(2, name="open")
    concerns = concerns_of(client)
    assert "“shielded” stands still: no worker online may run it." in concerns
    assert "“open”" not in concerns


def test_it_says_that_workers_paused_themselves_and_why(client: Client) -> None:
    now = database_now()
    worker = factories.worker("lab-1", last_seen_at=now)
    factories.active_campaign(2)
    worker_lifecycle.pause_after_env_error(worker, "data set books is not here", now=now)
    concerns = concerns_of(client)
    assert "lab-1 paused itself while 2 tasks wait: data set books is not here" in concerns
    worker.refresh_from_db()
    worker_lifecycle.pause_after_env_error(worker, "gone", now=now - dt.timedelta(hours=9))
    assert "Needs attention" not in client.get(reverse("overview")).text


def test_a_persons_own_program_is_no_machine_and_nobody_misses_it(client: Client) -> None:
    now = database_now()
    program, _ = worker_lifecycle.identity_of(factories.user("ada"), now=now)
    worker_lifecycle.see(program, now=now - dt.timedelta(minutes=10))
    factories.worker(last_seen_at=now)
    factories.active_campaign(2)
    page = client.get(reverse("overview")).text
    assert "Needs attention" not in page
    words = " ".join(re.sub("<[^>]+>", " ", page).split())
    assert "Workers online 1 of 1 0 busy" in words
    # A person's program that is online does not count as a worker either.
    worker_lifecycle.see(program, now=now)
    Worker.objects.machines().delete()
    assert "2 tasks wait and no worker is online." in concerns_of(client)


def test_it_says_that_only_simulating_workers_are_there(client: Client) -> None:
    factories.worker(last_seen_at=database_now(), simulates=True)
    factories.active_campaign(2)
    assert "Only workers without torch are online" in concerns_of(client)


def test_it_says_which_campaign_fails_and_by_what(client: Client) -> None:
    failing_campaign(by=factories.worker(last_seen_at=database_now()))
    campaign = Campaign.objects.get()
    # The breaker, which pauses a campaign, needs more attempts than this concern.
    assert campaign.state == "active"
    concerns = concerns_of(client)
    assert (
        "“too wide” is failing: 8 of 8 tasks that ended failed, most by out of memory." in concerns
    )
    assert reverse("campaign-tasks", args=[campaign.pk]) + "?state=failed" in concerns


def test_it_says_why_a_campaign_was_paused(client: Client) -> None:
    campaign = factories.active_campaign(name="wide")
    lifecycle.pause(campaign, now=factories.NOW, reason="11 of the last 20 attempts failed.")
    assert "“wide” is paused: 11 of the last 20 attempts failed." in concerns_of(client)


def test_a_pause_by_a_person_needs_nobodys_attention_until_the_server_pauses_too(
    client: Client,
) -> None:
    owner = factories.user()
    campaign = factories.active_campaign(owner=owner)
    steering.pause(owner, campaign, now=factories.at(1), reason="the class needs the machines")
    assert "Needs attention" not in client.get(reverse("overview")).text
    steering.resume(owner, campaign, now=factories.at(2))
    lifecycle.pause(campaign, now=factories.at(3), reason="half of it failed")
    assert "is paused: half of it failed" in concerns_of(client)


def test_a_champion_is_shown_with_its_race_value_and_named_so(client: Client) -> None:
    race = factories.decided_race(name="lr and width")
    for path in (reverse("overview"), reverse("campaigns")):
        page = client.get(path).text
        assert "3.0000" in page
        assert "champion" in page.partition("<tbody")[2]
    (champion,) = latest_champions()
    assert (champion.value, champion.kind) == (3.0, "champion")
    assert champion.worth.endswith("3 race seeds, champion")
    assert champion.result.task == race.campaign.tasks.get(number=0)
