"""Every act of a person leaves exactly one audit entry, in all verbs of all steering modules."""

from __future__ import annotations

import ast
import inspect
import os
import uuid
from collections.abc import Callable
from types import ModuleType
from typing import Any
from unittest import mock

import pytest
from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied
from django.test import Client
from django.urls import reverse
from django_q.models import Schedule

from campaigns import lifecycle, steering
from campaigns.lifecycle import CampaignSpec
from campaigns.models import Campaign, PersonalToken, Webhook, WebhookDelivery, WebhookEvent
from campaigns.notifications import hooks
from campaigns.scripts import steering as script_steering
from campaigns.tokens import personal_tokens
from tests.factories import (
    NOW,
    VARIATION,
    active_campaign,
    calibrate,
    campaign,
    completed_task,
    failed_task,
    pending_task,
    uploaded,
    user,
    worker,
)
from tests.fleets import fleet_token
from tests.processes import ROOT
from workers import lifecycle as worker_lifecycle
from workers import steering as worker_steering
from workers.joining import here
from workers.models import AuditEntry, EnrolmentToken, Worker

pytestmark = pytest.mark.django_db

# The modules through which people act. Their functions with a parameter `now` change something.
STEERING_MODULES: tuple[ModuleType, ...] = (
    steering,
    worker_steering,
    hooks,
    personal_tokens,
    script_steering,
)
Act = Callable[[User], Any]
SPEC = CampaignSpec("asked", "train_char_lm", task_count=1, time_budget_seconds=5)


def verbs_of(module: ModuleType) -> set[str]:
    """Name the public functions of a steering module that change something."""
    return {
        f"{module.__name__}.{name}"
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__
        and not name.startswith("_")
        and "now" in inspect.signature(function).parameters
    }


def draft() -> Campaign:
    return campaign(owner=user())


def running() -> Campaign:
    return active_campaign(owner=user())


def paused() -> Campaign:
    paused_campaign = running()
    lifecycle.pause(paused_campaign, now=NOW)
    return paused_campaign


def webhook(**fields: Any) -> Webhook:
    url = "https://8.8.8.8/hook"
    return Webhook.objects.create(owner=user(), url=url, events=["new_best"], **fields)


def delivery() -> WebhookDelivery:
    return webhook().deliveries.create(event="new_best", event_key="one", payload={})


def flagged() -> Worker:
    measured = worker()
    calibrate(measured)
    measured.calibrations.update(flagged=True)
    return measured


def run_here(person: User, *, is_wanted: bool) -> None:
    order = worker_steering.run_here if is_wanted else worker_steering.stop_here
    with (
        mock.patch.dict(os.environ, {here.SUPERVISOR_VARIABLE: here.SERVE}),
        # No file of this checkout's own server.
        mock.patch.multiple(here, order=mock.DEFAULT, forget_credentials=mock.DEFAULT),
    ):
        order(person, now=NOW)


def invitation() -> EnrolmentToken:
    return worker_lifecycle.invite(now=NOW)[0]


def draining() -> Worker:
    draining_worker = worker()
    worker_lifecycle.drain(draining_worker)
    return draining_worker


def token() -> PersonalToken:
    return personal_tokens.create(user(), "laptop", now=NOW, actor=None)[0]


def edit(person: User) -> None:
    hook = webhook()
    hooks.edit(
        person, hook, url=hook.url, events=[WebhookEvent.SILENT_FLEET], campaign=None, now=NOW
    )


def ask(person: User) -> None:
    asked_campaign = running()
    # A person's first ask also registers their worker, which leaves an entry of its own.
    worker_lifecycle.identity_of(person, now=NOW)
    enqueued = lifecycle.enqueue(asked_campaign, _params(asked_campaign), now=NOW)
    steering.ask(person, asked_campaign, claim_id=uuid.uuid4(), params=enqueued.params, now=NOW)


