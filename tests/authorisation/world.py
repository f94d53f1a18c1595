"""A row of every kind that a URL can name, and a client for every kind of caller.

Rows with an owner belong to ``owner``, and ``worker`` holds the task. So ``researcher`` and ``other
worker`` request what belongs to somebody else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from django.contrib.admin import site
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.core.files.base import ContentFile
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from campaigns import lifecycle
from campaigns.models import Attempt, Campaign, Package, PersonalToken, Webhook
from tests import factories
from tests.clients import agent_client, bearer, researcher_client
from tests.fleets import fleet_token
from workers import lifecycle as worker_lifecycle
from xeenet_site.web import roles

PEOPLE: Final = ("viewer", "researcher", "owner", "operator", "staff", "superuser")
WORKERS: Final = ("worker", "other worker", "disabled worker")
FLEET: Final = "fleet"
ROLES: Final = ("nobody", *PEOPLE, *WORKERS, FLEET)

# Request bodies by the end of the path.
_BODIES: Final[dict[str, dict[str, Any]]] = {
    "/add-tasks": {"count": 1},
    "/race": {"arms": [0, 1]},
    "/race-options": {"min_effect": 0.1},
    "/race-options/": {"min_effect": 0.1},
    "/share": {"place": 1},
    "/share/": {"place": 1},
    "/plan": {"delta": 0.1},
    "/add-tasks/": {"count": 1},
    "arms/<int:number>/again/": {"times": 1},
    "/note/": {"text": "seen"},
    "/note": {"text": "seen"},
    "/more-tries/": {"max_failed_attempts": 9, "max_lost_attempts": 9},
    "webhooks": {"url": "https://8.8.8.8/", "events": ["new_best"]},
    "webhooks/": {"url": "https://8.8.8.8/", "events": ["new_best"]},
    "workers/me/calibration": dict(factories.calibration_report()),
    "v1/fleets": {"label": "n", "name_prefix": "n", "max_live": 1},
    "/decline": {"reason": "no"},
    "/decline/": {"reason": "no"},
    "v1/scripts": {"name": "n", "experiment": "train_char_lm", "source": "import json\n"},
    "v1/campaigns": {
        "name": "n",
        "experiment": "train_char_lm",
        "task_count": 1,
        "time_budget_seconds": 10,
        "search_space": factories.SMALL_SPACE,
    },
}


@dataclass
class World:
    """The rows, and two clients per role: one with a token for the API, one signed in on pages."""

    attempt: Attempt
    over_the_api: dict[str, Any]
    in_the_browser: dict[str, Any]
    # Beginning of a path -> the primary key that stands for `<int:pk>` in it.
    numbers: dict[str, int]
    other_campaign: Campaign

    @property
    def campaign(self) -> Campaign:
        """The owner's campaign."""
        return self.attempt.task.campaign

    def address(self, path: str) -> str:
        """Return a URL that matches the route with this path."""
        if path.startswith("admin/"):
            return "/" + _admin_address(path, self.campaign)
        sha256 = self.campaign.dataset_id if "datasets" in path else self.campaign.package_id
        filled = path.replace("<uuid:lease_id>", str(self.attempt.lease_id))
        filled = filled.replace("<sha256:sha256>", sha256)
        filled = re.sub(r"<\w+:key>", "failures", filled)
        if "<int:campaign>" in filled:
            filled = filled.replace("<int:campaign>", str(self.campaign.pk))
            filled = filled.replace("<int:number>", str(self.attempt.task.number))
        filled = filled.replace("<int:number>", "0")
        filled = filled.replace("<int:race>", "1")
        filled = filled.replace("<int:pk>", str(self.number(path))).replace("^api/", "api/nothing")
        if path.endswith("/side/"):
            filled += "?open=arm-0"
        if "compare" in path:
            filled += f"?campaigns={self.campaign.pk},{self.other_campaign.pk}"
        return "/" + filled

    def body(self, path: str) -> dict[str, Any]:
        """Return a valid body if the route reads it before it checks permissions, else {}."""
        if path.endswith("/result"):
            return dict(factories.completed(self.attempt.task))
        if path.endswith("api/v1/campaigns/<int:pk>/tasks"):
            return {"params": self.attempt.task.params}
        return next((body for end, body in _BODIES.items() if path.endswith(end)), {})

    def number(self, path: str) -> int:
        """Return the primary key to use in a path, by its longest known beginning."""
        inside = path.removeprefix("api/v1/")
        known = [start for start in self.numbers if inside.startswith(start)]
        return self.numbers[max(known, key=len)] if known else 1


