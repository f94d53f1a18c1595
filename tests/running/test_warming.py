"""xeenet_site.running.warming: a web process is warm before it takes its first request."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.processes import product_environment
from xeenet_site.running import warming

# Prints what the first request loads on top, and how it is answered.
FIRST_REQUEST = """
import io, sys
from django.template import engines
from xeenet_site.wsgi import application

def templates():
    loader = engines["django"].engine.template_loaders[0]
    return {key for key in loader.get_template_cache if isinstance(key, str)}

before = set(sys.modules) | templates()
environ = {
    "REQUEST_METHOD": "GET", "PATH_INFO": sys.argv[1], "SCRIPT_NAME": "", "QUERY_STRING": "",
    "SERVER_NAME": "localhost", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1",
    "HTTP_HOST": "localhost", "REMOTE_ADDR": "127.0.0.1", "wsgi.url_scheme": "http",
    "wsgi.input": io.BytesIO(), "wsgi.errors": sys.stderr,
}
statuses = []
response = application(environ, lambda status, headers, error=None: statuses.append(status[:3]))
list(response)
response.close()
more = (set(sys.modules) | templates()) - before
print(*statuses, *sorted(name for name in more if ".views" in name or ".html" in name))
"""


def first_request(path: str, **environment: str) -> list[str]:
    command = [sys.executable, "-c", FIRST_REQUEST, path]
    ran = subprocess.run(
        command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True
    )
    return ran.stdout.strip().splitlines()[-1].split()


def test_the_first_page_of_a_process_loads_neither_views_nor_templates(installation: Path) -> None:
    environment = product_environment(installation, XEENET_STATIC_ROOT=str(installation / "static"))
    assert first_request("/", **environment) == ["200"]


def test_a_process_starts_while_the_database_is_away(installation: Path) -> None:
    environment = product_environment(
        installation,
        XEENET_STATIC_ROOT=str(installation / "static"),
        DATABASE_URL="postgresql://nobody@127.0.0.1:1/away",
    )
    assert first_request("/readyz", **environment) == ["503"]


@pytest.mark.django_db
def test_warming_asks_the_database_nothing(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        warming.warm()


def test_a_broken_template_is_logged_and_keeps_no_process_from_starting(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path, settings: Any
) -> None:
    (tmp_path / "broken.html").write_text("{% nothing %}")
    engine = settings.TEMPLATES[0]
    settings.TEMPLATES = [engine | {"DIRS": [tmp_path]}]
    monkeypatch.setattr(warming, "PAGES", ("broken.html",))
    with caplog.at_level(logging.ERROR, logger=warming.__name__):
        warming.warm()
    assert "a template cannot be loaded" in caplog.text
