"""The admin: every model has a page, history is read-only, and actions call the verbs."""

import re
from typing import Any

import pytest
import time_machine
from django.apps import apps
from django.contrib import admin
from django.contrib.messages import get_messages
from django.db import connection, models
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from campaigns import lifecycle
from campaigns.admin.campaigns import CampaignAdmin
from campaigns.models import Dataset, Package, PersonalToken, ProgressPoint, Result, Webhook
from campaigns.standings import noise
from tests import factories
from tests.fleets import fleet_token
from workers import audit
from workers.fleet_token import FleetToken
from workers.models import EnrolmentToken
from workers.tokens import hash_token

pytestmark = pytest.mark.django_db

MODELS = [m for m in admin.site._registry if m._meta.app_label in {"campaigns", "workers"}]


def path_to(model: type[models.Model], page: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def act(client: Client, action: str, *rows: models.Model) -> str:
    """Run an action on the rows in their list; return the page with its messages."""
    data = {"action": action, "_selected_action": [row.pk for row in rows]}
    return client.post(path_to(type(rows[0]), "changelist"), data, follow=True).text


def populate() -> None:
    """Put rows into every table of campaigns and workers."""
    worker = factories.worker()
    task = factories.completed_task(by=worker, owner=factories.user())
    factories.failed_task()
    attempt = task.attempts.get()
    ProgressPoint.objects.create(attempt=attempt, seq=0, elapsed_seconds=1, step=1)
    PersonalToken.objects.create(
        user=factories.user(), name="laptop", token_hash=hash_token(worker.name)
    )
    hook = Webhook.objects.create(
        owner=factories.user(), url="https://example.org/hook", secret="whsec-visible-nowhere"
    )
    hook.deliveries.create(event="new_best", event_key=worker.name, payload={})
    task.campaign.importance_estimates.create(asked_at=factories.NOW)
    lifecycle.write_note(task, "seen", author=hook.owner, now=factories.NOW)
    audit.record(hook.owner, "create", hook, now=factories.NOW)
    race = factories.decided_race(owner=factories.user())
    assert race.decisions.count() == 1
    factories.calibrate(worker)
    fleet_token()
    noise.refresh_behind(limit=1)
    worker.sessions.create(
        boot_id=attempt.lease_id, started_at=factories.NOW, last_seen_at=factories.NOW
    )


def test_every_model_of_campaigns_and_workers_is_in_the_admin() -> None:
    for label in ("campaigns", "workers"):
        assert set(apps.get_app_config(label).get_models()) <= set(MODELS)


def test_every_list_and_row_opens_is_searched_and_shows_no_token_hash(operator: Client) -> None:
    populate()
    secrets = list(EnrolmentToken.objects.values_list("token_hash", flat=True))
    secrets += list(FleetToken.objects.values_list("token_hash", flat=True))
    secrets += list(PersonalToken.objects.values_list("token_hash", flat=True))
    secrets += list(Webhook.objects.values_list("secret", flat=True))
    for model in MODELS:
        row = model._default_manager.first()
        assert row is not None, model
        for path in (path_to(model, "changelist"), path_to(model, "change", row.pk)):
            response = operator.get(path)
            assert response.status_code == 200, path
            assert not [secret for secret in secrets if secret in response.text], path
        if admin.site.get_model_admin(model).search_fields:
            path = path_to(model, "changelist")
            assert operator.get(path, {"q": "1"}).status_code == 200, path


def test_the_queries_of_a_list_do_not_grow_with_its_rows(operator: Client) -> None:
    def queries() -> dict[str, int]:
        counts = {}
        for model in MODELS:
            with CaptureQueriesContext(connection) as captured:
                operator.get(path_to(model, "changelist"))
            counts[model.__name__] = len(captured)
        return counts

    populate()
    few = queries()
    assert max(few.values()) <= 20, few
    populate()
    more = queries()
    assert {name: count for name, count in more.items() if count > few[name]} == {}


def test_a_campaigns_state_cannot_be_written_but_its_name_can(operator: Client) -> None:
    campaign = factories.active_campaign()
    path = path_to(type(campaign), "change", campaign.pk)
    changes = {"name": "clearer", "state": "completed", "task_count": 1, "description": ""}
    assert operator.post(path, changes).status_code == 302
    campaign.refresh_from_db()
    assert (campaign.name, campaign.state, campaign.task_count) == ("clearer", "active", 3)


def test_a_tasks_row_cannot_be_written(operator: Client) -> None:
    task = factories.pending_task()
    response = operator.post(path_to(type(task), "change", task.pk), {"state": "completed"})
    assert response.status_code == 403
    task.refresh_from_db()
    assert task.state == "pending"


def test_only_a_draft_can_be_deleted(operator: Client) -> None:
    draft, launched = factories.campaign(), factories.active_campaign()
    assert (
        operator.post(path_to(type(draft), "delete", draft.pk), {"post": "yes"}).status_code == 302
    )
    assert not type(draft).objects.filter(pk=draft.pk).exists()
    assert (
        operator.post(path_to(type(draft), "delete", launched.pk), {"post": "yes"}).status_code
        == 403
    )


def test_a_draft_that_was_launched_meanwhile_is_not_deleted(
    operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft = factories.campaign()
    # The page saw a draft; it is launched before the deletion begins.
    monkeypatch.setattr(CampaignAdmin, "has_delete_permission", lambda *_: True)
    lifecycle.launch(draft, now=factories.NOW)
    answer = operator.post(path_to(type(draft), "delete", draft.pk), {"post": "yes"})
    assert answer.status_code == 403
    assert type(draft).objects.filter(pk=draft.pk).exists()


def test_implausible_results_are_admitted(operator: Client) -> None:
    result = factories.completed_task(1e-4).result
    assert "1 result(s) admitted" in act(operator, "admit", result)
    result.refresh_from_db()
    assert (result.is_ranked, result.implausible) == (True, False)


@pytest.mark.parametrize(
    ("actions", "state"),
    [
        (["launch"], "active"),
        (["launch", "pause"], "paused"),
        (["launch", "pause", "resume"], "active"),
        (["cancel"], "cancelled"),
    ],
    ids=["launch", "pause", "resume", "cancel"],
)
def test_actions_move_a_campaign(operator: Client, actions: list[str], state: str) -> None:
    campaign = factories.campaign()
    for action in actions:
        page = act(operator, action, campaign)
        assert "1 campaign(s)" in page
    campaign.refresh_from_db()
    assert campaign.state == state


def test_an_action_says_which_rows_it_refused_and_does_the_others(operator: Client) -> None:
    ready, started = factories.campaign(), factories.active_campaign(name="started before")
    page = act(operator, "launch", ready, started)
    assert "1 campaign(s) launched." in page
    assert "started before: The campaign is active" in page


def test_failed_tasks_are_retried_and_open_ones_cancelled(operator: Client) -> None:
    failed, pending = factories.failed_task(), factories.pending_task()
    act(operator, "retry", failed)
    act(operator, "cancel", pending)
    failed.refresh_from_db()
    pending.refresh_from_db()
    assert (failed.state, pending.state) == ("pending", "cancelled")


@pytest.mark.parametrize(
    ("actions", "state"),
    [(["drain"], "draining"), (["drain", "resume"], "active"), (["disable"], "disabled")],
    ids=["drain", "resume", "disable"],
)
def test_actions_move_a_worker(operator: Client, actions: list[str], state: str) -> None:
    worker = factories.worker()
    for action in actions:
        act(operator, action, worker)
    worker.refresh_from_db()
    assert worker.state == state


def test_actions_switch_a_webhook_and_send_a_delivery_again(operator: Client) -> None:
    hook = Webhook.objects.create(owner=factories.user(), url="https://example.org/")
    row = hook.deliveries.create(
        event="new_best", event_key="one", payload={}, state="failed", attempts=8
    )
    act(operator, "disable", hook)
    hook.refresh_from_db()
    assert not hook.is_active
    act(operator, "enable", hook)
    hook.refresh_from_db()
    assert hook.is_active
    assert "1 delivery(s) due now." in act(operator, "send_again", row)
    row.refresh_from_db()
    assert (row.state, row.attempts) == ("pending", 0)


def test_the_list_of_campaigns_counts_tasks_and_shows_the_best(operator: Client) -> None:
    campaign = factories.active_campaign(3, max_failed_attempts=1)
    worker = factories.worker()
    for value in (3.25, 3.125):
        factories.finish(factories.claim_one(worker), value)
    factories.fail(factories.claim_one(worker))
    (row,) = operator.get(path_to(type(campaign), "changelist")).context["cl"].result_list
    assert (row.completed_tasks, row.failed_tasks, row.best) == (2, 1, 3.125)


def test_the_page_of_a_campaign_has_its_leaderboard(operator: Client) -> None:
    race = factories.decided_race(name="<b>bold</b>")
    page = operator.get(path_to(type(race.campaign), "change", race.campaign_id)).text
    table = page[page.index('<table id="leaderboard">') :].partition("</table>")[0]
    cells = re.findall(r"<td>(.*?)</td>", table)
    assert cells[:4] == ["1", "0", "champion", "3.0000"]
    assert (float(cells[4]) > 0, cells[5]) == (True, "3")
    assert cells[6:10] == ["2", "1", "behind", "4.0000"]
    assert "Arm 0 is ahead of the arm it raced, of 2 in the campaign" in page


def test_a_new_worker_token_is_shown_once_and_stored_as_a_hash(operator: Client) -> None:
    worker = factories.worker()
    match = re.search(r"xw_[\w-]+", act(operator, "rotate_token", worker))
    assert match
    worker.refresh_from_db()
    assert worker.token_hash == hash_token(match[0])
    assert "xw_" not in operator.get(path_to(type(worker), "changelist")).text


def test_an_enrolment_token_is_shown_once_and_stored_as_a_hash(operator: Client) -> None:
    response = operator.post(path_to(EnrolmentToken, "add"), {"label": "for the lab"})
    messages = " ".join(str(message) for message in get_messages(response.wsgi_request))
    match = re.search(r"xe_[\w-]+", messages)
    assert match
    token = EnrolmentToken.objects.get()
    assert (token.label, token.token_hash) == ("for the lab", hash_token(match[0]))
    assert token.created_by is not None
    assert token.created_by.username == "operator"


def test_a_personal_token_is_shown_once_and_stored_as_a_hash(operator: Client) -> None:
    owner = factories.user("ada")
    page = operator.post(
        path_to(PersonalToken, "add"), {"user": owner.pk, "name": "laptop"}, follow=True
    ).text
    match = re.search(r"xp_[\w-]+", page)
    assert match
    token = PersonalToken.objects.get()
    assert (token.user, token.token_hash) == (owner, hash_token(match[0]))


def test_an_unused_invitation_is_withdrawn_by_deleting_it(operator: Client) -> None:
    operator.post(path_to(EnrolmentToken, "add"), {"label": "mistake"})
    token = EnrolmentToken.objects.get()
    operator.post(path_to(EnrolmentToken, "delete", token.pk), {"post": "yes"})
    assert not EnrolmentToken.objects.exists()


def test_a_used_invitation_stays(operator: Client) -> None:
    factories.worker()
    used = EnrolmentToken.objects.get()
    response = operator.post(path_to(EnrolmentToken, "delete", used.pk), {"post": "yes"})
    assert response.status_code == 403


def test_researchers_do_not_get_in(client: Client) -> None:
    client.force_login(factories.user())
    assert client.get(reverse("admin:index")).status_code == 302


@time_machine.travel(factories.at(0), tick=False)
def test_lists_write_instants_so_that_they_sort_and_values_as_the_pages_do(
    operator: Client,
) -> None:
    task = factories.completed_task(3.123456789)
    page = operator.get(path_to(Result, "changelist")).text
    assert "2026-01-05 12:00:00" in page
    assert "3.1235" in page
    assert "3.123456789" not in page
    assert "ranked" in page
    assert "2026-01-05 12:00:00" in operator.get(path_to(type(task), "changelist")).text


def test_the_newest_campaigns_tasks_come_first(operator: Client) -> None:
    old, new = (
        factories.pending_task(now=factories.at(0)),
        factories.pending_task(now=factories.at(9)),
    )
    tasks = operator.get(path_to(type(old), "changelist")).context["cl"].result_list
    assert [task.pk for task in tasks] == [new.pk, old.pk]


def test_every_list_has_search_filters_and_dates_to_go_through() -> None:
    for model in MODELS:
        model_admin = admin.site.get_model_admin(model)
        assert model_admin.search_fields, model
        assert model_admin.list_filter or model in {ProgressPoint, Package, Dataset}, model
        names = {field.name for field in model._meta.fields}
        instants = names & {"at", "created_at"}
        assert model_admin.date_hierarchy or not instants or model in {Package, Dataset}, model