def finish(person: User) -> None:
    campaign_to_finish = running()
    Campaign.objects.filter(pk=campaign_to_finish.pk).update(asked_at=NOW)
    steering.finish(person, campaign_to_finish, now=NOW)


def _params(of: Campaign) -> dict[str, Any]:
    task = of.tasks.first()
    assert task is not None
    return dict(task.params)


def raise_attempts(person: User) -> None:
    tries = {"max_failed_attempts": 5, "max_lost_attempts": 9}
    steering.raise_attempts(person, running(), **tries, now=NOW)


def enqueue(person: User) -> None:
    campaign_to_grow = running()
    steering.enqueue(person, campaign_to_grow, _params(campaign_to_grow), now=NOW)


def run_again(person: User) -> None:
    steering.run_again(person, running().arms.get(number=0), 2, now=NOW)


def write_note(person: User) -> None:
    steering.write_note(person, running().arms.get(number=0), "seen", now=NOW)


ACTS: dict[str, Act] = {
    "campaigns.steering.create_campaign": lambda person: steering.create_campaign(
        person, SPEC, now=NOW
    ),
    "campaigns.steering.launch": lambda person: steering.launch(person, draft(), now=NOW),
    "campaigns.steering.pause": lambda person: steering.pause(person, running(), now=NOW),
    "campaigns.steering.resume": lambda person: steering.resume(person, paused(), now=NOW),
    "campaigns.steering.cancel": lambda person: steering.cancel(person, running(), now=NOW),
    "campaigns.steering.add_tasks": lambda person: steering.add_tasks(
        person, running(), 2, now=NOW
    ),
    "campaigns.steering.start_race": lambda person: steering.start_race(
        person, running(), [0, 1], now=NOW
    ),
    "campaigns.steering.set_race_options": lambda person: steering.set_race_options(
        person, running(), races_automatically=True, now=NOW
    ),
    "campaigns.steering.finish": finish,
    "campaigns.steering.set_share": lambda person: steering.set_share(
        person, running(), {"place": 2}, now=NOW
    ),
    "campaigns.steering.set_place": lambda person: steering.set_place(
        person, running(), 2, now=NOW
    ),
    "campaigns.steering.set_weight": lambda person: steering.set_weight(
        person, running(), 2.0, now=NOW
    ),
    "campaigns.steering.raise_attempts": raise_attempts,
    "campaigns.steering.enqueue": enqueue,
    "campaigns.steering.run_again": run_again,
    "campaigns.steering.write_note": write_note,
    "campaigns.steering.ask": ask,
    "campaigns.steering.retry_task": lambda person: steering.retry_task(
        person, failed_task(), now=NOW
    ),
    "campaigns.steering.cancel_task": lambda person: steering.cancel_task(
        person, pending_task(), now=NOW
    ),
    "campaigns.steering.admit": lambda person: steering.admit(
        person, completed_task(1e-4), now=NOW
    ),
    "workers.steering.run_here": lambda person: run_here(person, is_wanted=True),
    "workers.steering.stop_here": lambda person: run_here(person, is_wanted=False),
    "workers.steering.invite": lambda person: worker_steering.invite(person, now=NOW),
    "workers.steering.withdraw": lambda person: worker_steering.withdraw(
        person, invitation(), now=NOW
    ),
    "workers.steering.create_fleet": lambda person: worker_steering.create_fleet(
        person, label="cluster", name_prefix="lab", max_live=3, now=NOW
    ),
    "workers.steering.revoke_fleet": lambda person: worker_steering.revoke_fleet(
        person, fleet_token()[0], now=NOW
    ),
    "workers.steering.register": lambda person: worker_steering.register(person, "lab-9", now=NOW),
    "workers.steering.drain": lambda person: worker_steering.drain(person, worker(), now=NOW),
    "workers.steering.resume": lambda person: worker_steering.resume(person, draining(), now=NOW),
    "workers.steering.disable": lambda person: worker_steering.disable(person, worker(), now=NOW),
    "workers.steering.admit_calibration": lambda person: worker_steering.admit_calibration(
        person, flagged(), now=NOW
    ),
    "workers.steering.rotate_token": lambda person: worker_steering.rotate_token(
        person, worker(), now=NOW
    ),
    "campaigns.notifications.hooks.create": lambda person: hooks.create(
        person, "https://8.8.8.8/", [WebhookEvent.NEW_BEST], campaign=None, now=NOW
    ),
    "campaigns.notifications.hooks.edit": edit,
    "campaigns.notifications.hooks.enable": lambda person: hooks.enable(
        person, webhook(is_active=False), now=NOW
    ),
    "campaigns.notifications.hooks.disable": lambda person: hooks.disable(
        person, webhook(), now=NOW
    ),
    "campaigns.notifications.hooks.delete": lambda person: hooks.delete(person, webhook(), now=NOW),
    "campaigns.notifications.hooks.send_test": lambda person: hooks.send_test(
        person, webhook(), now=NOW
    ),
    "campaigns.notifications.hooks.send_again": lambda person: hooks.send_again(
        person, delivery(), now=NOW
    ),
    "campaigns.tokens.personal_tokens.create": lambda person: personal_tokens.create(
        person, "laptop", now=NOW, actor=person
    ),
    "campaigns.tokens.personal_tokens.revoke": lambda person: personal_tokens.revoke(
        token(), actor=person, now=NOW
    ),
    "campaigns.scripts.steering.upload": lambda person: script_steering.upload(
        person, name="mine", experiment="train_char_lm", source=VARIATION, now=NOW
    ),
    "campaigns.scripts.steering.approve": lambda person: script_steering.approve(
        person, uploaded(), now=NOW
    ),
    "campaigns.scripts.steering.decline": lambda person: script_steering.decline(
        person, uploaded(), reason="no", now=NOW
    ),
    "campaigns.scripts.steering.note_warm_check": lambda person: script_steering.note_warm_check(
        person, uploaded(), passed=True, now=NOW
    ),
    "campaigns.scripts.steering.delete": lambda person: script_steering.delete(
        person, uploaded(), now=NOW
    ),
    "campaigns.scripts.steering.withdraw": lambda person: script_steering.withdraw(
        person, uploaded(approved=True), now=NOW
    ),
}
# Everybody may have tokens; page and API check that a token belongs to the person.
OPEN_TO_VIEWERS = {
    "campaigns.tokens.personal_tokens.create",
    "campaigns.tokens.personal_tokens.revoke",
}


