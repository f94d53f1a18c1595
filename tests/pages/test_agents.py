"""The page "For agents": its examples work when they are copied and run."""

from __future__ import annotations

import html
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from pytest_django.live_server_helper import LiveServer

from campaigns.datasets import store_dataset
from campaigns.models import Attempt, Campaign
from campaigns.tokens import personal_tokens
from tests import factories
from tests.english_like import corpus
from xeenet_site.web import roles

pytestmark = pytest.mark.django_db

TINY_SPACE: dict[str, Any] = {
    "parameters": [
        {"name": "lr", "type": "choice", "values": [0.003]},
        {"name": "d_model", "type": "choice", "values": [32]},
        {"name": "n_heads", "type": "choice", "values": [2]},
        {"name": "n_layers", "type": "choice", "values": [1]},
        {"name": "d_ff", "type": "choice", "values": [64]},
        {"name": "batch_size", "type": "choice", "values": [8]},
        {"name": "context_length", "type": "choice", "values": [64]},
        {"name": "lr_schedule", "type": "choice", "values": ["cosine", "linear"]},
    ],
}


def text_of(page: str, block: str) -> str:
    """The text that the copy button of a block copies."""
    match = re.search(rf'<pre id="{block}"[^>]*>(.*?)</pre>', page, re.DOTALL)
    assert match is not None
    return html.unescape(match[1])


def token_of(campaign: Campaign) -> str:
    assert campaign.owner is not None
    _, secret = personal_tokens.create(campaign.owner, "page", now=factories.NOW)
    return secret


def run(command: list[str], campaign: Campaign, folder: Path) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"XEENET_TOKEN": token_of(campaign), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@pytest.fixture
def campaign(transactional_db: None, settings: Any, tmp_path: Path) -> Campaign:
    """An active campaign of one tiny run whose data set this server stores."""
    settings.MEDIA_ROOT = tmp_path / "media"
    dataset = store_dataset("english_excerpt", corpus()[:100_000])
    return factories.active_campaign(
        1,
        owner=factories.user("ada"),
        now=timezone.now(),
        time_budget_seconds=15.0,  # enough on a busy machine, too
        search_space=TINY_SPACE,
        dataset=dataset.sha256,
    )


@pytest.mark.long
@pytest.mark.once  # the program on the page does not touch the database
@pytest.mark.django_db(transaction=True)
def test_the_python_of_the_page_trains_and_its_result_is_ranked(
    campaign: Campaign, live_server: LiveServer, client: Client, tmp_path: Path
) -> None:
    page = client.get(reverse("agents"), headers={"Host": live_server.url.split("//")[1]}).text
    program = tmp_path / "loop.py"
    program.write_text(text_of(page, "agents-loop"))

    output = run([sys.executable, str(program)], campaign, tmp_path)

    assert output.splitlines()[0] == "task 0: The result is stored."
    assert "completed" in output.splitlines()[-1]
    result = campaign.results.get()
    assert result.is_ranked
    assert 1.0 < (result.value or 0) < 8.0
    assert result.attempt.worker.name == "ask:ada"
    assert result.attempt.submission["code_sha256"] == campaign.package_id


@pytest.mark.skipif(shutil.which("curl") is None, reason="not run: there is no curl")
@pytest.mark.django_db(transaction=True)
def test_the_lines_for_the_shell_ask_renew_and_tell(
    campaign: Campaign, live_server: LiveServer, client: Client, tmp_path: Path
) -> None:
    page = client.get(reverse("agents"), headers={"Host": live_server.url.split("//")[1]}).text

    output = run(["bash", "-euc", text_of(page, "agents-ask")], campaign, tmp_path)

    assert '"answer":"continue"' in output
    assert '"verdict":"retry"' in output
    attempt = Attempt.objects.get()
    assert (attempt.outcome, attempt.message) == ("failed", "only a try")


def test_the_examples_name_this_server_and_the_campaign_asked_for(client: Client) -> None:
    owner = factories.user("ada")
    own_campaign = factories.active_campaign(1, owner=owner)
    newest = factories.active_campaign(1)
    draft = factories.campaign()

    def number(query: str = "") -> str:
        page = client.get(reverse("agents") + query).text
        assert 'SERVER = "http://testserver"' in text_of(page, "agents-loop")
        match = re.search(r"CAMPAIGN = (.*)", text_of(page, "agents-loop"))
        assert match is not None
        return match[1]

    assert number() == str(draft.pk)
    assert number(f"?campaign={newest.pk}") == str(newest.pk)
    client.force_login(owner)
    assert number() == str(own_campaign.pk)
    for nonsense in ("?campaign=999", "?campaign=1;rm", "?campaign=%00", "?campaign=" + "9" * 40):
        assert number(nonsense) == str(own_campaign.pk)


def test_without_a_campaign_the_page_says_what_to_do(client: Client) -> None:
    page = client.get(reverse("agents")).text

    assert "There is no campaign yet" in page
    assert "CAMPAIGN = 1\n" in text_of(page, "agents-loop")


@pytest.mark.parametrize("role", ["", *roles.ROLES])
def test_everybody_who_reads_may_open_it_and_is_told_what_is_missing(
    client: Client, role: str
) -> None:
    if role:
        client.force_login(factories.user(role=role))

    answer = client.get(reverse("agents"))

    assert answer.status_code == 200
    needs_role = "You need an account with the role researcher" in answer.text
    assert needs_role == (role in {"", roles.VIEWER})


def test_a_closed_installation_sends_strangers_to_the_login(client: Client, settings: Any) -> None:
    settings.XEENET = settings.XEENET | {"ANONYMOUS_READ": False}

    answer = client.get(reverse("agents"))

    assert answer.status_code == 302
    assert answer["Location"].startswith(reverse("login"))


def test_a_hostile_name_is_shown_as_it_is(client: Client) -> None:
    factories.campaign(name="<img src=x onerror=alert(1)> {{ 7*7 }}")

    page = client.get(reverse("agents")).text

    assert "&lt;img src=x onerror=alert(1)&gt; {{ 7*7 }}" in page
    assert "<img" not in page


def test_the_page_costs_few_queries(
    client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    factories.active_campaign(1)
    client.force_login(factories.user())

    with django_assert_max_num_queries(5):  # session, person, role, own campaign, newest
        client.get(reverse("agents"))
