"""An invitation's page, the worker on the server's own machine, and the first account."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.contrib.auth.forms import UserCreationForm
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tests import factories
from workers import lifecycle
from workers.joining import here
from workers.models import AuditEntry, EnrolmentToken, Worker
from xeenet_site import first_account
from xeenet_site.running.processes import Supervisor
from xeenet_site.running.worker_here import WorkerHere

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(factories.user("olga", is_staff=True))
    return client


# --- An invitation --------------------------------------------------------------------------------


def test_an_invitations_page_follows_its_machine_to_the_end_of_its_first_task(
    operator: Client,
) -> None:
    now = timezone.now()
    token, secret = lifecycle.invite(now=now, label="attic")
    url = reverse("worker-invitation", args=[token.pk])

    def page() -> str:
        text = operator.get(url).text
        assert secret not in text
        return re.sub(r"\s+", " ", text)

    assert "Waiting for <bdi>attic</bdi>" in page()
    hardware = {"cpu_count": 8, "devices": ["cpu"], "torch_version": "2.13"}
    worker, _ = lifecycle.enrol(secret, now=now, name="attic-1", hardware=hardware)
    assert "8 cores, torch 2.13" in page()
    assert "Its agent gets ready" in page()
    Worker.objects.filter(pk=worker.pk).update(last_seen_at=now, isolation="T1")
    assert "No task yet" in page()
    assert "it measures its speed, for one to five minutes" in page()
    worker.refresh_from_db()
    attempt = factories.leased_task(worker, now=now)
    assert "Its first task runs" in page()
    factories.finish(attempt, 2.5)
    assert "Its first task is done" in page()
    assert "2.5000" in page()
    assert "notice warning" not in page()


def test_an_invitations_page_says_what_is_wrong(operator: Client) -> None:
    now = timezone.now()
    token, secret = lifecycle.invite(now=now)
    url = reverse("worker-invitation", args=[token.pk])
    notes = {"notes": ["torch: No module named 'torch'"]}
    worker, _ = lifecycle.enrol(secret, now=now, name="cellar", hardware=notes)
    long_ago = now - timedelta(hours=1)
    Worker.objects.filter(pk=worker.pk).update(last_seen_at=long_ago, simulates=True)
    page = operator.get(url).text
    assert "never ranked. It says: torch: No module named" in page
    assert "Its agent has stopped calling" in page
    expired, _ = lifecycle.invite(now=now - timedelta(days=9))
    assert "ended unused" in operator.get(reverse("worker-invitation", args=[expired.pk])).text
    gone = operator.get(reverse("worker-invitation", args=[10_000]))
    assert "It was withdrawn" in gone.text
    operator.force_login(factories.user("reader"))
    assert operator.get(url).status_code == 403


def test_a_machine_that_is_refused_for_its_name_is_shown_where_it_is_waited_for(
    operator: Client,
) -> None:
    now = timezone.now()
    _, other = lifecycle.invite(now=now)
    lifecycle.enrol(other, now=now, name="attic")
    token, secret = lifecycle.invite(now=now)
    url = reverse("worker-invitation", args=[token.pk])
    assert "was refused" not in operator.get(url).text
    for name, why in (("attic", "already enrolled"), ("ask:<b>", "kept for people")):
        with pytest.raises(lifecycle.WorkerNameRefused):
            lifecycle.enrol(secret, now=now, name=name)
        page = operator.get(url).text
        assert "A machine was refused" in page
        assert why in page
        assert "<b>" not in page
        assert "--name another-name" in page
    worker, _ = lifecycle.enrol(secret, now=now, name="attic-2")  # it still works
    assert "was refused" not in operator.get(url).text
    assert worker.name in operator.get(url).text


def test_the_page_for_a_machines_owner_knows_no_invitation(client: Client, settings: Any) -> None:
    settings.XEENET = settings.XEENET | {"ANONYMOUS_READ": False}
    factories.campaign(name="secret plans")
    page = client.get(reverse("worker-join")).text
    assert "--enrol xe_INVITATION" in page
    assert "secret plans" not in page
    windows = client.get(reverse("worker-join"), headers={"user-agent": "Windows NT 10.0"}).text
    assert 'id="shell-powershell" open' in windows


def test_whoever_has_no_shell_gets_a_folder_and_a_link_to_paste(
    client: Client, settings: Any, tmp_path: Path
) -> None:
    settings.XEENET_HOME = tmp_path
    page = client.get(reverse("worker-join")).text
    assert "bin/xeenet-worker desktop" in page
    assert "http://testserver/workers/join/#xe_INVITATION" in page
    programs = tmp_path / "programs"
    programs.mkdir()
    name = "xeenet-worker-0.2.0.tar.gz"
    (programs / name).write_bytes(b"a folder")
    (tmp_path / "secret.zip").write_text("secret")
    (programs / "xeenet-worker-link.zip").symlink_to(tmp_path / "secret.zip")
    (programs / "notes.txt").write_text("secret")
    page = client.get(reverse("worker-join")).text
    assert f'href="{reverse("worker-program", args=[name])}"' in page
    assert "desktop" not in page.partition('id="join-title"')[0]
    assert "link.zip" not in page
    answer = client.get(reverse("worker-program", args=[name]))
    assert b"".join(answer.streaming_content) == b"a folder"
    assert "attachment" in answer.headers["Content-Disposition"]
    for other in ("xeenet-worker-link.zip", "notes.txt", "..", "xeenet-worker-none.zip"):
        assert client.get(f"/workers/program/{other}").status_code == 404


# --- A worker on this machine ---------------------------------------------------------------------


@pytest.fixture
def served(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the pages those of a server that `serve` started."""
    settings.XEENET_HOME = tmp_path
    monkeypatch.setenv(here.SUPERVISOR_VARIABLE, here.SERVE)