def test_every_verb_of_every_door_is_tried_here() -> None:
    assert set(ACTS) == set().union(*map(verbs_of, STEERING_MODULES))


@pytest.mark.parametrize("verb", sorted(ACTS))
def test_an_act_leaves_one_entry_with_who_did_it_and_when(verb: str) -> None:
    boss = user("boss", role="operator")
    ACTS[verb](boss)
    entry = AuditEntry.objects.get(actor=boss)
    assert (entry.actor_name, entry.at) == ("boss", NOW)
    assert entry.verb
    assert entry.target_kind
    assert entry.target_name


@pytest.mark.parametrize("verb", sorted(set(ACTS) - OPEN_TO_VIEWERS))
def test_a_viewer_is_refused_every_act_and_leaves_no_entry(verb: str) -> None:
    viewer = user("vera", role="viewer")
    with pytest.raises(PermissionDenied):
        ACTS[verb](viewer)
    assert not AuditEntry.objects.filter(actor=viewer).exists()


def test_pages_api_admin_and_commands_change_states_through_the_doors_alone() -> None:
    changing = {name.rpartition(".")[2] for name in verbs_of(steering) | verbs_of(worker_steering)}
    surfaces = [
        *ROOT.glob("campaigns/views/*.py"),
        *ROOT.glob("campaigns/api/**/*.py"),
        *ROOT.glob("campaigns/answers/*.py"),
        *ROOT.glob("campaigns/admin/*.py"),
        *ROOT.glob("workers/admin*.py"),
        *ROOT.glob("campaigns/management/commands/*.py"),
        *ROOT.glob("workers/management/commands/*.py"),
        *ROOT.glob("xeenet_site/management/commands/*.py"),
        ROOT / "workers/views.py",
        ROOT / "xeenet_site/admin.py",
    ]
    assert len(surfaces) > 80
    # Agents act for workers, not for people: their changes are in the journal.
    for name in ("agents", "leases", "results_of_agents"):
        surfaces.remove(ROOT / f"campaigns/api/views/{name}.py")
    direct_calls = [
        f"{path.relative_to(ROOT)}:{call.lineno}"
        for path in surfaces
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id in {"lifecycle", "worker_lifecycle", "campaign_lifecycle"}
        and call.func.attr in changing
    ]
    assert direct_calls == []


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(user("root", is_staff=True, is_superuser=True))
    return client


