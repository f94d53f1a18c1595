"""Security headers of every answer, and Django's deployment checks with production settings."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from devtools.cli import PRODUCTION
from tests import factories
from tests.processes import ROOT
from xeenet_site.security import FILES_POLICY, PAGES_POLICY


def policy_of(answer: Any) -> dict[str, list[str]]:
    parts = (part.split() for part in answer["Content-Security-Policy"].split("; "))
    return {name: sources for name, *sources in parts}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 200),
        ("/login/", 200),
        ("/admin/", 302),
        ("/nothing/", 404),
        ("/api/v1/campaigns", 200),
        ("/api/v1/nothing", 404),
        ("/api/schema/", 200),
        ("/api/docs/", 200),
        ("/static/xeenet/app.js", 200),
        ("/healthz", 200),
    ],
)
def test_every_answer_carries_the_headers_pages_static_files_and_errors_alike(
    path: str, status: int, settings: Any
) -> None:
    # collectstatic runs at deployment only; make WhiteNoise serve the files from their sources.
    settings.WHITENOISE_USE_FINDERS = settings.WHITENOISE_AUTOREFRESH = True
    answer = Client().get(path)
    answer.close()
    assert answer.status_code == status
    assert policy_of(answer)["default-src"] == ["'none'"]
    assert policy_of(answer)["frame-ancestors"] == ["'none'"]
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Referrer-Policy"] == "same-origin"
    assert answer["Cross-Origin-Opener-Policy"] == "same-origin"
    assert answer["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "camera=()" in answer["Permissions-Policy"]
    assert answer["X-Request-ID"]


@pytest.mark.django_db
def test_a_static_file_may_do_nothing_and_the_page_for_a_missing_one_is_a_page(
    settings: Any,
) -> None:
    settings.WHITENOISE_USE_FINDERS = settings.WHITENOISE_AUTOREFRESH = True
    answer = Client().get("/static/xeenet/app.js")
    answer.close()
    assert policy_of(answer) == FILES_POLICY
    # Otherwise it would have no styles.
    assert policy_of(Client().get("/static/xeenet/nothing.js")) == PAGES_POLICY


@pytest.mark.django_db
def test_an_error_page_carries_them_too() -> None:
    client = Client(raise_request_exception=False)

    def broken(*_: Any) -> Any:
        raise KeyError("x")

    with connection.execute_wrapper(broken):
        answer = client.get("/")
    assert answer.status_code == 500
    assert policy_of(answer) == PAGES_POLICY
    assert answer["X-Content-Type-Options"] == "nosniff"


@pytest.mark.django_db
def test_no_policy_lets_inline_scripts_or_other_hosts_in() -> None:
    for path in ("/", "/admin/x/", "/api/docs/", "/campaigns/7/analysis/parallel/"):
        for sources in policy_of(Client().get(path)).values():
            assert set(sources) <= {
                *("'self'", "'none'", "data:", "'unsafe-eval'", "'unsafe-hashes'"),
                *PAGES_POLICY["style-src-elem"],
                *PAGES_POLICY["style-src-attr"],
                "'unsafe-inline'",
            }
        assert "'unsafe-inline'" not in policy_of(Client().get(path))["script-src"]


@pytest.mark.parametrize(
    ("path", "may_compile"),
    [
        ("/campaigns/7/", False),
        ("/campaigns/7/analysis/", True),
        ("/x/campaigns/7/analysis/", False),
        ("/admin/", True),
        ("/adminx/", False),
        ("/api/docs/", False),
    ],
)
@pytest.mark.django_db
def test_only_admin_and_analysis_may_compile_scripts(path: str, may_compile: bool) -> None:
    assert ("'unsafe-eval'" in policy_of(Client().get(path))["script-src"]) is may_compile


@pytest.mark.django_db
def test_the_documents_of_the_api_bring_their_script_in_a_file_of_its_own() -> None:
    client = Client()
    client.force_login(factories.user())
    page = client.get(reverse("api-docs")).text
    assert "<script>" not in page
    script = client.get(reverse("api-docs"), {"script": ""})
    assert script["Content-Type"].startswith("application/javascript")


def production(code: str, **variables: str) -> Any:
    """Run `code` with production settings and return the JSON that it prints."""
    run = subprocess.run(
        [sys.executable, "-c", f"import django; django.setup()\n{code}"],
        cwd=ROOT,
        env={
            **os.environ,
            **PRODUCTION,
            "DJANGO_SETTINGS_MODULE": "xeenet_site.settings",
            "SECRET_KEY": secrets.token_urlsafe(64),
            **variables,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_production_passes_every_check_with_none_silenced_and_answers_by_https_only() -> None:
    observed = production(
        """
import json
from django.conf import settings
from django.core.checks import run_checks
from django.test import Client

plain = Client().get("/login/", headers={"host": "xeenet.example.org"})
probe = Client().get("/healthz", headers={"host": "xeenet.example.org"})
stranger = Client().get("/healthz", headers={"host": "elsewhere.example.org"})
print(json.dumps({
    "messages": [str(message) for message in run_checks(include_deployment_checks=True)],
    "silenced": settings.SILENCED_SYSTEM_CHECKS,
    "plain": [plain.status_code, plain["Location"]],
    "probe": probe.status_code,
    "stranger": stranger.status_code,
    "cookies": [settings.SESSION_COOKIE_SECURE, settings.CSRF_COOKIE_SECURE,
                settings.SESSION_COOKIE_HTTPONLY, settings.SESSION_COOKIE_SAMESITE],
    "hsts": settings.SECURE_HSTS_SECONDS,
    "anonymous": settings.XEENET["ANONYMOUS_READ"],
    "proxies": settings.XEENET["TRUSTED_PROXIES"],
    "debug": settings.DEBUG,
}))
"""
    )
    assert observed == {
        "messages": [],
        "silenced": [],
        "plain": [301, "https://xeenet.example.org/login/"],
        "probe": 200,
        "stranger": 400,
        "cookies": [True, True, True, "Lax"],
        "hsts": 31_536_000,
        "anonymous": False,
        "proxies": 1,
        "debug": False,
    }


@pytest.mark.django_db
def test_pages_are_compressed_and_answers_to_programs_are_not() -> None:
    client = Client(headers={"Accept-Encoding": "gzip"})
    page = client.get("/")
    assert page["Content-Encoding"] == "gzip"
    assert len(page.content) < len(Client().get("/").content) / 2
    for path in ("/api/v1/campaigns", "/api/schema/", "/readyz"):
        assert "Content-Encoding" not in client.get(path), path
