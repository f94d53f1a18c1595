"""Who may do what: every kind of caller requests every route, compared with the stored table.

A new route without a row fails. Make its row with ``python -m tests.authorisation --write`` and
read the diff: it shows what the change opens.
"""

from __future__ import annotations

from typing import Any, Final

import pytest
from django.conf import settings as django_settings
from rest_framework.permissions import AllowAny

from tests.authorisation import table
from tests.authorisation.routes import API, AREAS, routes
from tests.authorisation.table import CLOSED, IN, LOGIN, ask
from tests.authorisation.world import FLEET, PEOPLE, WORKERS, World, make_world
from tests.clients import researcher_client

# Permissions do not depend on the database.
pytestmark = pytest.mark.once
TABLE: Final = table.read()
ROWS: Final = [(*key, row) for area in AREAS for key, row in TABLE[area].items()]
# Routes that a stranger may use even where reading needs an account.
OPEN_TO_ALL: Final = {
    "GET healthz",
    "GET readyz",
    "GET metrics",  # on a development server, from its own machine
    "GET login/",
    "POST login/",
    "POST logout/",
    "GET workers/join/",  # who has an invitation has no account
    "GET api/schema/",
    "GET api/docs/",
    f"POST {API}/workers/enrol",
}
# Takes a body and stores nothing, so whoever may read may send it.
READING_BY_POST: Final = {f"POST {API}/campaigns/<int:pk>/plan"}
# Redirects a caller who is not signed in to the admin's first page, which redirects to the login.
SIGNING_OUT: Final = {"GET admin/logout/", "POST admin/logout/"}
# Needs a session: a token made with a stolen token would outlive its revocation.
MAKING_TOKENS: Final = f"POST {API}/account/tokens"
# Routes that a worker's token opens and a stranger may not use.
OPEN_TO_WORKERS: Final = {
    f"GET {API}/workers/me",
    f"POST {API}/workers/me/token",
    f"POST {API}/workers/me/calibration",
    f"POST {API}/workers/me/leave",
    f"POST {API}/leases/claim",
    f"POST {API}/heartbeat",
    f"PUT {API}/leases/<uuid:lease_id>/result",
    f"POST {API}/leases/<uuid:lease_id>/release",
    f"POST {API}/leases/results",
    f"GET {API}/packages/<sha256:sha256>",
    f"GET {API}/datasets/<sha256:sha256>",
}


@pytest.fixture
def world(db: None, settings: Any, tmp_path: Any) -> World:
    settings.MEDIA_ROOT = tmp_path
    settings.XEENET = settings.XEENET | {"ANONYMOUS_READ": True}
    return make_world()


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("area", AREAS)
def test_who_gets_in_is_what_the_table_says(area: str, world: World) -> None:
    differences = table.differences(TABLE[area], table.measure(area, world))

    assert not differences, "\n".join(differences)


def test_a_stranger_gets_in_only_where_everybody_must() -> None:
    strangers = {f"{method} {path}" for method, path, row in ROWS if row[CLOSED] == IN}

    assert strangers == OPEN_TO_ALL | SIGNING_OUT


def test_where_strangers_may_read_they_change_nothing() -> None:
    for method, path, row in ROWS:
        if path.startswith(f"{API}/") and method != "GET" and row["nobody"] == IN:
            assert f"{method} {path}" in OPEN_TO_ALL | READING_BY_POST


def test_a_worker_gets_in_only_where_agents_work_and_a_disabled_one_nowhere() -> None:
    for method, path, row in ROWS:
        for role in WORKERS:
            if row[role] == IN and row["nobody"] != IN:
                assert f"{method} {path}" in OPEN_TO_WORKERS
                assert role != "disabled worker"


def test_a_fleet_token_tells_the_demand_and_opens_nothing_else() -> None:
    opened = {
        f"{method} {path}" for method, path, row in ROWS if row[FLEET] == IN and row["nobody"] != IN
    }

    assert opened == {f"GET {API}/fleet/demand"}


def test_each_role_may_what_the_one_before_it_may() -> None:
    """Except for one's own tokens, which nobody else may see, and for signing out."""
    for method, path, row in ROWS:
        if "account/tokens/<int:pk>" in path or f"{method} {path}" in SIGNING_OUT:
            continue
        for lower, higher in (
            (CLOSED, "nobody"),
            ("nobody", "viewer"),
            ("viewer", "researcher"),
            ("researcher", "owner"),
            ("researcher", "operator"),
            ("owner", "operator"),
            ("operator", "staff"),
            ("staff", "superuser"),
        ):
            assert row[lower] != IN or row[higher] == IN, f"{method} {path}: {lower}, not {higher}"


def test_nobody_without_staff_rights_gets_into_the_admin() -> None:
    for method, path, row in ROWS:
        if path.startswith("admin/") and f"{method} {path}" not in SIGNING_OUT:
            answers = {row[role] for role in ("nobody", "viewer", "owner", "operator", *WORKERS)}
            assert IN not in answers, f"{method} {path}"


def test_a_signed_in_browser_may_over_the_api_what_its_persons_token_may(world: World) -> None:
    """Except for making tokens, which a browser may and a token may not."""
    for (method, path), row in TABLE["api"].items():
        for role in PEOPLE:
            answer = ask(world.in_the_browser[role], method, path, world)
            expected = IN if f"{method} {path}" == MAKING_TOKENS else row[role]
            assert answer == expected, f"{method} {path} as {role}"


def test_a_personal_token_opens_no_page(world: World) -> None:
    client = world.over_the_api["superuser"]
    for area in ("pages", "admin"):
        for (method, path), row in TABLE[area].items():
            if method == "GET" and row["nobody"] == LOGIN:
                assert ask(client, method, path, world) == LOGIN, path


def test_a_method_without_a_row_is_not_allowed_to_anybody(world: World) -> None:
    for path in {route.path for route in routes("api")}:
        for method in ("get", "post", "put", "patch", "delete", "options"):
            if (method.upper(), path) in TABLE["api"]:
                continue
            for role in ("nobody", "superuser", "worker"):
                answer = getattr(world.over_the_api[role], method)(world.address(path))
                assert answer.status_code in {401, 403, 405}, f"{method} {path} as {role}"
                assert answer.json()["message"]


def test_a_view_of_the_api_is_closed_unless_it_says_otherwise() -> None:
    default = django_settings.REST_FRAMEWORK["DEFAULT_PERMISSION_CLASSES"]
    assert default == ["rest_framework.permissions.IsAuthenticated"]

    for route in routes("api"):
        view = route.view.view_class
        declaring = [base for base in view.__mro__ if "permission_classes" in vars(base)]
        # A class of XeeNet must set it; classes of REST framework carry only the default.
        assert not declaring[0].__module__.startswith("rest_framework"), route.path
        assert view.permission_classes, route.path
        if AllowAny in view.permission_classes:
            assert route.path == f"{API}/workers/enrol"


def test_a_person_who_may_no_longer_sign_in_is_shut_out_with_the_token(db: None) -> None:
    client, user = researcher_client()
    user.is_active = False
    user.save()

    assert client.get("/api/v1/campaigns").status_code == 401


def test_a_revoked_token_is_shut_out_on_the_next_request(db: None) -> None:
    client, user = researcher_client()
    token = user.personal_tokens.get()
    assert client.get("/api/v1/account").status_code == 200

    client.delete(f"/api/v1/account/tokens/{token.pk}")

    assert client.get("/api/v1/account").status_code == 401