def entries() -> list[tuple[str, str, str, str]]:
    rows = AuditEntry.objects.order_by("id")
    return list(rows.values_list("actor_name", "verb", "target_kind", "detail"))


def test_a_role_given_in_the_admin_stands_in_the_log(staff: Client) -> None:
    ada = user("ada", role="viewer")
    fields = {
        "username": "ada",
        "is_active": "on",
        "groups": [Group.objects.get(name="operator").pk],
        "date_joined_0": "2026-01-05",
        "date_joined_1": "12:00:00",
    }
    path = reverse("admin:auth_user_change", args=[ada.pk])
    assert staff.post(path, fields).status_code == 302
    (entry,) = entries()
    assert entry[:3] == ("root", "change", "user")
    assert "role: operator" in entry[3]


def test_what_the_admins_forms_save_stands_in_the_log_once(staff: Client) -> None:
    edited, owner = draft(), user()
    path = reverse("admin:campaigns_campaign_change", args=[edited.pk])
    staff.post(path, {"name": "clearer", "description": "", "owner": owner.pk})
    staff.post(reverse("admin:campaigns_campaign_delete", args=[edited.pk]), {"post": "yes"})
    staff.post(reverse("admin:campaigns_personaltoken_add"), {"user": owner.pk, "name": "lab"})
    personal_token = PersonalToken.objects.get()
    staff.post(
        reverse("admin:campaigns_personaltoken_delete", args=[personal_token.pk]), {"post": "yes"}
    )
    staff.post(reverse("admin:workers_enrolmenttoken_add"), {"label": "attic"})
    invited = EnrolmentToken.objects.get()
    staff.post(reverse("admin:workers_enrolmenttoken_delete", args=[invited.pk]), {"post": "yes"})
    logged = entries()
    assert [(verb, kind) for _, verb, kind, _ in logged] == [
        ("change", "campaign"),
        ("delete", "campaign"),
        ("create_token", "personaltoken"),
        ("revoke_token", "personaltoken"),
        ("invite", "enrolmenttoken"),
        ("withdraw", "enrolmenttoken"),
    ]
    assert logged[0][3] == "Name, Owner"


def test_asking_for_a_job_now_stands_in_the_log(staff: Client) -> None:
    job = Schedule.objects.earliest("pk")
    data = {"action": "run_now", "_selected_action": [job.pk]}
    staff.post(reverse("admin:django_q_schedule_changelist"), data)
    assert entries() == [("root", "run_now", "schedule", "")]


def test_the_log_itself_cannot_be_changed_or_deleted(staff: Client) -> None:
    steering.pause(None, running(), now=NOW)
    entry = AuditEntry.objects.get()
    for page in ("change", "delete"):
        path = reverse(f"admin:workers_auditentry_{page}", args=[entry.pk])
        assert staff.post(path, {"post": "yes", "actor_name": "nobody"}).status_code == 403
    assert AuditEntry.objects.get().actor_name == "command line"
