"""The admin's lists of background jobs, and an action that ends a person's sign-in lock.

The lists cover django-q2: schedules, jobs that succeeded, that failed, and that wait.
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

# django-q2 registers these with Django's own look and lets people edit what the code decides.
for model in (Schedule, Success, Failure, OrmQ):
    admin.site.unregister(model)

# Sign-in locks belong to `xeenet_site`, which `campaigns` must not import: extend its admin here.
admin.site.unregister(User)


@admin.register(User)
class PersonAdmin(UserAdmin):
    """People, with an action that ends the lock after too many wrong passwords."""

    actions = ("unlock_sign_in",)

    @admin.action(permissions=["change"], description="End the sign-in lock of wrong passwords")
    def unlock_sign_in(self, request: HttpRequest, people: QuerySet[User]) -> None:
        done = "may sign in again"
        apply_to_each(request, people, end_lock, done, PermissionDenied, now=database_now())


@admin.register(Schedule)
class ScheduleAdmin(HistoryAdmin):
    """Jobs that run every minute. The code defines them; a person may only run one now."""

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
        # One transaction: the action must not be committed without its audit entry.
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
    """Jobs that succeeded; the result is the count that the job returned."""


@admin.register(Failure)
class FailureAdmin(EndedJobAdmin):
    """Jobs that raised an exception; the run a minute later repeats their work."""


@admin.register(OrmQ)
class QueueAdmin(HistoryAdmin):
    """Jobs that wait for the q-cluster; many of them mean that it is not running."""

    list_display = ("id", "name", "func", "lock")

    def get_fields(self, request: HttpRequest, obj: OrmQ | None = None) -> list[str]:  # noqa: ARG002
        # Leave out the payload, a signed pickle.
        return ["key", "lock", "name", "func"]
