"""What each role may do, and that people's acts are logged."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser, Group
from django.core.exceptions import PermissionDenied

from campaigns import steering
from campaigns.lifecycle import CampaignSpec, WrongState
from campaigns.models import CampaignState
from tests.factories import NOW, active_campaign, failed_task, user, worker
from workers import steering as worker_steering
from workers.models import AuditEntry, WorkerState
from xeenet_site.web import roles

pytestmark = pytest.mark.django_db

SPEC = CampaignSpec("asked", "train_char_lm", task_count=1, time_budget_seconds=5)


def test_the_groups_exist_after_a_migration() -> None:
    assert set(Group.objects.values_list("name", flat=True)) >= set(roles.ROLES)


@pytest.mark.parametrize(
    ("role", "creates", "operates"),
    [(roles.VIEWER, False, False), (roles.RESEARCHER, True, False), (roles.OPERATOR, True, True)],
)
def test_a_role_opens_what_the_table_says(role: str, creates: bool, operates: bool) -> None:
    person = user(role=role)
    assert (roles.may_create(person), roles.may_operate(person)) == (creates, operates)


def test_staff_are_operators_and_an_account_without_a_group_is_a_viewer() -> None:
    person = user()
    person.groups.clear()
    assert roles.role_of(type(person).objects.get(pk=person.pk)) == roles.VIEWER
    assert roles.role_of(user(is_staff=True)) == roles.OPERATOR
    assert roles.role_of(AnonymousUser()) == ""
    assert roles.role_of(user(is_active=False)) == ""


def test_anonymous_reading_is_a_setting(settings) -> None:
    settings.XEENET = settings.XEENET | {"ANONYMOUS_READ": False}
    assert not roles.may_read(AnonymousUser())
    assert roles.may_read(user(role=roles.VIEWER))


def test_a_viewer_creates_nothing_and_leaves_no_entry() -> None:
    with pytest.raises(PermissionDenied, match="Only researchers and operators"):
        steering.create_campaign(user(role=roles.VIEWER), SPEC, now=NOW)
    assert not AuditEntry.objects.exists()


def test_a_researcher_changes_only_campaigns_of_their_own() -> None:
    owner, other_person = user(), user()
    campaign = active_campaign(owner=owner)
    with pytest.raises(PermissionDenied, match="owner and operators"):
        steering.pause(other_person, campaign, now=NOW)
    steering.pause(owner, campaign, now=NOW, reason="lunch")
    campaign.refresh_from_db()
    assert campaign.state == CampaignState.PAUSED
    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.verb, entry.target_id) == (owner, "pause", campaign.pk)
    assert (entry.target_kind, entry.detail) == ("campaign", "lunch")


def test_a_refused_act_is_not_written_down() -> None:
    owner = user()
    campaign = active_campaign(owner=owner)
    with pytest.raises(WrongState):
        steering.resume(owner, campaign, now=NOW)
    assert not AuditEntry.objects.exists()


def test_the_entry_stays_readable_without_the_account() -> None:
    boss = user("boss", role=roles.OPERATOR)
    task = failed_task()
    steering.retry_task(boss, task, now=NOW)
    boss.delete()
    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.actor_name, entry.verb) == (None, "boss", "retry_task")


def test_only_operators_steer_workers() -> None:
    machine, boss = worker(), user(role=roles.OPERATOR)
    with pytest.raises(PermissionDenied, match="Only operators"):
        worker_steering.disable(user(), machine, now=NOW)
    worker_steering.disable(boss, machine, now=NOW)
    machine.refresh_from_db()
    assert machine.state == WorkerState.DISABLED
    _, secret = worker_steering.invite(boss, now=NOW, label="attic")
    assert secret not in str(list(AuditEntry.objects.values()))
    assert set(AuditEntry.objects.values_list("verb", flat=True)) == {"disable", "invite"}
