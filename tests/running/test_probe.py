"""The health check of the server's image, against a real server and against none."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core.management import call_command

from tests.processes import free_port
from xeenet_site.running import probe


@pytest.mark.parametrize(
    ("allowed", "host"),
    [
        ("lab.example.org,other", "lab.example.org"),
        (" .example.org", "example.org"),
        ("*", "localhost"),
        ("*, lab", "lab"),
        ("", "localhost"),
    ],
)
def test_it_calls_the_server_by_a_name_that_it_accepts(allowed: str, host: str) -> None:
    assert probe.known_host({"ALLOWED_HOSTS": allowed}) == host


@pytest.mark.django_db(transaction=True)
@pytest.mark.once
def test_it_is_content_with_a_server_that_answers_and_tells_why_one_is_not_ready(
    live_server: Any,
) -> None:
    port = urlsplit(live_server.url).port
    assert port is not None
    assert [probe.look(path, "localhost", port) for path in probe.PATHS] == ["", ""]
    assert probe.look("/healthz", "stranger.example", port).startswith("/healthz: 400")
    call_command("migrate", "xeenet_site", "zero", verbosity=0)
    try:
        problem = probe.look("/readyz", "localhost", port)
    finally:
        call_command("migrate", "xeenet_site", verbosity=0)
    assert problem.startswith("/readyz: 503")
    assert "1 missing: run manage.py migrate" in problem


def test_a_server_that_does_not_answer_is_a_failure_with_a_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    assert f"port {port} does not answer" in probe.look("/healthz", "localhost", port)
    monkeypatch.setattr(probe, "look", lambda path, host: f"{path} of {host} fails")
    monkeypatch.setenv("ALLOWED_HOSTS", "lab")
    assert probe.main(["/readyz"]) == 1
    assert capsys.readouterr().err == "/readyz of lab fails\n"


def test_it_knows_two_paths_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert probe.main(["/metrics"]) == 2
    assert "/healthz | /readyz" in capsys.readouterr().err
