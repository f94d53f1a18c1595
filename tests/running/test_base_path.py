"""XeeNet below a path of its host, behind both kinds of proxy: everything stays below the path."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import uuid
from collections import deque
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import httpx2
import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.core.management import call_command
from django.test import Client
from django.urls import URLResolver, clear_script_prefix, get_resolver, set_script_prefix

from campaigns.models import Result, WebhookDelivery, WebhookEvent
from campaigns.notifications import events, hooks
from tests import factories
from tests.chaos.services import WebServer
from tests.chaos.stack import claim, result_of
from tests.factories import NOW
from tests.processes import ROOT, database_environment, free_port
from tests.running.path_proxy import ELSEWHERE, PREFIX, path_proxy
from workers.agent.connection.client import Client as AgentClient
from workers.models import Worker
from workers.protocol import Verdict
from xeenet_site import front_door
from xeenet_site.running import serving
from xeenet_site.web.addresses import lan_addresses

KINDS: Final = ("the proxy strips the path", "the proxy passes the path on")
# What an element of a page points to.
POINTERS: Final = frozenset(
    {"href", "src", "action", "hx-get", "hx-post", "hx-delete", "formaction", "data-url"}
)
# The test looks at pages: it neither signs out nor downloads files. The admin's links to pages name
# kinds of objects by numbers that change between tests.
NOT_FOLLOWED: Final = re.compile(r"/(logout|admin/r/.*|.*\.(csv|zip|jsonl|json)|export[^?]*)/?$")
MOST_PAGES: Final = 120


class Pointers(HTMLParser):
    """The addresses that a page points to, each with its attribute."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [(name, value) for name, value in attrs if name in POINTERS and value]


