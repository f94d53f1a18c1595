"""Delivery of webhooks to real HTTP servers, also those that stall, redirect or answer nonsense."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import json
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from campaigns import jobs
from campaigns.models import DeliveryState, Webhook, WebhookDelivery
from campaigns.notifications import delivery
from campaigns.notifications.delivery import MAX_TRIES, RETRY_AFTER, deliver_due
from tests import factories
from tests.standstills import within

pytestmark = pytest.mark.django_db

SECRET = "xs_of-the-test"


@dataclass
class Receiver:
    """A real HTTP server on this machine and the requests it received."""

    url: str
    status: int = 204
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.requests.append((dict(self.headers), body))
            self.send_response(received.status)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    received = Receiver(f"http://127.0.0.1:{server.server_port}/hook?from=xeenet")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield received
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def private_allowed(settings: Any) -> None:
    settings.XEENET = settings.XEENET | {"WEBHOOK_ALLOW_PRIVATE": True}


def hook(url: str) -> Webhook:
    return Webhook.objects.create(
        owner=factories.user(), url=url, secret=SECRET, events=["new_best"]
    )


def pending(
    webhook: Webhook, *, now: dt.datetime = factories.NOW, **fields: Any
) -> WebhookDelivery:
    values = {"payload": {"text": "a new lead"}, "event_key": str(uuid.uuid4())} | fields
    return WebhookDelivery.objects.create(
        webhook=webhook, event="new_best", created_at=now, next_attempt_at=now, **values
    )


def verify(secret: str, header: str, body: bytes) -> bool:
    """Verify a signature as the documentation tells receivers to."""
    parts = dict(part.split("=", 1) for part in header.split(","))
    expected = hmac.new(secret.encode(), f"{parts['t']}.".encode() + body, hashlib.sha256)
    fresh = abs(time.time() - int(parts["t"])) < 300
    return fresh and hmac.compare_digest(expected.hexdigest(), parts["v1"])


def test_a_delivery_arrives_signed_and_is_noted(receiver: Receiver, private_allowed: None) -> None:
    row = pending(hook(receiver.url))

    assert deliver_due(now=factories.NOW) == 1
    assert deliver_due(now=factories.NOW) == 0

    ((headers, body),) = receiver.requests
    assert verify(SECRET, headers["X-XeeNet-Signature"], body)
    assert not verify("xs_another", headers["X-XeeNet-Signature"], body)
    assert not verify(SECRET, headers["X-XeeNet-Signature"], body + b" ")
    assert headers["Content-Type"] == "application/json"
    assert json.loads(body) == {
        "id": row.pk,
        "event": "new_best",
        "created_at": factories.NOW.isoformat(),
        "text": "a new lead",
    }
    row.refresh_from_db()
    assert (row.state, row.attempts, row.last_status) == ("delivered", 1, 204)
    assert row.delivered_at == factories.NOW


def test_the_signature_is_the_documented_one() -> None:
    header = delivery.sign("xs_secret", 1_700_000_000, b'{"id": 1}')
    digest = hmac.new(b"xs_secret", b'1700000000.{"id": 1}', "sha256").hexdigest()
    assert header == f"t=1700000000,v1={digest}"


def test_a_private_address_gets_nothing_unless_the_operator_allows_it(receiver: Receiver) -> None:
    row = pending(hook(receiver.url))

    assert deliver_due(now=factories.NOW) == 0

    assert receiver.requests == []
    row.refresh_from_db()
    assert (row.state, row.attempts) == ("failed", 1)
    assert "not on the public internet" in row.last_error


def test_a_name_that_moves_into_a_private_network_is_refused_at_connect(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = int(receiver.url.rsplit(":", 1)[1].split("/")[0])
    row = pending(hook(f"http://rebinding.example:{port}/"))
    answer = [(2, 1, 6, "", ("127.0.0.1", port))]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: answer)

    deliver_due(now=factories.NOW)

    assert receiver.requests == []
    row.refresh_from_db()
    assert row.state == DeliveryState.FAILED


def test_the_connection_goes_to_the_address_that_was_judged(
    receiver: Receiver, private_allowed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second lookup of the name would return another address than the one that was checked."""
    port = int(receiver.url.rsplit(":", 1)[1].split("/")[0])
    lookups: list[str] = []
    real = socket.getaddrinfo

    def changing(host: str, *args: Any, **kwargs: Any) -> Any:
        if host != "changing.example":
            return real(host, *args, **kwargs)
        lookups.append(host)
        return real("127.0.0.1" if len(lookups) == 1 else "127.0.0.2", *args, **kwargs)

    monkeypatch.setattr("socket.getaddrinfo", changing)
    pending(hook(f"http://changing.example:{port}/"))

    assert deliver_due(now=factories.NOW) == 1
    assert len(lookups) == 1
    assert receiver.requests[0][0]["Host"] == f"changing.example:{port}"


