"""`manage.py serve` while its processes are killed one by one: the service comes back each time."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import psutil
import pytest

from tests.processes import ROOT, free_port, processes_mentioning, wait_until

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.long,
    pytest.mark.skipif(sys.platform != "linux", reason="signals and process trees of Linux"),
]
BACK_SECONDS = 90.0


class Served:
    """One running `serve` with two web workers."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process = process
        self.url = f"http://127.0.0.1:{port}/healthz"
        self.log = log

    def answers(self) -> bool:
        try:
            return httpx2.get(self.url, timeout=5.0).status_code == 200
        except httpx2.HTTPError:
            return False

    def child(self, word: str) -> psutil.Process | None:
        for process in psutil.Process(self.process.pid).children():
            with contextlib.suppress(psutil.Error):
                if word in " ".join(process.cmdline()):
                    return process
        return None

    def below(self, word: str) -> set[int]:
        """The pids of the living processes that this child has started."""
        parent = self.child(word)
        with contextlib.suppress(psutil.Error):
            children = parent.children(recursive=True) if parent else []
            return {child.pid for child in children if is_alive(child)}
        return set()


@pytest.fixture
def served(
    process_environment: dict[str, str], static_root: Path, tmp_path: Path
) -> Iterator[Served]:
    port, log = free_port(), tmp_path / "serve.log"
    command = [sys.executable, "manage.py", "serve", "--no-migrate", "--workers", "2"]
    environment = process_environment | {"XEENET_STATIC_ROOT": str(static_root)}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--port", str(port)],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    served = Served(process, port, log)
    try:
        wait_until(
            lambda: "XeeNet serves" in log.read_text() or process.poll() is not None, "a page", 180
        )
        yield served
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, log.read_text()
        assert processes_mentioning(Path(process_environment["XEENET_HOME"])) == []


@pytest.mark.timeout(500)
def test_whatever_process_of_serve_is_killed_the_service_comes_back_and_the_rest_lives_on(
    served: Served,
) -> None:
    assert served.process.poll() is None, served.log.read_text()
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
    assert not inner & {process.pid for process in psutil.process_iter() if is_alive(process)}

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


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
