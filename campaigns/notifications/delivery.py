"""Send the deliveries that `events` wrote: signed, with a timeout, retried for a day.

Delivery is at least once: receivers recognise a repetition by the body's `id`.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import http.client
import json
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from django.conf import settings
from django.db.models import F, Min, QuerySet

from campaigns.models import DeliveryState, WebhookDelivery
from campaigns.notifications.addresses import (
    DEFAULT_PORTS,
    AddressRefused,
    NameUnknown,
    Target,
    find_target,
)

SIGNATURE_HEADER: Final = "X-XeeNet-Signature"
# The waits after the first try, the second …; together under 24 hours.
RETRY_AFTER: Final = tuple(
    dt.timedelta(minutes=minutes) for minutes in (1, 5, 15, 60, 180, 360, 720)
)
MAX_TRIES: Final = len(RETRY_AFTER) + 1
# Length of one run of the job: below the q-cluster's timeout, with room for slow name servers.
RUN_SECONDS: Final = 20.0
# Concurrent deliveries, each to another webhook, so that a slow receiver does not delay the others.
PARALLEL: Final = 8
KEEP_LOG: Final = dt.timedelta(days=30)
PRUNE_BATCH: Final = 500


@dataclass(frozen=True)
class SendResult:
    """The outcome of one try; an empty error means that it arrived."""

    status: int | None
    error: str
    # A retry would not help.
    is_final: bool = False


def sign(secret: str, timestamp: int, body: bytes) -> str:
    """Return the signature header's value: HMAC-SHA256 over "timestamp.body"."""
    digest = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256)
    return f"t={timestamp},v1={digest.hexdigest()}"


def send(delivery: WebhookDelivery) -> SendResult:
    """Make one try. Network only, no database: it runs in a thread of its own."""
    body = json.dumps(
        {
            "id": delivery.pk,
            "event": delivery.event,
            "created_at": delivery.created_at.isoformat(),
            **delivery.payload,
        }
    ).encode()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "XeeNet-Webhook/1",
        "X-XeeNet-Event": delivery.event,
        # The receiver checks the age of a message by its own clock, so this is the time of sending
        # by the machine's clock, not the database's time of the job.
        SIGNATURE_HEADER: sign(delivery.webhook.secret, int(time.time()), body),
    }
    seconds: float = settings.XEENET["WEBHOOK_TIMEOUT_SECONDS"]
    try:
        target = find_target(delivery.webhook.url)
    except AddressRefused as error:
        return SendResult(None, str(error), is_final=True)
    except NameUnknown as error:
        return SendResult(None, str(error))
    connection = _Connection(target, seconds)
    # The socket's own timeout starts again with every byte; the timer also ends an answer that
    # trickles in.
    timer = threading.Timer(seconds, connection.abort)
    timer.start()
    try:
        connection.request("POST", target.path, body=body, headers=headers)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return SendResult(None, _sentence(error, connection, seconds))
    finally:
        timer.cancel()
        connection.close()
    # An answer that was cut off between two header lines looks complete.
    return SendResult(None, _too_slow(seconds)) if connection.was_aborted else _judge(status)


def _judge(status: int) -> SendResult:
    if 200 <= status < 300:
        return SendResult(status, "")
    if 300 <= status < 400:
        return SendResult(
            status, f"It answered {status}: redirects are not followed, enter the target."
        )
    return SendResult(status, f"It answered {status}; wanted is 200 to 299.")


def _too_slow(seconds: float) -> str:
    return f"No answer within {seconds:g} s."


def _sentence(error: Exception, connection: _Connection, seconds: float) -> str:
    """Say what went wrong in our own words, so that no bytes of the receiver reach the log."""
    if connection.was_aborted or isinstance(error, TimeoutError):
        return _too_slow(seconds)
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"Its certificate is not good: {error.verify_message}."
    if isinstance(error, ssl.SSLError):
        return "It does not speak TLS as we do; is the port right?"
    if isinstance(error, http.client.HTTPException) and not isinstance(error, OSError):
        return "What it answered is not HTTP; is the port right?"
    reason = getattr(error, "strerror", None) or "the connection was closed"
    return f"It cannot be reached: {reason}."


