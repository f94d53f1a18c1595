"""The server's log: one line per request with caller and leases, and never a secret."""

from __future__ import annotations

import io
import json
import logging
import logging.config
import re
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from django.conf import settings as django_settings
from django.db import OperationalError, connection
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from campaigns.api.views import campaigns
from campaigns.models import PersonalToken, WebhookEvent
from campaigns.notifications import hooks
from tests import factories
from tests.clients import bearer
from workers import lifecycle as worker_lifecycle
from workers.tokens import PERSONAL_PREFIX, hash_token, new_token
from xeenet_site.logs import hide_secrets, logging_config

PASSWORD = "secret-for-tests"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Yield the log at all levels, in the format of the production server."""
    stream = io.StringIO()
    config = logging_config(production=True, level="DEBUG")
    config["handlers"]["console"]["stream"] = stream
    config["loggers"]["django"]["level"] = "DEBUG"
    config["loggers"]["xeenet.requests"]["level"] = "DEBUG"
    root = logging.getLogger()
    former_handlers, former_level = root.handlers[:], root.level
    logging.config.dictConfig(config)
    # The former handlers include pytest's own.
    root.handlers += [handler for handler in former_handlers if handler not in root.handlers]
    yield stream
    logging.config.dictConfig(django_settings.LOGGING)
    root.handlers[:], root.level = former_handlers, former_level


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def request_line(stream: io.StringIO) -> dict[str, Any]:
    return [line for line in lines(stream) if line["event"] == "request"][-1]


# --- One line per request -------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_request_gets_an_id_that_every_line_about_it_carries(log: io.StringIO) -> None:
    answer = Client().get("/nothing/?token=from-the-query")
    given = answer["X-Request-ID"]
    assert re.fullmatch("[0-9a-f]{32}", given)
    about = [line for line in lines(log) if line.get("request_id") == given]
    assert {line["logger"] for line in about} >= {"xeenet.requests", "django.request"}
    line = request_line(log)
    assert (line["method"], line["path"], line["status"]) == ("GET", "/nothing/", 404)
    assert line["level"] == "info"
    assert line["seconds"] >= 0
    assert "from-the-query" not in str(line)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("proxy-7.A_b", True),
        ("x" * 64, True),
        ("x" * 65, False),
        ("two words", False),
        ('{"level": "info"}', False),
        ("a\u202eb", False),
        ("", False),
    ],
)
def test_an_id_of_a_proxy_is_kept_when_it_can_forge_nothing(sent: str, kept: bool) -> None:
    answer = Client().get("/healthz", HTTP_X_REQUEST_ID=sent)
    assert (answer["X-Request-ID"] == sent) is kept


@pytest.mark.django_db
def test_the_line_names_the_worker_and_the_leases_of_a_claim_and_a_result(
    log: io.StringIO,
) -> None:
    _, token = factories.worker_with_token("lab-1")
    factories.active_campaign(2)
    client = bearer(token)
    body = {
        "claim_id": str(uuid.uuid4()),
        "boot_id": str(uuid.uuid4()),
        "count": 2,
        "simulate": False,
    }
    claimed = client.post("/api/v1/leases/claim", body).json()["leases"]
    leases = [lease["lease_id"] for lease in claimed]
    line = request_line(log)
    assert (line["worker"], line["leases"]) == ("lab-1", leases)
    assert len(leases) == 2
    client.post(
        "/api/v1/heartbeat", {"boot_id": body["boot_id"], "leases": [{"lease_id": leases[0]}]}
    )
    assert request_line(log)["leases"] == leases[:1]
    client.post(f"/api/v1/leases/{leases[1]}/release", {})
    assert request_line(log)["leases"] == [leases[1]]


@pytest.mark.django_db
def test_the_line_names_the_person_of_a_page_and_of_the_api(log: io.StringIO) -> None:
    ada = factories.user("ada")
    client = Client()
    client.force_login(ada)
    client.get(reverse("account"))
    assert request_line(log)["user"] == "ada"
    token = new_token(PERSONAL_PREFIX)
    PersonalToken.objects.create(user=ada, name="tests", token_hash=hash_token(token))
    bearer(token).get("/api/v1/campaigns")
    assert request_line(log)["user"] == "ada"
    Client().get("/")
    assert "user" not in request_line(log)


def test_a_probe_that_is_well_is_no_news(log: io.StringIO) -> None:
    Client().get("/healthz")
    assert request_line(log)["level"] == "debug"


@pytest.mark.django_db
def test_an_error_is_written_with_its_traceback_and_the_id(
    log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> Any:
        raise KeyError("x")

    monkeypatch.setattr(campaigns, "campaigns_with_best", broken)
    answer = Client(raise_request_exception=False).get("/api/v1/campaigns")
    error = next(line for line in lines(log) if "exception" in line)
    assert error["request_id"] == answer["X-Request-ID"]
    assert "KeyError: 'x'" in error["exception"]
    assert request_line(log)["level"] == "error"


def test_in_development_a_line_reads_as_a_sentence() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    formatter = logging_config(production=False, level="INFO")["formatters"]["line"]
    handler.setFormatter(formatter.pop("()")(**formatter))
    structlog.contextvars.clear_contextvars()
    record = logging.LogRecord("campaigns.jobs", 20, "x.py", 1, "leases expired: %d", (3,), None)
    handler.emit(record)
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT[\d:.]+Z INFO    campaigns.jobs: leases expired: 3\n", stream.getvalue()
    )


# --- Secrets --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "GET x Authorization: Bearer {}",
        "{{'Authorization': 'Bearer {}'}}",
        "authorization=Basic {}",
        "password={}&next=/",
        'SECRET_KEY = "{}"',
        "could not connect to postgresql://xeenet:{}@localhost/xeenet",
        "csrfmiddlewaretoken={}",
        "Cookie: sessionid={}; x=1",
        "the token xw_{} is unknown",
        "fleet xf_{}",
        "invitation xe_{}",
    ],
)
def test_a_secret_is_taken_out_of_a_line_wherever_it_stands(line: str) -> None:
    secret = "s3cr3t-Value_of-forty-characters-or-more"
    assert secret not in hide_secrets(line.format(secret))
    assert hide_secrets("3 tasks, lease 7f1e, “key” of /x/y?z: fine") == (
        "3 tasks, lease 7f1e, “key” of /x/y?z: fine"
    )


@pytest.mark.django_db
def test_no_secret_is_in_the_log_whatever_is_asked_and_whatever_fails(
    log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = factories.user("ada", role="operator")
    _, worker_token = factories.worker_with_token("lab-1")
    _, invitation = worker_lifecycle.invite(now=factories.NOW, label="x", created_by=ada)
    personal = new_token(PERSONAL_PREFIX)
    PersonalToken.objects.create(user=ada, name="tests", token_hash=hash_token(personal))
    browser = Client(raise_request_exception=False)
    browser.post(reverse("login"), {"username": "ada", "password": "wrong-" + PASSWORD})
    browser.post(reverse("login"), {"username": "ada", "password": PASSWORD})
    browser.get(reverse("account"))
    hook = hooks.create(
        ada, "https://93.184.215.14/hook", list(WebhookEvent), campaign=None, now=factories.NOW
    )
    secrets = {
        "a worker's token": worker_token,
        "an invitation": invitation,
        "a personal token": personal,
        "a password": PASSWORD,
        "a webhook's secret": hook.secret,
        "SECRET_KEY": django_settings.SECRET_KEY,
        "a session": browser.cookies["sessionid"].value,
    }
    for token in (worker_token, personal, invitation, "xw_" + "unknown" * 6):
        drive(bearer(token), invitation)
    for error in (KeyError(personal), OperationalError(f"password={PASSWORD}x failed")):
        monkeypatch.setattr(campaigns, "campaigns_with_best", raising(error))
        Client(raise_request_exception=False).get(
            "/api/v1/campaigns", headers={"Authorization": f"Bearer {personal}"}
        )
        with connection.execute_wrapper(raising(error)):
            browser.get("/")
    text = log.getvalue()
    assert len(text.splitlines()) > 20
    assert [name for name, secret in secrets.items() if secret in text] == []


def drive(client: APIClient, invitation: str) -> None:
    """Send the requests that agents and people send, some of them invalid."""
    boot = str(uuid.uuid4())
    client.get("/api/v1/workers/me")
    client.post("/api/v1/workers/enrol", {"enrolment_token": invitation, "name": "lab-1"})
    client.post("/api/v1/leases/claim", {"claim_id": boot, "boot_id": boot, "count": 1})
    client.post("/api/v1/heartbeat", {"boot_id": boot, "leases": [{"lease_id": invitation}]})
    client.put(f"/api/v1/leases/{boot}/result", {"outcome": "completed"})
    client.generic("POST", "/api/v1/heartbeat", f'{{"{invitation}": '.encode(), "application/json")
    client.get(f"/api/v1/campaigns?token={invitation}")


def raising(error: Exception) -> Callable[..., Any]:
    def wrapper(*_: Any, **__: Any) -> Any:
        raise error

    return wrapper