class Agent:
    """Stands for a child process that a supervisor started."""

    pid = 4711
    log = Path("worker-here.log")

    def __init__(self) -> None:
        self.asked: list[str] = []

    def terminate(self) -> None:
        self.asked.append("terminate")

    def how_it_ended(self) -> str:
        return "exit code 3"

    def log_tail(self, lines: int) -> str:
        return f"the last {lines} lines"


@pytest.mark.usefixtures("served")
def test_a_click_starts_a_worker_here_and_another_one_stops_it(
    operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://ada:secret@127.0.0.1/lab")
    agent, started = Agent(), []

    def start(_self: Supervisor, *what: Any, **_more: Any) -> Any:
        started.append(what)
        return agent

    monkeypatch.setattr(Supervisor, "start", start)
    serve = WorkerHere(Supervisor(), "http://127.0.0.1:8000", lambda _sentence: None)
    serve.look([])
    assert started == []
    assert "Run a worker here" in operator.get(reverse("workers")).text

    page = operator.post(reverse("worker-here"), {"wanted": "yes"}, follow=True).text
    assert "A worker starts here" in page
    serve.look([])
    ((_, command, environment),) = started
    # It joins by itself, runs no foreign code, and gets none of the server's secrets.
    assert lifecycle.enrol(environment["XEENET_ENROLMENT_TOKEN"], now=timezone.now(), name="vm")
    assert not [word for word in command if word.startswith("--allow")]
    assert not {"SECRET_KEY", "DATABASE_URL"} & set(environment)
    assert "process 4711" in operator.get(reverse("workers")).text

    operator.post(reverse("worker-here"), {"wanted": "no"})
    serve.look([])
    assert agent.asked == ["terminate"]
    assert "gives its tasks back" in operator.get(reverse("workers")).text
    serve.look([agent])
    assert here.read_report().state == ""

    operator.post(reverse("worker-here"), {"wanted": "yes"})
    serve.look([])
    serve.look([agent])
    page = operator.get(reverse("workers")).text
    assert "ended by itself: exit code 3" in page
    assert "the last 6 lines" in page
    serve.look([])
    assert len(started) == 2  # and is not started again before somebody asks
    assert AuditEntry.objects.filter(verb="stop_here", actor_name="olga").count() == 1


def test_no_worker_is_started_where_or_by_whom_it_must_not(
    client: Client, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.XEENET_HOME = tmp_path
    client.force_login(factories.user("rita"))
    monkeypatch.setenv(here.SUPERVISOR_VARIABLE, here.SERVE)
    assert client.post(reverse("worker-here")).status_code == 403
    assert client.get(reverse("worker-here")).status_code == 405
    client.force_login(factories.user("olga", is_staff=True))
    monkeypatch.setenv(here.SUPERVISOR_VARIABLE, here.DEMO)
    assert "The demo already runs" in client.post(reverse("worker-here"), follow=True).text
    monkeypatch.delenv(here.SUPERVISOR_VARIABLE)
    page = client.get(reverse("workers")).text
    assert "not started by “serve”" in page
    assert 'id="run-here"' not in page
    assert not here.read_order().is_wanted
    settings.PRODUCTION = True
    monkeypatch.setenv(here.SUPERVISOR_VARIABLE, here.SERVE)
    assert "service of its own" in here.why_not()
    assert not EnrolmentToken.objects.exists()


# --- The first account ----------------------------------------------------------------------------

PASSWORD = "correct horse 9 battery"


def account(client: Client, url: str, name: str = "ada") -> Any:
    return client.post(url, {"username": name, "password1": PASSWORD, "password2": PASSWORD})


def test_the_printed_address_makes_the_first_account_once_and_signs_in(client: Client) -> None:
    url = first_account.address("http://testserver")
    assert "The first account" in client.get(url).text
    short = client.post(url, {"username": "ada", "password1": "1", "password2": "1"})
    assert short.status_code == 422
    # The form begins at what is wrong.
    assert re.findall(r'name="(\w+)"[^>]* autofocus', short.text) == ["password2"]
    assert account(client, url)["Location"] == reverse("overview")
    user = User.objects.get()
    assert user.is_superuser
    assert client.session["_auth_user_id"] == str(user.pk)
    assert AuditEntry.objects.get().actor_name == "ada"
    assert Client().get(url)["Location"] == reverse("login")
    assert account(Client(), url, "eve")["Location"] == reverse("login")
    # As of two people who send the form at once.
    with pytest.raises(first_account.AccountExists):
        first_account.create(UserCreationForm(), now=timezone.now())
    assert User.objects.count() == 1
    assert first_account.address("http://testserver") == ""


def test_nobody_makes_an_account_without_a_fresh_code(client: Client) -> None:
    path = reverse("first-account")
    url = first_account.address("http://testserver")
    # Being on the server's own machine is no proof: a proxy is there, too.
    for wrong in (path, f"{path}?code=first", url[:-1]):
        for headers in ({}, {"host": "localhost"}):
            response = client.post(wrong, {"username": "eve"}, headers=headers)
            assert response.status_code == 403
    with time_machine.travel(timezone.now() + timedelta(days=1, minutes=1)):
        assert account(client, url).status_code == 403
    assert not User.objects.exists()