class _Connection(http.client.HTTPConnection):
    """HTTP or HTTPS to a checked address; the name is not resolved again."""

    def __init__(self, target: Target, seconds: float) -> None:
        super().__init__(target.host, target.port, timeout=seconds)
        # Otherwise the Host header would name the port.
        self.default_port = DEFAULT_PORTS["https" if target.is_tls else "http"]
        self.target = target
        self.was_aborted = False

    def connect(self) -> None:
        sock = self._reach()
        if not self.target.is_tls:
            self.sock = sock
            return
        wrapped = ssl.create_default_context().wrap_socket(
            sock, server_hostname=self.target.host, do_handshake_on_connect=False
        )
        # Set before the handshake, so that `abort` can end the handshake too.
        self.sock = wrapped
        wrapped.do_handshake()

    def _reach(self) -> socket.socket:
        """Connect to the first address that answers."""
        failure: OSError = TimeoutError()
        for address in self.target.addresses:
            if self.was_aborted:
                break
            try:
                return socket.create_connection((str(address), self.target.port), self.timeout)
            except OSError as error:
                failure = error
        raise failure

    def abort(self) -> None:
        """End the exchange, from another thread."""
        self.was_aborted = True
        if self.sock is not None:
            try:
                # The plain socket's own shutdown: TLS's would drop state the other thread uses.
                socket.socket.shutdown(self.sock, socket.SHUT_RDWR)
            except OSError:
                return  # it has ended by itself


def deliver_due(*, now: dt.datetime) -> int:
    """Send what is due, for about `RUN_SECONDS` at most; return how many deliveries arrived.

    Safe to run concurrently: a try belongs to the process that claims its row first. When a
    receiver fails, all deliveries of its webhook wait for the next run.
    """
    _give_up_dead_tries(now)
    started, arrived = time.monotonic(), 0
    failing: set[int] = set()
    with ThreadPoolExecutor(PARALLEL) as threads:
        while time.monotonic() - started < RUN_SECONDS:
            claimed = _claim(now, failing)
            if not claimed:
                break
            for delivery, result in zip(claimed, threads.map(send, claimed), strict=True):
                _record(delivery, result, now)
                if result.error:
                    failing.add(delivery.webhook_id)
                else:
                    arrived += 1
    return arrived


def _due(now: dt.datetime) -> QuerySet[WebhookDelivery]:
    pending = WebhookDelivery.objects.filter(state=DeliveryState.PENDING, next_attempt_at__lte=now)
    return pending.filter(webhook__is_active=True, webhook__owner__is_active=True)


def _give_up_dead_tries(now: dt.datetime) -> None:
    """Give up deliveries whose process died during their last try."""
    spent = WebhookDelivery.objects.filter(
        state=DeliveryState.PENDING, next_attempt_at__lte=now, attempts__gte=MAX_TRIES
    )
    spent.update(state=DeliveryState.FAILED, last_error="The last try was cut off.")


def _claim(now: dt.datetime, failing: set[int]) -> list[WebhookDelivery]:
    """Take the oldest due delivery of up to `PARALLEL` webhooks; the try counts from here on."""
    due = _due(now).exclude(webhook__in=failing)
    first = due.values("webhook").annotate(first=Min("pk")).order_by("first")
    chosen = [row["first"] for row in first[:PARALLEL]]
    rows = WebhookDelivery.objects.filter(pk__in=chosen).select_related("webhook")
    claimed = []
    for delivery in rows:
        wait = RETRY_AFTER[min(delivery.attempts, len(RETRY_AFTER) - 1)]
        moved = _due(now).filter(pk=delivery.pk, attempts=delivery.attempts)
        if moved.update(attempts=F("attempts") + 1, next_attempt_at=now + wait):
            delivery.attempts += 1
            claimed.append(delivery)
    return claimed


def _record(delivery: WebhookDelivery, result: SendResult, now: dt.datetime) -> None:
    """Store the outcome of a try, unless a person sent the delivery again meanwhile."""
    tried = WebhookDelivery.objects.filter(
        pk=delivery.pk, state=DeliveryState.PENDING, attempts=delivery.attempts
    )
    if not result.error:
        tried.update(
            state=DeliveryState.DELIVERED,
            delivered_at=now,
            last_status=result.status,
            last_error="",
        )
        return
    is_over = result.is_final or delivery.attempts >= MAX_TRIES
    tried.update(
        state=DeliveryState.FAILED if is_over else DeliveryState.PENDING,
        last_status=result.status,
        last_error=result.error[:500],
    )


def prune_log(*, now: dt.datetime) -> int:
    """Delete deliveries that ended a month ago, at most `PRUNE_BATCH`; return how many."""
    old = WebhookDelivery.objects.filter(created_at__lt=now - KEEP_LOG)
    ended = old.exclude(state=DeliveryState.PENDING).order_by("pk")
    chosen = list(ended.values_list("pk", flat=True)[:PRUNE_BATCH])
    return WebhookDelivery.objects.filter(pk__in=chosen).delete()[0]
