"""`manage.py serve` while its processes are killed one by one: the service comes back each time."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from campaigns.models import Result
from tests.chaos.stack import claim, result_of
from tests.factories import active_campaign, worker_with_token
from tests.faults.served import Served, running_serve
from tests.processes import is_alive, wait_until
from workers.agent.connection.client import Client
from xeenet_site.running.processes import STOP_PATIENCE_SECONDS
from xeenet_site.running.serving import STOP_SECONDS

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.long,
    pytest.mark.skipif(sys.platform != "linux", reason="signals and process trees of Linux"),
]
BACK_SECONDS = 90.0


@pytest.fixture
def served(
    process_environment: dict[str, str], static_root: Path, tmp_path: Path
) -> Iterator[Served]:
    environment = process_environment | {"XEENET_STATIC_ROOT": str(static_root)}
    with running_serve(environment, tmp_path / "serve.log", "--workers", "2") as served:
        yield served


@pytest.mark.timeout(500)
def test_whatever_process_of_serve_is_killed_the_service_comes_back_and_the_rest_lives_on(
    served: Served,
) -> None:
    web, cluster = served.child("granian"), served.child("qcluster")
    assert web is not None
    assert cluster is not None
    wait_until(
        lambda: len(served.below("qcluster")) >= 3, "the q-cluster's processes", BACK_SECONDS
    )

    workers = served.below("granian")
    psutil.Process(min(workers)).kill()
    wait_until(
        lambda: len(served.below("granian") - workers) == 1 and served.answers(),
        "another web worker",
        BACK_SECONDS,
    )
    assert web.is_running()
    assert cluster.is_running()

    web.kill()
    wait_until(
        lambda: served.child("granian") not in {None, web} and served.answers(),
        "another web server",
        BACK_SECONDS,
    )
    assert cluster.is_running()

    web = served.child("granian")
    inner = served.below("qcluster")
    cluster.kill()
    wait_until(
        lambda: (
            served.child("qcluster") not in {None, cluster} and len(served.below("qcluster")) >= 3
        ),
        "another q-cluster",
        BACK_SECONDS,
    )
    assert not inner & {process.pid for process in psutil.process_iter() if is_alive(process.pid)}

    cluster = served.child("qcluster")
    assert cluster is not None
    sentinel = cluster.children()[0]
    sentinel.kill()
    wait_until(
        lambda: (
            served.child("qcluster") not in {None, cluster} and len(served.below("qcluster")) >= 3
        ),
        "a q-cluster after its sentinel",
        BACK_SECONDS,
    )
    assert served.child("granian") == web
    assert served.answers()
    text = served.log.read_text()
    assert "The web server ended by itself (killed by signal 9); it starts again in" in text
    assert "The q-cluster ended by itself (killed by signal 9); it starts again in" in text
    assert "Traceback" not in text


@pytest.mark.timeout(300)
def test_the_web_server_stops_while_clients_send_half_of_a_request(served: Served) -> None:
    web = served.child("granian")
    assert web is not None
    with contextlib.ExitStack() as open_connections:
        for _ in range(20):
            client = socket.create_connection(("127.0.0.1", served.port))
            open_connections.enter_context(client)
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        web.terminate()
        # Without its own limit the server would wait for the rest of a head for half a minute.
        web.wait(2.5 * STOP_SECONDS)


@pytest.mark.timeout(300)
def test_a_web_server_that_stops_has_noted_the_results_that_it_stored_last(
    process_environment: dict[str, str], static_root: Path, tmp_path: Path
) -> None:
    environment = process_environment | {"XEENET_STATIC_ROOT": str(static_root)}
    _, token = worker_with_token()
    # Another task stays open, so that nothing is noted within the requests.
    campaign = active_campaign(4, allow_simulated=True)
    # One process, which knows the class of the results after the first.
    with running_serve(environment, tmp_path / "serve.log", "--workers", "1") as served:
        client = Client(served.url, token)
        first, *last = claim(client, 3)
        client.submit(first["lease_id"], result_of(first))
        for lease in last:
            client.submit(lease["lease_id"], result_of(lease))
        web = served.child("granian")
        assert web is not None
        web.terminate()
        web.wait(2.5 * STOP_SECONDS)
        client.close()
    campaign.refresh_from_db()
    stored = Result.objects.latest("created_at").created_at
    assert Result.objects.count() == 3
    assert campaign.ends_noted_at is not None
    assert campaign.ends_noted_at > stored


def test_the_web_server_gives_up_on_clients_before_serve_gives_up_on_it() -> None:
    assert STOP_SECONDS < STOP_PATIENCE_SECONDS
