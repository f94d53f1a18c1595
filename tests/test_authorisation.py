"""Every route of the API by every kind of caller: the table says who gets in.

A new route without a row fails. Where a caller gets in, the answer may still be a refusal of the
body (400); what counts is that it is not 401, 403 or 404.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import pytest
from django.db import transaction
from django.urls import URLPattern
from django.utils import timezone
from rest_framework.test import APIClient
from rest_framework.views import APIView

from campaigns.api import urls as api_urls
from campaigns.models import Attempt, Campaign, PersonalToken, Webhook
from tests import factories
from tests.api import agent_client, researcher_client
from workers import lifecycle as worker_lifecycle
from workers.protocol import API_PREFIX

pytestmark = pytest.mark.django_db


@dataclass
class World:
    """A campaign of one owner, with a task that one worker holds; and everybody who may call.

    Beside it what else can be named: a webhook and a token of the owner, an invitation.
    """

    campaign: Campaign
    attempt: Attempt
    callers: dict[str, APIClient]
    # By the first word of a path: what its number names. Else it is the campaign.
    numbers: dict[str, int]


ROLES: Final = (
    "nobody",
    "worker",
    "foreign worker",
    "disabled worker",
    "owner",
    "researcher",
    "staff",
)


@pytest.fixture
def world() -> World:
    owner_client, owner = researcher_client()
    worker_client, worker = agent_client()
    disabled_client, disabled = agent_client()
    worker_lifecycle.disable(disabled)
    attempt = factories.leased_task(worker, now=timezone.now(), owner=owner)
    callers = {
        "nobody": APIClient(),
        "worker": worker_client,
        "foreign worker": agent_client()[0],
        "disabled worker": disabled_client,
        "owner": owner_client,
        "researcher": researcher_client()[0],
        "staff": researcher_client(factories.user(is_staff=True))[0],
    }
    webhook = Webhook.objects.create(owner=owner, url="https://8.8.8.8/", events=["new_best"])
    delivery = webhook.deliveries.create(event="new_best", event_key="once", payload={})
    invitation, _ = worker_lifecycle.invite(now=timezone.now())
    numbers = {
        "tasks": attempt.task_id,
        "workers": worker.pk,
        "webhooks": webhook.pk,
        "deliveries": delivery.pk,
        "account": PersonalToken.objects.create(user=owner, name="another").pk,
        "invitations": invitation.pk,
        "other campaign": factories.campaign().pk,
    }
    return World(attempt.task.campaign, attempt, callers, numbers)


IN: Final = "in"
# One answer per role, in the order of ROLES.
EVERYBODY: Final = (IN, IN, IN, IN, IN, IN, IN)
WORKERS: Final = (401, IN, IN, 403, 401, 401, 401)
HOLDER: Final = (401, IN, 404, 403, 404, 404, 404)
KNOWN: Final = (401, IN, IN, 403, IN, IN, IN)
READERS: Final = (IN, 401, 401, 401, IN, IN, IN)
SIGNED_IN: Final = (401, 401, 401, 401, IN, IN, IN)
# Files that tasks name: people, and the workers that hold such a task.
NEEDED: Final = (401, IN, 409, 403, IN, IN, IN)
OWNERS: Final = (401, 401, 401, 401, IN, 403, IN)
OPERATORS: Final = (401, 401, 401, 401, 403, 403, IN)
# Others' webhooks and tokens are not told from those that do not exist.
OWNERS_ALONE: Final = (401, 401, 401, 401, IN, 404, 404)
OWNERS_AND_OPERATORS: Final = (401, 401, 401, 401, IN, 404, IN)

TABLE: Final[dict[tuple[str, str], tuple[int | str, ...]]] = {
    ("POST", "workers/enrol"): EVERYBODY,
    ("GET", "workers/me"): WORKERS,
    ("POST", "workers/me/token"): WORKERS,
    ("POST", "leases/claim"): WORKERS,
    ("POST", "heartbeat"): KNOWN,
    ("PUT", "leases/<uuid:lease_id>/result"): HOLDER,
    ("POST", "leases/<uuid:lease_id>/release"): HOLDER,
    ("GET", "packages/<sha256:sha256>"): NEEDED,
    ("GET", "datasets/<sha256:sha256>"): NEEDED,
    ("GET", "scripts"): READERS,
    ("POST", "scripts"): SIGNED_IN,
    ("GET", "scripts/<sha256:sha256>"): READERS,
    ("POST", "scripts/<sha256:sha256>/approve"): OPERATORS,
    ("POST", "scripts/<sha256:sha256>/withdraw"): OPERATORS,
    ("GET", "overview"): READERS,
    ("GET", "catalog"): READERS,
    ("POST", "search-spaces/read"): SIGNED_IN,
    ("POST", "campaigns/preview"): SIGNED_IN,
    ("GET", "campaigns"): READERS,
    ("POST", "campaigns"): SIGNED_IN,
    ("GET", "campaigns/<int:pk>"): READERS,
    ("POST", "campaigns/<int:pk>/launch"): OWNERS,
    ("POST", "campaigns/<int:pk>/pause"): OWNERS,
    ("POST", "campaigns/<int:pk>/resume"): OWNERS,
    ("POST", "campaigns/<int:pk>/cancel"): OWNERS,
    ("POST", "campaigns/<int:pk>/add-tasks"): OWNERS,
    ("POST", "campaigns/<int:pk>/raise-attempts"): OWNERS,
    ("POST", "campaigns/<int:pk>/ask"): OWNERS,
    ("POST", "campaigns/<int:pk>/clone"): SIGNED_IN,
    ("GET", "campaigns/<int:pk>/workers"): READERS,
    ("GET", "campaigns/<int:pk>/log"): READERS,
    ("GET", "campaigns/<int:pk>/tasks"): READERS,
    ("POST", "campaigns/<int:pk>/tasks"): OWNERS,
    ("GET", "campaigns/<int:pk>/attempts"): READERS,
    ("GET", "campaigns/<int:pk>/journal"): READERS,
    ("GET", "tasks/<int:pk>/journal"): READERS,
    ("GET", "campaigns/<int:pk>/results"): READERS,
    ("GET", "campaigns/<int:pk>/results.csv"): READERS,
    ("GET", "campaigns/<int:pk>/results.jsonl"): READERS,
    ("GET", "campaigns/<int:pk>/leaderboard"): READERS,
    ("GET", "campaigns/<int:pk>/importance"): READERS,
    ("GET", "campaigns/<int:pk>/analysis"): READERS,
    ("GET", "campaigns/<int:pk>/analysis/<panel_key:key>"): READERS,
    ("GET", "compare"): READERS,
    ("GET", "tasks/<int:pk>"): READERS,
    ("POST", "tasks/<int:pk>/retry"): OWNERS,
    ("POST", "tasks/<int:pk>/cancel"): OWNERS,
    ("POST", "tasks/<int:pk>/run-again"): OWNERS,
    ("GET", "tasks/<int:pk>/progress"): READERS,
    ("GET", "tasks/<int:pk>/bundle.zip"): SIGNED_IN,
    ("GET", "invitations"): OPERATORS,
    ("POST", "invitations"): OPERATORS,
    ("DELETE", "invitations/<int:pk>"): OPERATORS,
    ("GET", "workers"): READERS,
    ("GET", "workers/<int:pk>"): READERS,
    ("GET", "workers/<int:pk>/attempts"): READERS,
    ("POST", "workers/<int:pk>/token"): OPERATORS,
    ("POST", "workers/<int:pk>/drain"): OPERATORS,
    ("POST", "workers/<int:pk>/resume"): OPERATORS,
    ("POST", "workers/<int:pk>/disable"): OPERATORS,
    ("GET", "webhooks"): SIGNED_IN,
    ("POST", "webhooks"): SIGNED_IN,
    ("GET", "webhooks/<int:pk>"): OWNERS_AND_OPERATORS,
    ("PATCH", "webhooks/<int:pk>"): OWNERS_AND_OPERATORS,
    ("DELETE", "webhooks/<int:pk>"): OWNERS_AND_OPERATORS,
    ("POST", "webhooks/<int:pk>/enable"): OWNERS_AND_OPERATORS,
    ("POST", "webhooks/<int:pk>/disable"): OWNERS_AND_OPERATORS,
    ("POST", "webhooks/<int:pk>/test"): OWNERS_AND_OPERATORS,
    ("GET", "webhooks/<int:pk>/deliveries"): OWNERS_AND_OPERATORS,
    ("POST", "deliveries/<int:pk>/again"): OWNERS_AND_OPERATORS,
    ("GET", "account"): SIGNED_IN,
    ("GET", "account/tokens"): SIGNED_IN,
    ("POST", "account/tokens"): SIGNED_IN,
    ("DELETE", "account/tokens/<int:pk>"): OWNERS_ALONE,
    ("GET", "audit"): OPERATORS,
}


def routes() -> set[tuple[str, str]]:
    """(method, path) of every operation, from the URL table itself."""
    found = set()
    for route in api_urls.urlpatterns:
        assert isinstance(route, URLPattern)
        view: type[APIView] = route.callback.view_class  # type: ignore[attr-defined]
        methods = [m for m in ("get", "post", "put", "patch", "delete") if hasattr(view, m)]
        found.update((method.upper(), str(route.pattern)) for method in methods)
    return found


def test_the_table_has_every_route_and_no_other() -> None:
    assert set(TABLE) == routes()


def address(path: str, world: World) -> str:
    sha256 = world.campaign.dataset_id if "datasets" in path else world.campaign.package_id
    pk = world.numbers.get(path.split("/", maxsplit=1)[0], world.campaign.pk)
    filled = path.replace("<uuid:lease_id>", str(world.attempt.lease_id))
    filled = filled.replace("<sha256:sha256>", sha256).replace("<int:pk>", str(pk))
    filled = filled.replace("<panel_key:key>", "failures")
    if path == "compare":
        filled += f"?campaigns={world.campaign.pk},{world.numbers['other campaign']}"
    return API_PREFIX + filled


def body(path: str, world: World) -> dict[str, Any]:
    """A body that reaches the look-up behind it where that decides; an empty one elsewhere."""
    if path.endswith("/tasks"):
        return {"params": world.attempt.task.params}
    if path.endswith("add-tasks"):
        return {"count": 1}
    return dict(factories.completed(world.attempt.task)) if path.endswith("result") else {}


@pytest.mark.parametrize(("method", "path"), TABLE, ids=[" ".join(one) for one in TABLE])
def test_who_gets_in_is_what_the_table_says(
    method: str, path: str, world: World, tmp_path: Any, settings: Any
) -> None:
    settings.MEDIA_ROOT = tmp_path
    if path.startswith("datasets"):
        store_its_bytes(world.campaign)
    answers: dict[str, int | str] = {}
    for role in ROLES:
        send: Callable[..., Any] = getattr(world.callers[role], method.lower())
        given = body(path, world) if method != "GET" else None
        with transaction.atomic():
            answer = send(address(path, world), given)
            if answer.streaming:
                list(answer.streaming_content)  # read to its end, the file is closed
            # What one role changes or deletes is there for the next.
            transaction.set_rollback(True)
        status = answer.status_code
        # A worker that holds no task is told so by 409; a POST gets it for the state it met.
        refusals = {401, 403, 404, 409} if method == "GET" else {401, 403, 404}
        answers[role] = status if status in refusals else IN

    assert answers == dict(zip(ROLES, TABLE[method, path], strict=True))


def test_a_method_without_a_row_is_not_allowed_to_anybody(world: World) -> None:
    for path in {path for _, path in TABLE}:
        for method in ("get", "post", "put", "patch", "delete", "options"):
            if (method.upper(), path) in TABLE:
                continue
            for role, client in world.callers.items():
                answer = getattr(client, method)(address(path, world))
                assert answer.status_code in {401, 403, 405}, f"{method} {path} as {role}"
                if role in {"staff", "worker"}:
                    assert answer.json()["message"]


def test_where_strangers_may_not_read_every_read_needs_a_person(
    world: World, settings: Any
) -> None:
    settings.XEENET = settings.XEENET | {"ANONYMOUS_READ": False}

    for (method, path), row in TABLE.items():
        if row is READERS:
            assert world.callers["nobody"].get(address(path, world)).status_code == 401, path
            assert world.callers["researcher"].get(address(path, world)).status_code == 200, path
        assert method == "GET" or row is not READERS


def test_a_person_who_may_no_longer_sign_in_is_shut_out_with_the_token(world: World) -> None:
    client, user = researcher_client()
    user.is_active = False
    user.save()

    assert client.get("/api/v1/campaigns").status_code == 401


def store_its_bytes(campaign: Campaign) -> None:
    """Give the campaign's data set a file; which bytes are in it matters to no permission."""
    from django.core.files.base import ContentFile

    campaign.dataset.file.save("data.txt", ContentFile(b"to be"))
