"""``manage.py serve``: its checks before the start, and the environment of its processes.

tests/faults/test_end_to_end.py tests the running server.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from django.apps import apps
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db.migrations.executor import MigrationExecutor

from tests.processes import ROOT, product_environment
from xeenet_site.running import serving


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_port_in_use_is_refused_with_a_free_one_to_take(taken_port: int) -> None:
    with pytest.raises(CommandError, match=rf"Port {taken_port} .* in use .* --port (\d+)") as info:
        call_command("serve", port=taken_port)
    proposed = int(str(info.value).partition("--port ")[2].split(",")[0])
    serving.check_port("127.0.0.1", proposed)


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(CommandError, match=r"Cannot listen on 192\.0\.2\.1"):
        serving.check_port("192.0.2.1", 8000)


@pytest.mark.parametrize("port", [0, 65536])
def test_a_port_that_does_not_exist_is_refused(port: int) -> None:
    with pytest.raises(CommandError, match=f"Port {port} does not exist"):
        serving.check_port("127.0.0.1", port)


def test_a_home_that_cannot_be_written_is_refused(settings: Any, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("not a folder")
    settings.XEENET_HOME = file / "home"
    with pytest.raises(CommandError, match=r"Cannot write to .*XEENET_HOME"):
        serving.check_home_writable()


def test_a_home_that_cannot_hold_the_secret_key_is_one_line_and_no_traceback(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("not a folder")
    environment = product_environment(tmp_path / "file" / "home")
    environment.pop("SECRET_KEY", None)
    answer = subprocess.run(
        [sys.executable, "manage.py", "serve"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 1
    assert answer.stderr.startswith("Configuration: Cannot write ")
    assert len(answer.stderr.splitlines()) == 1


def test_less_than_one_web_worker_is_refused() -> None:
    with pytest.raises(CommandError, match="--workers must be at least 1"):
        call_command("serve", workers=0)


def test_static_files_are_collected_once_and_again_after_a_change(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "one.css").write_text("body {}")
    settings.STATIC_ROOT = tmp_path / "collected"
    settings.STATICFILES_DIRS = [source]
    settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
    settings.STORAGES = settings.STORAGES | {
        "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"}
    }
    assert serving.collect_static_files()
    assert not serving.collect_static_files()
    (source / "two.css").write_text("p {}")
    assert serving.collect_static_files()
    assert list((tmp_path / "collected").glob("two.*.css"))


def test_files_that_no_page_uses_are_not_collected() -> None:
    ignored = apps.get_app_config("staticfiles").ignore_patterns
    collected = {path for finder in get_finders() for path, _ in finder.list(ignored)}
    assert "widgetbundle.js" not in collected
    assert not any("redoc" in path for path in collected)
    assert {"plotly.min.js", "xeenet/base.css"} <= collected
    fonts = {path for path in collected if "Plex" in path}
    assert fonts == {"IBMPlexMono-Regular.ttf"}


@pytest.mark.django_db
def test_serve_says_what_takes_long_and_nothing_when_there_is_nothing_to_do(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "one.css").write_text("body {}")
    settings.STATIC_ROOT = tmp_path / "collected"
    settings.STATICFILES_DIRS = [tmp_path / "source"]
    settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
    settings.STORAGES = settings.STORAGES | {
        "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"}
    }
    said: list[str] = []
    serving.collect_static_files(said.append)
    assert len(said) == 1
    assert "Collecting and compressing" in said[0]
    serving.collect_static_files(said.append)
    serving.migrate(said.append)
    assert len(said) == 1
    monkeypatch.setattr(MigrationExecutor, "migration_plan", lambda *_: [("one", False)])
    monkeypatch.setattr(serving, "call_command", lambda *_, **__: None)
    serving.migrate(said.append)
    assert said[1:] == ["Bringing the database up to date (1 migration)…"]


def test_a_server_is_said_to_answer_when_it_does(taken_port: int) -> None:
    free = serving.url_of("127.0.0.1", taken_port)
    assert free.endswith(str(taken_port))
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            assert serving.answers("0.0.0.0", server.server_port)
        finally:
            server.shutdown()
            thread.join()
    assert not serving.answers("127.0.0.1", server.server_port)


class Answers(BaseHTTPRequestHandler):
    """Answers every GET like the server's own probe."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 500)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Keep the test's output free of request lines."""


def test_the_addresses_that_mean_everywhere_are_reached_locally() -> None:
    assert serving.url_of("0.0.0.0", 8000) == "http://127.0.0.1:8000"
    assert serving.url_of("::", 8000) == "http://[::1]:8000"
    assert serving.url_of("xeenet.example.org", 80) == "http://xeenet.example.org:80"


def test_several_processes_add_their_counts_up_in_a_private_folder_that_goes_with_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    with serving.metrics_environment(1) as alone:
        assert alone == {}
    with serving.metrics_environment(2) as several:
        folder = Path(several["PROMETHEUS_MULTIPROC_DIR"])
        assert list(folder.iterdir()) == []
        if os.name == "posix":
            assert folder.stat().st_mode & 0o077 == 0
    assert not folder.exists()
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "/run/xeenet-web")
    with serving.metrics_environment(2) as chosen:
        assert chosen == {}


def test_the_web_server_is_granian_with_the_wsgi_application() -> None:
    command = serving.web_command("127.0.0.1", 8000, workers=3)
    assert command[1:3] == ["-m", "granian"]
    assert command[-1] == "xeenet_site.wsgi:application"
    assert command[command.index("--workers") + 1] == "3"
    assert serving.server_environment()["PATH"] == os.environ["PATH"]
