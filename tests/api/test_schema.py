"""The OpenAPI document is complete and without warnings; its page needs no other host."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import pytest
from django.core.management import call_command, get_commands
from django.urls import URLPattern, get_resolver
from rest_framework.test import APIClient
from yaml import safe_load

from campaigns import urls as pages
from campaigns.api import urls as api_urls
from campaigns.panels import PANELS
from tests.processes import ROOT
from workers import urls as worker_pages
from workers.protocol import API_PREFIX


@pytest.fixture
def document() -> dict[str, Any]:
    answer = APIClient().get("/api/schema/")
    assert answer.status_code == 200
    parsed: dict[str, Any] = safe_load(answer.content)
    return parsed


def test_the_document_is_valid_and_made_without_a_warning(
    capsys: pytest.CaptureFixture[str],
) -> None:
    call_command("spectacular", validate=True, fail_on_warn=True)

    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.startswith("openapi: 3")


def routes_with_names(patterns: Iterable[Any]) -> list[URLPattern]:
    """Return the routes that have a name: addresses that newer ones replaced have none."""
    return [route for route in patterns if isinstance(route, URLPattern) and route.name]


def test_every_path_of_the_api_is_in_the_document(document: dict[str, Any]) -> None:
    routes = routes_with_names(api_urls.urlpatterns)

    documented = {
        operation["operationId"]
        for path in document["paths"].values()
        for operation in path.values()
    }

    assert len(document["paths"]) == len(routes)
    assert all(path.startswith(API_PREFIX) for path in document["paths"])
    assert {"claim_leases", "submit_result", "create_campaign"} <= documented


def test_agents_and_people_are_shown_their_own_way_to_authenticate(
    document: dict[str, Any],
) -> None:
    schemes = document["components"]["securitySchemes"]
    assert schemes["workerToken"]["scheme"] == schemes["personalToken"]["scheme"] == "bearer"

    def security(path: str, method: str) -> list[dict[str, Any]]:
        schemes: list[dict[str, Any]] = document["paths"][API_PREFIX + path][method]["security"]
        return schemes

    assert security("leases/claim", "post") == [{"workerToken": []}]
    assert security("campaigns", "post") == [{"personalToken": []}, {"cookieAuth": []}]
    assert {"workerToken": []} in security("packages/{sha256}", "get")
    enrol = document["paths"][API_PREFIX + "workers/enrol"]["post"]
    assert "security" not in enrol or enrol["security"] == [{}]


def test_each_operation_tells_its_errors(document: dict[str, Any]) -> None:
    for path in document["paths"].values():
        for operation in path.values():
            errors = [
                answer["content"]["application/json"]["schema"]
                for status, answer in operation["responses"].items()
                if status.startswith(("4", "5"))
            ]
            assert errors
            assert all(schema == {"$ref": "#/components/schemas/Error"} for schema in errors)


def test_the_page_needs_no_other_host() -> None:
    answer = APIClient().get("/api/docs/")

    assert answer.status_code == 200
    page = answer.content.decode()
    assert "/static/drf_spectacular_sidecar/swagger-ui-dist/" in page
    assert "https://" not in page


def test_the_names_of_the_routes_begin_with_api() -> None:
    names = [
        str(name)
        for name in get_resolver("campaigns.api.urls").reverse_dict
        if isinstance(name, str)
    ]

    assert len(names) == len(routes_with_names(api_urls.urlpatterns))
    assert all(name.startswith("api-") for name in names)


def _as_documented(route: object) -> str:
    """A route as docs/api.md writes it: campaigns/N/analysis/PANEL."""
    path = re.sub(r"<int:\w+>", "N", str(route))
    path = re.sub(r"<\w+_verb:verb>", "VERB", path)
    path = re.sub(r"<(analysis_panel|panel_key):key>", "PANEL", path)
    return re.sub(r"<\w+:\w+>", "ID", path)


def test_the_guide_names_every_page_and_every_path_of_the_api() -> None:
    guide = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    named = set(re.findall(r"[\w/.-]+", guide))
    # "`POST tasks/N/retry`, `cancel`" documents tasks/N/retry and tasks/N/cancel.
    starts = {path.rpartition("/")[0] for path in named}

    for route in routes_with_names([*pages.urlpatterns, *worker_pages.urlpatterns]):
        page = f"/{_as_documented(route.pattern)}"
        assert f"`{page}`" in guide, page
    for route in routes_with_names(api_urls.urlpatterns):
        path = _as_documented(route.pattern)
        before, _, last = path.rpartition("/")
        assert path in named or (before in starts and f"`{last}`" in guide), path


def test_the_guide_names_every_panel_in_the_order_of_the_page() -> None:
    guide = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    start = "| `/campaigns/N/analysis/PANEL/`"
    (row,) = [line for line in guide.splitlines() if line.startswith(start)]

    assert re.findall(r"`(\w+)`", row.split("|")[2]) == list(PANELS)


def test_every_command_that_the_guide_names_exists() -> None:
    guide = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    rows = [line for line in guide.splitlines() if line.startswith("|")][2:]
    cells = [re.findall(r"`(\w+)([ \w-]*)", row.split("|")[-2]) for row in rows]

    existing = get_commands()
    named = {commands[0][0] for commands in cells if commands}

    assert len(named) > 10
    assert named <= set(existing)
