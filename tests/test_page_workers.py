"""The pages of workers: the fleet, one worker, and the invitation of a new one."""

import re
import uuid

import pytest
import time_machine
from django.test import Client
from django.urls import reverse

from tests import factories
from workers import lifecycle
from workers.models import EnrolmentToken
from workers.protocol import FailureClass
from workers.tokens import hash_token

pytestmark = pytest.mark.django_db

HARDWARE = {
    "cpu_model": "EPYC 9R14",
    "cpu_count": 2,
    "ram_bytes": 8_000_000_000,
    "torch_version": "2.13.0",
    "devices": ["cpu"],
}


def test_an_empty_fleet_says_how_to_join(client: Client) -> None:
    page = client.get(reverse("workers")).text
    assert "No worker has joined yet" in page
    assert "xeenet-worker --server http://testserver" in page


@time_machine.travel(factories.at(20), tick=False)
def test_the_fleet_shows_presence_machine_and_current_task(client: Client) -> None:
    busy = factories.worker("busy", hardware=HARDWARE)
    lifecycle.see(busy, now=factories.at(10))
    factories.leased_task(busy, name="width study")
    factories.worker("never-came")
    page = client.get(reverse("workers")).text
    assert "1 of 2 online" in page
    assert "EPYC 9R14" in page
    assert "<bdi>width study</bdi> #0" in page
    assert ">10 s ago</time>" in page
    assert "enrolled, but its agent has not called yet" in page


@time_machine.travel(factories.at(46), tick=False)
def test_a_worker_silent_for_the_lease_time_is_offline(client: Client) -> None:
    lifecycle.see(factories.worker(), now=factories.NOW)
    page = client.get(reverse("workers")).text
    assert "</svg>offline</span>" in page


def test_a_worker_without_torch_is_badged(client: Client) -> None:
    worker = factories.worker(simulates=True)
    assert "SIMULATES" in client.get(reverse("workers")).text
    page = client.get(reverse("worker", args=[worker.pk])).text
    assert "This machine has no torch" in page


def test_a_worker_shows_its_machine_sessions_and_attempts(client: Client) -> None:
    worker = factories.worker("lab-1", hardware=HARDWARE)
    lifecycle.see(worker, now=factories.NOW, boot_id=uuid.uuid4())
    factories.completed_task(3.1234, by=worker, name="width study")
    factories.fail(factories.leased_task(worker, name="depth study"), FailureClass.OOM)
    page = client.get(reverse("worker", args=[worker.pk])).text
    for words in ("EPYC 9R14", "8 GB", "width study", "3.1234", "depth study", "out of memory"):
        assert words in page


@time_machine.travel(factories.at(5), tick=False)
def test_a_worker_that_paused_itself_says_why(client: Client) -> None:
    worker = factories.worker()
    lifecycle.pause_after_env_error(worker, "torch does not import", now=factories.NOW)
    assert "torch does not import" in client.get(reverse("worker", args=[worker.pk])).text


def test_an_invitation_shows_its_secret_once_in_the_command_to_type(client: Client) -> None:
    client.force_login(factories.user(is_staff=True))
    response = client.post(reverse("worker-invite"))
    found = re.search(
        r"xeenet-worker --server http://testserver --enrol (xe_[\w-]+)", response.text
    )
    assert found
    assert EnrolmentToken.objects.get().token_hash == hash_token(found[1])
    assert "no-store" in response["Cache-Control"]


def test_no_page_shows_a_token_hash(client: Client) -> None:
    worker = factories.worker()
    client.force_login(factories.user(is_staff=True, is_superuser=True))
    for path in (reverse("workers"), reverse("worker", args=[worker.pk])):
        assert worker.token_hash not in client.get(path).text


def test_the_queries_of_the_fleet_do_not_grow(client: Client, django_assert_num_queries) -> None:
    for _ in range(6):
        factories.leased_task()
    with django_assert_num_queries(5):
        client.get(reverse("workers"))


def test_the_queries_of_a_worker_do_not_grow(client: Client, django_assert_num_queries) -> None:
    worker = factories.worker()
    for _ in range(6):
        factories.completed_task(by=worker)
    with django_assert_num_queries(6):
        client.get(reverse("worker", args=[worker.pk]))
