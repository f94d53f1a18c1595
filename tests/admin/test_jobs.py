"""The q-cluster in the admin: read-only, except that a schedule can be run at once."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.contrib import admin
from django.db.models import Model
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_q.models import Failure, OrmQ, Schedule, Success
from django_q.tasks import async_task
from unfold.admin import ModelAdmin

from campaigns.jobs import SCHEDULES

pytestmark = pytest.mark.django_db

MODELS: list[type[Model]] = [Schedule, Success, Failure, OrmQ]


def path_to(model: type[Model], page: str, *args: Any) -> str:
    return reverse(f"admin:django_q_{model._meta.model_name}_{page}", args=args)


def populate(first: int = 0) -> None:
    now = timezone.now()
    for number in range(first, first + 3):
        for model, succeeded in ((Success, True), (Failure, False)):
            model.objects.create(
                id=f"{number:016}{succeeded:016}",
                name=f"job {number}",
                func="campaigns.jobs.expire_leases",
                started=now - dt.timedelta(seconds=2),
                stopped=now,
                success=succeeded,
                result="<b>boom</b>",
            )
        async_task("campaigns.jobs.expire_leases")
    Schedule.objects.update(task=Success.objects.latest("stopped").id)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_list_and_row_opens_in_the_admins_look(operator: Client, model: type[Model]) -> None:
    populate()
    assert isinstance(admin.site.get_model_admin(model), ModelAdmin)
    row = model._default_manager.first()
    assert row is not None
    for path in (path_to(model, "changelist"), path_to(model, "change", row.pk)):
        response = operator.get(path)
        assert response.status_code == 200
        assert "<b>boom</b>" not in response.text


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_nothing_can_be_added_edited_or_deleted(operator: Client, model: type[Model]) -> None:
    populate()
    row = model._default_manager.first()
    assert row is not None
    assert operator.get(path_to(model, "add")).status_code == 403
    assert operator.post(path_to(model, "change", row.pk), {"func": "os.abort"}).status_code == 403
    assert operator.post(path_to(model, "delete", row.pk), {"post": "yes"}).status_code == 403


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_the_queries_of_a_list_do_not_grow(
    operator: Client, model: type[Model], django_assert_max_num_queries: Any
) -> None:
    populate()
    with django_assert_max_num_queries(12) as few:
        operator.get(path_to(model, "changelist"))
    populate(3)
    with django_assert_max_num_queries(len(few)):
        operator.get(path_to(model, "changelist"))


def test_a_schedule_shows_how_its_last_run_ended_and_runs_now_on_request(
    operator: Client,
) -> None:
    populate()
    Schedule.objects.update(next_run=timezone.now() + dt.timedelta(hours=1))
    page = operator.get(path_to(Schedule, "changelist")).text
    assert all(name in page for name in SCHEDULES)
    chosen = Schedule.objects.get(name="Expire leases")
    data = {"action": "run_now", "_selected_action": [chosen.pk]}
    assert (
        "1 schedule(s) due now."
        in operator.post(path_to(Schedule, "changelist"), data, follow=True).text
    )
    chosen.refresh_from_db()
    assert chosen.next_run is not None
    assert chosen.next_run <= timezone.now()
    assert Schedule.objects.filter(next_run__gt=timezone.now()).count() == len(SCHEDULES) - 1