@pytest.mark.parametrize(
    ("status", "words"), [(302, "redirects are not followed"), (500, "It answered 500")]
)
def test_an_answer_that_is_no_success_is_tried_again(
    receiver: Receiver, private_allowed: None, status: int, words: str
) -> None:
    receiver.status = status
    row = pending(hook(receiver.url))

    deliver_due(now=factories.NOW)

    row.refresh_from_db()
    assert (row.state, row.attempts, row.last_status) == ("pending", 1, status)
    assert words in row.last_error
    assert row.next_attempt_at == factories.NOW + RETRY_AFTER[0]
    assert len(receiver.requests) == 1


def test_tries_grow_apart_and_end_within_a_day(receiver: Receiver, private_allowed: None) -> None:
    receiver.status = 503
    row, now = pending(hook(receiver.url)), factories.NOW
    for _ in range(MAX_TRIES + 2):
        deliver_due(now=now)
        row.refresh_from_db()
        if row.state == DeliveryState.FAILED:
            break
        assert row.next_attempt_at > now
        now = row.next_attempt_at

    assert (row.state, row.attempts, len(receiver.requests)) == ("failed", MAX_TRIES, MAX_TRIES)
    assert now - factories.NOW < dt.timedelta(hours=24)
    assert MAX_TRIES == 8


def test_a_receiver_that_is_back_gets_what_it_missed(
    receiver: Receiver, private_allowed: None
) -> None:
    receiver.status = 500
    row = pending(hook(receiver.url))
    deliver_due(now=factories.NOW)
    receiver.status = 200

    assert deliver_due(now=factories.at(59)) == 0
    assert deliver_due(now=factories.at(60)) == 1

    row.refresh_from_db()
    assert (row.state, row.attempts, row.last_error) == ("delivered", 2, "")


def serve_raw(answer: Callable[[socket.socket], None]) -> tuple[str, Callable[[], None]]:
    """Serve a connection with `answer`; return the server's address and a function that ends it."""
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(5)

    def serve() -> None:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection:
            request = b""
            while not request.endswith(b"}"):  # headers and body come in pieces
                piece = connection.recv(65536)
                if not piece:
                    return
                request += piece
            try:
                answer(connection)
            except OSError:
                return

    thread = threading.Thread(target=serve)
    thread.start()

    def end() -> None:
        server.close()
        thread.join()

    return f"http://127.0.0.1:{server.getsockname()[1]}/", end


def drip(connection: socket.socket) -> None:
    """Send single bytes so often that no single read times out, and never finish the answer."""
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    for _ in range(100):
        connection.sendall(b"X")
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("answer", "seconds", "words"),
    [
        (drip, 0.5, "No answer within 0.5 s."),
        (lambda connection: connection.recv(1), 0.5, "No answer within 0.5 s."),
        # These answer at once, but on a busy machine even that takes a while.
        (lambda connection: connection.sendall(b"220 smtp.example\0\r\n\r\n"), 10, "is not HTTP"),
        (lambda connection: None, 10, "cannot be reached"),
    ],
    ids=["drips", "says nothing", "another protocol", "hangs up"],
)
def test_a_receiver_that_misbehaves_costs_a_bounded_time(
    settings: Any,
    private_allowed: None,
    answer: Callable[[socket.socket], None],
    seconds: float,
    words: str,
) -> None:
    settings.XEENET = settings.XEENET | {"WEBHOOK_TIMEOUT_SECONDS": seconds}
    url, end = serve_raw(answer)
    row = pending(hook(url))
    try:
        with within(4):
            assert deliver_due(now=factories.NOW) == 0
    finally:
        end()

    row.refresh_from_db()
    assert row.state == DeliveryState.PENDING
    assert words in row.last_error


