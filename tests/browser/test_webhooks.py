"""Webhooks in a real Chromium: created by keyboard, tested with a real receiver and with axe."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from django.urls import reverse
from pytest_django.live_server_helper import LiveServer

from campaigns import jobs
from campaigns.models import Webhook
from tests import factories
from tests.browser.driver import fits, picture, refresh, serious, sign_in

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

HOSTILE = "<img src=x onerror=document.title='bro'+'ken'> {{ 7*7 }}"


@pytest.fixture
def page(browser_page: Page, live_server: LiveServer) -> Page:
    """Return a page of a signed-in researcher."""
    sign_in(browser_page, live_server, factories.user("ada"))
    return browser_page


@pytest.fixture
def receiver(settings: Any) -> Iterator[str]:
    """Yield the URL of a server on this machine that accepts every delivery."""
    settings.XEENET = settings.XEENET | {"WEBHOOK_ALLOW_PRIVATE": True}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hook"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_webhook_is_made_by_keyboard_and_its_test_arrives_without_a_reload(
    page: Page, live_server: LiveServer, receiver: str
) -> None:
    campaign = factories.active_campaign(name=HOSTILE)
    page.goto(live_server.url + campaign.get_absolute_url())
    page.focus("#head-menu summary")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.id") == "notify-link"
    page.keyboard.press("Enter")
    page.focus("#id_url")
    page.keyboard.type(receiver)
    page.keyboard.press("Tab")
    page.keyboard.press("Space")  # deselects the first event
    page.keyboard.press("Enter")
    page.wait_for_selector("#webhook-secret")
    webhook = Webhook.objects.get()
    assert page.inner_text("#webhook-secret") == webhook.secret
    assert (webhook.campaign, webhook.events[0]) == (campaign, "decided")

    page.click("text=Send a test and see the log")
    page.click("#test-button")
    page.wait_for_selector("abbr[title='not tried yet']")
    assert jobs.deliver_webhooks() == 1
    refresh(page)
    page.wait_for_selector("#log-frame .chip.completed")
    assert "bro" + "ken" not in page.title()

    page.click("#delete-button")
    page.wait_for_selector("dialog[open]")
    assert page.evaluate("document.activeElement.textContent") == "Keep it"
    page.keyboard.press("Enter")
    assert Webhook.objects.exists()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_nothing_serious_and_no_page_is_too_wide(
    page: Page, live_server: LiveServer, scheme: Any, width: int
) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(live_server.url + reverse("webhooks"))
    look_at(page, f"empty-{scheme}-{width}")
    hook = full_log()
    for name, path in (
        ("list", reverse("webhooks")),
        ("one", reverse("webhook", args=[hook.pk])),
    ):
        page.goto(live_server.url + path)
        look_at(page, f"{name}-{scheme}-{width}")
    page.click("#verify-details summary")
    look_at(page, f"verify-{scheme}-{width}")
    page.goto(live_server.url + reverse("webhooks"))
    page.fill("#id_url", "http://127.0.0.1/")
    page.click("text=Make webhook")
    page.wait_for_selector(".errors")
    look_at(page, f"refused-{scheme}-{width}")


def look_at(page: Page, name: str) -> None:
    picture(page, f"webhooks-{name}")
    assert serious(page) == [], name
    assert fits(page), name


def full_log() -> Webhook:
    """Return a webhook with deliveries in every state; create a disabled webhook as well."""
    from django.contrib.auth.models import User

    owner = User.objects.get(username="ada")
    campaign = factories.active_campaign(name=HOSTILE)
    Webhook.objects.create(owner=owner, url="https://example.org/off", is_active=False, events=[])
    hook = Webhook.objects.create(
        owner=owner,
        url="https://relay.example.org/rooms/" + "0123456789" * 8,
        campaign=campaign,
        events=["new_best", "campaign_finished", "failure_burst", "silent_fleet"],
    )
    text = {"text": "width study: task 2 leads after one seed, with val_bpb 3.1000 on cpu."}
    deliveries: list[dict[str, Any]] = [
        {"state": "delivered", "attempts": 1, "last_status": 204},
        {"state": "failed", "attempts": 8, "last_error": "It answered 503; wanted is 200 to 299."},
        {"state": "pending", "attempts": 2, "last_error": "No answer within 10 s."},
        {"state": "pending", "payload": {"test": True, "text": HOSTILE}},
    ]
    for number, fields in enumerate(deliveries):
        hook.deliveries.create(
            event="new_best", event_key=str(number), **({"payload": text} | fields)
        )
    return hook