@pytest.fixture(scope="module")
def server(
    django_db_setup: None, static_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("below")
    environment = database_environment(folder / "home") | {
        "XEENET_BASE_PATH": f"{PREFIX}/",
        "XEENET_STATIC_ROOT": str(static_root),
    }
    web = WebServer("web", free_port(), environment, folder)
    web.start()
    web.wait_until_it_answers()
    yield web.port
    web.kill()


@pytest.fixture(params=KINDS)
def origin(request: pytest.FixtureRequest, server: int, transactional_db: None) -> Iterator[str]:
    with path_proxy(server, strips=request.param == KINDS[0]) as origin:
        yield origin


@pytest.fixture
def browser(origin: str) -> Iterator[httpx2.Client]:
    """A browser in which an administrator has signed in through the form."""
    ada = factories.user("ada", role="operator", is_staff=True, is_superuser=True)
    # The server does not know the suite's quick hasher.
    ada.password = PBKDF2PasswordHasher().encode("secret-for-tests", "salt", iterations=1000)
    ada.save(update_fields=["password"])
    with httpx2.Client(base_url=origin, timeout=60.0) as browser:
        page = browser.get(f"{PREFIX}/login/")
        assert page.status_code == 200
        form = {
            "username": "ada",
            "password": "secret-for-tests",
            "csrfmiddlewaretoken": browser.cookies["csrftoken"],
            "next": f"{PREFIX}/campaigns/",
        }
        answer = browser.post(
            f"{PREFIX}/login/", data=form, headers={"Referer": f"{origin}{PREFIX}/login/"}
        )
        assert (answer.status_code, answer.headers["Location"]) == (302, f"{PREFIX}/campaigns/")
        yield browser


def test_every_page_style_script_and_picture_is_found_below_the_path(
    origin: str, browser: httpx2.Client
) -> None:
    factories.completed_task()
    factories.failed_task()
    factories.campaign()
    factories.worker("lab-1")
    start = f"{PREFIX}/"
    seen, queue = {start}, deque([start, f"{PREFIX}/admin/", f"{PREFIX}/api/docs/"])
    kinds: set[str] = set()
    while queue:
        path = queue.popleft()
        answer = browser.get(path, follow_redirects=True)
        assert str(answer.url).startswith(f"{origin}{PREFIX}/"), (path, answer.url)
        assert answer.status_code < 400, (path, answer.status_code)
        kind = answer.headers["Content-Type"].partition(";")[0]
        kinds.add(kind)
        if kind != "text/html":
            continue
        for attribute, pointer in Pointers(answer.text).found:
            target = urlsplit(urljoin(f"{origin}{path}", pointer))
            if f"{target.scheme}://{target.netloc}" != origin:
                continue
            assert target.path.startswith(f"{PREFIX}/"), (path, attribute, pointer)
            place = re.sub(r"\d+", "1", target.path)
            if (
                attribute in {"href", "src", "hx-get"}
                and place not in seen
                and not NOT_FOLLOWED.search(target.path)
                and len(seen) < MOST_PAGES
            ):
                seen.add(place)
                queue.append(f"{target.path}?{target.query}" if target.query else target.path)
    assert len(seen) > 50
    assert kinds >= {"text/html", "text/css", "text/javascript", "image/svg+xml"}


def test_cookies_are_sent_below_the_path_only(origin: str, browser: httpx2.Client) -> None:
    browser.get(f"{PREFIX}/campaigns/new/")
    cookies = {cookie.name: cookie.path for cookie in browser.cookies.jar}
    assert cookies == {"csrftoken": f"{PREFIX}/", "sessionid": f"{PREFIX}/"}
    assert "Sign out" in browser.get(f"{PREFIX}/").text


def test_redirects_stay_below_the_path(origin: str) -> None:
    with httpx2.Client(base_url=origin, timeout=60.0) as visitor:
        slash = visitor.get(f"{PREFIX}/campaigns")
        assert slash.headers["Location"] == f"{PREFIX}/campaigns/"
        login = visitor.get(f"{PREFIX}/account/")
        assert login.headers["Location"] == f"{PREFIX}/login/?next={PREFIX}/account/"
        admin = visitor.get(f"{PREFIX}/admin/", follow_redirects=True)
        assert admin.url.path == f"{PREFIX}/login/"
        assert f"next={PREFIX}/admin/" in str(admin.url)


def test_error_pages_lead_back_below_the_path(origin: str, browser: httpx2.Client) -> None:
    missing = browser.get(f"{PREFIX}/nothing/")
    assert missing.status_code == 404
    refused = browser.post(f"{PREFIX}/login/", data={"username": "x"})
    assert refused.status_code == 403
    large = browser.post(
        f"{PREFIX}/login/",
        content=b"x=" + b"y" * 3_000_000,
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert large.status_code == 413
    for answer in (missing, refused, large):
        links = [value for name, value in Pointers(answer.text).found if name == "href"]
        assert links
        assert all(link.startswith((f"{PREFIX}/", "#")) for link in links), links
    json = browser.get(f"{PREFIX}/api/v1/nothing")
    assert (json.status_code, json.json()["code"]) == (404, "not_found")


def test_the_policy_of_a_page_is_found_below_the_path(browser: httpx2.Client) -> None:
    policy = browser.get(f"{PREFIX}/admin/").headers["Content-Security-Policy"]
    assert "unsafe-eval" in policy
    assert "unsafe-eval" not in browser.get(f"{PREFIX}/").headers["Content-Security-Policy"]


def test_the_api_and_its_document_name_addresses_below_the_path(
    origin: str, browser: httpx2.Client
) -> None:
    for _ in range(3):
        factories.completed_task()
    document = browser.get(f"{PREFIX}/api/schema/?format=json").json()
    assert document["servers"] == [{"url": PREFIX}]
    assert "/api/v1/campaigns" in document["paths"]
    listed = browser.get(f"{PREFIX}/api/v1/campaigns?page_size=1")
    following = listed.json()["next"]
    assert following.startswith(f"{origin}{PREFIX}/api/v1/")
    assert browser.get(following).status_code == 200


def test_what_is_printed_to_join_or_to_program_names_the_path(
    origin: str, browser: httpx2.Client
) -> None:
    address = f"{origin}{PREFIX}"
    task = factories.completed_task()
    headers = {"x-csrftoken": browser.cookies["csrftoken"], "Referer": f"{address}/"}
    joined = browser.post(f"{PREFIX}/api/v1/invitations", json={"label": "x"}, headers=headers)
    # Other machines do not reach the address of this request, 127.0.0.1.
    host = next(iter(lan_addresses()), "127.0.0.1")
    reached = f"http://{host}:{urlsplit(origin).port}{PREFIX}"
    assert f"xeenet-worker --server {reached} --enrol xe_" in joined.json()["command"]
    assert f"{reached}/workers/program/" in joined.json()["install"]
    assert f'SERVER = "{address}"' in browser.get(f"{PREFIX}/agents/").text.replace("&quot;", '"')
    invited = browser.post(f"{PREFIX}/workers/invite/", data={"label": "x"}, headers=headers)
    assert f"{PREFIX} --enrol xe_" in invited.text
    assert "--server http://127.0.0.1" not in invited.text
    bundle = browser.get(f"{PREFIX}{task.get_absolute_url()}bundle.zip")
    assert bundle.content.startswith(b"PK")


def test_an_agent_works_through_the_path(origin: str) -> None:
    factories.active_campaign(1)
    client = AgentClient(f"{origin}{PREFIX}/")
    client.probe()
    _, token = factories.worker_with_token("lab-1")
    client.close()
    agent = AgentClient(f"{origin}{PREFIX}", token)
    try:
        (lease,) = claim(agent)
        agent.heartbeat({"boot_id": str(uuid.uuid4()), "leases": [{"lease_id": lease["lease_id"]}]})
        assert agent.submit(lease["lease_id"], result_of(lease))["verdict"] == Verdict.ACCEPTED
    finally:
        agent.close()
    assert Result.objects.count() == 1


def test_a_real_agent_joins_and_works_through_the_path(
    origin: str, browser: httpx2.Client, tmp_path: Path
) -> None:
    address = f"{origin}{PREFIX}"
    headers = {"x-csrftoken": browser.cookies["csrftoken"], "Referer": f"{address}/"}
    invited = browser.post(f"{PREFIX}/api/v1/invitations", json={"label": ""}, headers=headers)
    command = invited.json()["command"].split()[1:]
    place = command.index("--server") + 1
    assert urlsplit(command[place]).path == PREFIX
    command[place] = address  # the server listens to this machine only
    agent = [sys.executable, "-m", "workers.agent", *command, "--name", "below", "--simulate"]
    answer = subprocess.run(
        [*agent, "--once", "--state-dir", str(tmp_path / "agent")],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert Worker.objects.filter(name="below").exists(), answer.stderr
    assert answer.returncode == 0, answer.stderr


def test_outside_of_the_path_is_not_ours(origin: str) -> None:
    assert httpx2.get(f"{origin}/login/").content == ELSEWHERE


def test_probes_answer_without_the_proxy_with_and_without_the_path(server: int) -> None:
    for path in ("/healthz", "/readyz", f"{PREFIX}/healthz", f"{PREFIX}/readyz"):
        assert httpx2.get(f"http://127.0.0.1:{server}{path}").status_code == 200
    answer = httpx2.get(f"http://127.0.0.1:{server}{PREFIX}?x=1")
    assert (answer.status_code, answer.headers["Location"]) == (302, f"{PREFIX}/?x=1")


# --- Without a server -----------------------------------------------------------------------------


def test_the_base_path_is_read_or_refused_with_what_is_wrong(tmp_path: Path) -> None:
    def problem(path: str) -> str:
        return front_door.base_path_problem(path)

    assert problem("") == problem("/lab/xeenet") == problem("/a.b/~c_d-1") == ""
    for bad in ("/lab//xeenet", "/lab xeenet", "/lab?x", "https://host/lab", "/ä", "/" + "a" * 300):
        assert "must look like /lab/xeenet" in problem(bad)
    assert "no part" in problem("/lab/../xeenet")
    assert "path of XeeNet itself" in problem("/api")
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "xeenet_site.settings",
        "XEENET_HOME": str(tmp_path),
        "XEENET_BASE_PATH": "https://host/lab",
    }
    answer = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 1
    assert answer.stderr.startswith(
        "Configuration: XEENET_BASE_PATH is '/https://host/lab': it must"
    )


def test_every_first_part_of_our_paths_is_refused_as_a_base_path() -> None:
    entries = [
        pattern
        for entry in get_resolver().url_patterns
        for pattern in (
            entry.url_patterns
            if isinstance(entry, URLResolver) and str(entry.pattern) == ""
            else [entry]
        )
    ]
    first = {str(entry.pattern).lstrip("^").partition("/")[0] for entry in entries} - {""}
    assert {"campaigns", "workers", "admin", "api", "login"} <= first
    assert [part for part in first if not front_door.base_path_problem(f"/{part}")] == []
    assert front_door.base_path_problem("/static")


@pytest.fixture
def below(settings: Any) -> Iterator[None]:
    """The settings and the state of a command or background job below a path."""
    settings.BASE_PATH = settings.FORCE_SCRIPT_NAME = PREFIX
    set_script_prefix(PREFIX)
    yield
    clear_script_prefix()


@pytest.mark.django_db
def test_webhooks_and_commands_name_the_path(below: None, capsys: Any) -> None:
    task = factories.completed_task()
    owner = factories.user()
    hooks.create(owner, "https://93.184.215.14/x", list(WebhookEvent), campaign=None, now=NOW)
    events.note_finished(task.campaign, lambda: "Nothing has raced.", now=NOW)
    payload = WebhookDelivery.objects.get().payload
    assert payload["campaign"]["path"] == f"{PREFIX}/campaigns/{task.campaign_id}/"
    call_command("enroll_worker", name="attic")
    printed = capsys.readouterr().out
    assert f":8000{PREFIX} --enrol xe_" in printed
    assert f":8000{PREFIX}/workers/program/" in printed
    assert f":8000{PREFIX}/workers/join/#xe_" in printed
    assert serving.url_of("127.0.0.1", 8000) == f"http://127.0.0.1:8000{PREFIX}"


@pytest.mark.django_db
def test_without_a_base_path_nothing_changes() -> None:
    page = Client().get("/campaigns/")
    assert 'href="/campaigns/' in page.text
    assert serving.url_of("127.0.0.1", 8000) == "http://127.0.0.1:8000"
    assert Client().get("/admin/login/")["Location"] == "/login/?next=/admin/"
