"""What the admin has of the site itself.

The background jobs in its look (schedules, what ran, what failed, what waits), and the end of a
sign-in lock among the actions on people.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, cast

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django_q.models import Failure, OrmQ, Schedule, Success, Task

from campaigns.admin.people import UserAdmin
from campaigns.clock import database_now
from workers import audit
from workers.admin_base import HistoryAdmin, apply_to_each
from xeenet_site.sign_in import end_lock

# django-q2 registered them with Django's own look, and lets people edit what the code decides.
for model in (Schedule, Success, Failure, OrmQ):
    admin.site.unregister(model)


# The lock belongs to the site, which `campaigns` does not know.
admin.site.unregister(User)


@admin.register(User)
class PersonAdmin(UserAdmin):
    """People, and a way back in for who mistyped too often."""

    actions = ("unlock_sign_in",)

    @admin.action(permissions=["change"], description="End the sign-in lock of wrong passwords")
    def unlock_sign_in(self, request: HttpRequest, people: QuerySet[User]) -> None:
        done = "may sign in again"
        apply_to_each(request, people, end_lock, done, PermissionDenied, now=database_now())


@admin.register(Schedule)
class ScheduleAdmin(HistoryAdmin):
    """What runs each minute; the code says what, a person may ask for it now."""

    list_display = ("name", "func", "minutes", "next_run", "last_ended", "last_succeeded")
    search_fields = ("name", "func")
    actions = ("run_now",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Schedule]:
        last = Task.objects.filter(id=OuterRef("task"))
        schedules: QuerySet[Schedule] = super().get_queryset(request)
        annotated: QuerySet[Schedule] = schedules.annotate(
            last_stopped=Subquery(last.values("stopped")[:1]),
            last_success=Subquery(last.values("success")[:1]),
        )
        return annotated

    @admin.display(description="last ended")
    def last_ended(self, schedule: Any) -> dt.datetime | None:
        ended: dt.datetime | None = schedule.last_stopped
        return ended

    @admin.display(description="succeeded", boolean=True)
    def last_succeeded(self, schedule: Any) -> bool | None:
        succeeded: bool | None = schedule.last_success
        return succeeded

    @admin.action(permissions=["change"], description="Run now: when the q-cluster looks next")
    def run_now(self, request: HttpRequest, schedules: QuerySet[Schedule]) -> None:
        now = database_now()
        # One transaction: no act without its entry.
        with transaction.atomic():
            due = schedules.update(next_run=now)
            for schedule in schedules:
                audit.record(cast(User, request.user), "run_now", schedule, now=now)
        messages.success(request, f"{due} schedule(s) due now.")


class EndedJobAdmin(HistoryAdmin):
    """Jobs that ran, newest first."""

    list_display = ("func", "started", "stopped", "seconds", "outcome")
    search_fields = ("func", "name", "result")
    list_filter = ("func", "stopped")
    date_hierarchy = "stopped"

    @admin.display(description="took (s)")
    def seconds(self, job: Task) -> str:
        return f"{job.time_taken():.2f}"

    @admin.display(description="result")
    def outcome(self, job: Task) -> str:
        return str(job.result)[:200]


@admin.register(Success)
class SuccessAdmin(EndedJobAdmin):
    """Jobs that did their work; the result is what they counted."""


@admin.register(Failure)
class FailureAdmin(EndedJobAdmin):
    """Jobs that raised; the next minute's run did the work again."""


@admin.register(OrmQ)
class QueueAdmin(HistoryAdmin):
    """Jobs that wait for the q-cluster; many of them mean that it does not run."""

    list_display = ("id", "name", "func", "lock")

    def get_fields(self, request: HttpRequest, obj: OrmQ | None = None) -> list[str]:  # noqa: ARG002
        # Not the payload: it is a signed pickle.
        return ["key", "lock", "name", "func"]