def make_world() -> World:
    """Create the rows and the clients. Data files are written to ``settings.MEDIA_ROOT``."""
    people = _people()
    over_the_api: dict[str, Any] = {"nobody": APIClient()}
    in_the_browser: dict[str, Any] = {"nobody": Client()}
    for role, person in people.items():
        over_the_api[role], _ = researcher_client(person)
        in_the_browser[role] = Client()
        in_the_browser[role].force_login(person)
    workers = {}
    for role in WORKERS:
        over_the_api[role], workers[role] = agent_client(role)
        # Agents have no session: let them send their token to the pages.
        in_the_browser[role] = over_the_api[role]
    worker_lifecycle.disable(workers["disabled worker"])
    fleet, secret = fleet_token(now=timezone.now())
    over_the_api[FLEET] = in_the_browser[FLEET] = bearer(secret)

    owner, now = people["owner"], timezone.now()
    race = factories.decided_race(now=now, owner=owner)
    lifecycle.enqueue(race.campaign, {"lr": 0.001, "d_model": 64}, now=now)
    factories.calibrate(workers["worker"], now=now)
    attempt = factories.claim_one(workers["worker"], now=now)
    attempt.worker.calibrations.update(flagged=True)
    # No permission depends on the content of the file.
    attempt.task.campaign.dataset.file.save("data.txt", ContentFile(b"to be"))
    # The person who uploaded a script may delete it.
    Package.objects.filter(pk=attempt.task.campaign.package_id).update(uploaded_by=owner)
    webhook = Webhook.objects.create(owner=owner, url="https://8.8.8.8/", events=["new_best"])
    delivery = webhook.deliveries.create(event="new_best", event_key="once", payload={})
    invitation, _ = worker_lifecycle.invite(now=now)
    numbers = {
        "campaigns": attempt.task.campaign_id,
        "tasks": attempt.task_id,
        "workers": attempt.worker_id,
        "workers/invitations": invitation.pk,
        "invitations": invitation.pk,
        "fleets": fleet.pk,
        "workers/fleets": fleet.pk,
        "webhooks": webhook.pk,
        "webhooks/deliveries": delivery.pk,
        "deliveries": delivery.pk,
        "races": race.pk,
        "classes": race.campaign.results.values_list("result_class", flat=True)[0],
        "decisions": race.decisions.get().pk,
        "account": PersonalToken.objects.create(user=owner, name="another").pk,
    }
    return World(attempt, over_the_api, in_the_browser, numbers, factories.campaign())


def _people() -> dict[str, User]:
    return {
        "viewer": factories.user("viewer", role=roles.VIEWER),
        "researcher": factories.user("researcher"),
        "owner": factories.user("owner"),
        "operator": factories.user("operator", role=roles.OPERATOR),
        # May open the admin, but has no permission on any model.
        "staff": factories.user("staff", role=roles.VIEWER, is_staff=True),
        "superuser": factories.user(
            "superuser", role=roles.VIEWER, is_staff=True, is_superuser=True
        ),
    }


def _admin_address(path: str, campaign: Campaign) -> str:
    """Return the URL of a row of the path's model; use the key 1 if the model has no row."""
    kind = ContentType.objects.get_for_model(Campaign)
    path = path.replace("<int:content_type_id>", str(kind.pk))
    path = path.replace("^(?P<app_label>workers|campaigns|auth|django_q)/$", "campaigns/")
    path = path.replace("(?P<url>.*)$", "nothing/")
    named = {f"admin/{m._meta.app_label}/{m._meta.model_name}/": m for m in site._registry}
    model = next((m for start, m in named.items() if path.startswith(start)), Campaign)
    row = model._default_manager.order_by("pk").first() if model is not Campaign else campaign
    key = str(row.pk) if row is not None else "1"
    for part in ("<path:object_id>", "<str:object_id>", "<id>"):
        path = path.replace(part, key)
    return path