def test_a_receiver_without_tls_is_told_apart(receiver: Receiver, private_allowed: None) -> None:
    row = pending(hook(receiver.url.replace("http://", "https://")))
    deliver_due(now=factories.NOW)
    row.refresh_from_db()
    assert "TLS" in row.last_error


def test_a_closed_port_and_an_unknown_name_are_tried_again(private_allowed: None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    closed = pending(hook(f"http://127.0.0.1:{port}/"))
    unknown = pending(hook("https://nowhere.invalid/"))

    deliver_due(now=factories.NOW)

    closed.refresh_from_db()
    unknown.refresh_from_db()
    assert (closed.state, unknown.state) == ("pending", "pending")
    assert "cannot be reached" in closed.last_error
    assert "has no address" in unknown.last_error


def test_a_failing_webhook_is_tried_once_a_run_and_holds_up_no_other(
    receiver: Receiver, private_allowed: None
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    bad, good = hook(f"http://127.0.0.1:{port}/"), hook(receiver.url)
    for _ in range(5):
        pending(bad)
    for _ in range(5):
        pending(good)

    assert deliver_due(now=factories.NOW) == 5

    assert sum(bad.deliveries.values_list("attempts", flat=True)) == 1


def test_deliveries_of_one_webhook_arrive_in_order(
    receiver: Receiver, private_allowed: None
) -> None:
    listener = hook(receiver.url)
    rows = [pending(listener) for _ in range(4)]
    deliver_due(now=factories.NOW)
    assert [json.loads(body)["id"] for _, body in receiver.requests] == [row.pk for row in rows]


def test_a_disabled_webhook_keeps_what_waits(receiver: Receiver, private_allowed: None) -> None:
    listener = hook(receiver.url)
    row = pending(listener)
    Webhook.objects.update(is_active=False)
    assert deliver_due(now=factories.NOW) == 0
    Webhook.objects.update(is_active=True)
    assert deliver_due(now=factories.NOW) == 1
    assert row.pk == json.loads(receiver.requests[0][1])["id"]


def test_a_try_that_another_process_took_is_not_made_twice(
    receiver: Receiver, private_allowed: None
) -> None:
    pending(hook(receiver.url))
    assert len(delivery._claim(factories.NOW, set())) == 1  # the other process is sending now

    assert deliver_due(now=factories.NOW) == 0

    assert receiver.requests == []


def test_the_last_try_of_a_process_that_died_ends_the_delivery(private_allowed: None) -> None:
    row = pending(hook("https://example.org/"), attempts=MAX_TRIES)
    assert deliver_due(now=factories.NOW) == 0
    row.refresh_from_db()
    assert (row.state, row.last_error) == ("failed", "The last try was cut off.")


def test_ended_deliveries_are_forgotten_after_a_month_and_open_ones_are_not() -> None:
    listener = hook("https://example.org/")
    old = factories.NOW - dt.timedelta(days=31)
    pending(listener, now=old, state="delivered")
    remaining = {pending(listener, now=old).pk, pending(listener, state="failed").pk}

    assert delivery.prune_log(now=factories.NOW) == 1

    assert set(WebhookDelivery.objects.values_list("pk", flat=True)) == remaining


def test_the_job_sends_what_is_due(receiver: Receiver, private_allowed: None) -> None:
    pending(hook(receiver.url))
    assert jobs.deliver_webhooks() == 1
    assert len(receiver.requests) == 1
