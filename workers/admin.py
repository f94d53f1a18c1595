"""Workers, their sessions and their invitations in the admin."""

from __future__ import annotations

import datetime as dt
from typing import Any, cast

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db.models import Count, Model, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils import timezone
from unfold.admin import TabularInline

from workers import fleet_admin, lifecycle, steering
from workers.admin_base import HistoryAdmin, apply_to_each, state_label
from workers.joining.lines import link
from workers.models import (
    AuditEntry,
    Calibration,
    EnrolmentToken,
    Worker,
    WorkerSession,
    WorkerState,
)
from xeenet_site.web import addresses
from xeenet_site.web.pages import server_url

# The module registers its page when Django imports this one.
__all__ = ["fleet_admin"]


class WorkerSessionInline(TabularInline):
    """The sessions of the worker's agent, newest first."""

    model = WorkerSession
    fields = readonly_fields = ("started_at", "last_seen_at", "ended_at", "boot_id")
    extra = 0
    can_delete = False
    per_page = 10

    def has_add_permission(self, request: HttpRequest, obj: Worker | None = None) -> bool:  # noqa: ARG002
        return False


class CalibrationInline(TabularInline):
    """What the worker measured of its speed, newest first."""

    model = Calibration
    fields = readonly_fields = (
        "taken_at",
        "speed_text",
        "device",
        "dtype",
        "threads",
        "foreign_load",
        "value_off",
        "flagged",
        "admitted_at",
    )
    extra = 0
    can_delete = False
    per_page = 10

    def has_add_permission(self, request: HttpRequest, obj: Worker | None = None) -> bool:  # noqa: ARG002
        return False


@admin.register(Worker)
class WorkerAdmin(HistoryAdmin):
    """The fleet, with the actions drain, resume, disable and new token."""

    editable = ("name",)
    shown_state = state_label("state")
    date_hierarchy = "enrolled_at"
    list_display = (
        "name",
        "shown_state",
        "is_online",
        "running",
        "device",
        "simulates",
        "isolation",
        "accepts_uploaded_scripts",
        "paused_until",
        "owner_pause",
        "agent_version",
        "last_seen_at",
    )
    list_filter = (
        "state",
        "simulates",
        "isolation",
        "accepts_uploaded_scripts",
        "last_seen_at",
    )
    search_fields = ("name", "pause_reason")
    inlines = (CalibrationInline, WorkerSessionInline)
    actions = ("drain", "resume", "disable", "admit_calibration", "rotate_token")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Worker]:
        workers: QuerySet[Worker] = super().get_queryset(request)
        return workers.annotate(leased=Count("leased_tasks"))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Worker], search_term: str
    ) -> tuple[QuerySet[Worker], bool]:
        matches, has_duplicates = super().get_search_results(request, queryset, search_term)
        if "state__exact" not in request.GET:
            # Only who filters by that state sees the retired workers of fleets.
            matches = matches.exclude(state=WorkerState.RETIRED)
        return matches, has_duplicates

    @admin.display(description="running tasks", ordering="leased")
    def running(self, worker: Any) -> int:
        leased: int = worker.leased
        return leased

    @admin.display(boolean=True, description="online", ordering="last_seen_at")
    def is_online(self, worker: Worker) -> bool:
        return worker.is_online(timezone.now())

    @admin.display(description="by its owner", ordering="owner_pauses_until", empty_value="-")
    def owner_pause(self, worker: Worker) -> str:
        return worker.owner_pause(timezone.now())

    @admin.action(permissions=["change"], description="Drain: finish running tasks, claim no more")
    def drain(self, request: HttpRequest, workers: QuerySet[Worker]) -> None:
        _apply(request, workers, steering.drain, "draining")

    @admin.action(permissions=["change"], description="Resume: claim tasks again")
    def resume(self, request: HttpRequest, workers: QuerySet[Worker]) -> None:
        _apply(request, workers, steering.resume, "resumed")

    @admin.action(permissions=["change"], description="Disable: reject its token at once")
    def disable(self, request: HttpRequest, workers: QuerySet[Worker]) -> None:
        _apply(request, workers, steering.disable, "disabled")

    @admin.action(permissions=["change"], description="Admit a flagged measurement of its speed")
    def admit_calibration(self, request: HttpRequest, workers: QuerySet[Worker]) -> None:
        _apply(request, workers, steering.admit_calibration, "admitted")

    @admin.action(permissions=["change"], description="New token: the old one stops working")
    def rotate_token(self, request: HttpRequest, workers: QuerySet[Worker]) -> None:
        def rotate(actor: User, worker: Worker, *, now: dt.datetime) -> None:
            secret = steering.rotate_token(actor, worker, now=now)
            messages.warning(request, f"New token of {worker}, shown only once: {secret}")

        _apply(request, workers, rotate, "given a new token")


def _apply(request: HttpRequest, workers: QuerySet[Worker], verb: Any, done: str) -> None:
    apply_to_each(
        request, workers, verb, f"worker(s) {done}", lifecycle.WorkerError, now=timezone.now()
    )


@admin.register(WorkerSession)
class WorkerSessionAdmin(HistoryAdmin):
    """The sessions of all workers' agents."""

    list_display = ("worker", "started_at", "last_seen_at", "ended_at")
    list_filter = ("started_at", ("ended_at", admin.EmptyFieldListFilter))
    date_hierarchy = "started_at"
    search_fields = ("worker__name",)
    list_select_related = ("worker",)


@admin.register(Calibration)
class CalibrationAdmin(HistoryAdmin):
    """What all workers measured of their speed; the worker's action admits a flagged one."""

    list_display = (
        "worker",
        "taken_at",
        "experiment",
        "speed_text",
        "device",
        "dtype",
        "threads",
        "foreign_load",
        "fit_error",
        "value_off",
        "flagged",
        "admitted_at",
    )
    list_filter = ("flagged", "experiment", "device", "dtype", "taken_at")
    date_hierarchy = "taken_at"
    search_fields = ("worker__name",)
    list_select_related = ("worker",)


@admin.register(EnrolmentToken)
class EnrolmentTokenAdmin(HistoryAdmin):
    """Adding an invitation shows its secret once; deleting an unused invitation withdraws it."""

    verbs_write_entries = True

    list_display = ("__str__", "created_by", "created_at", "expires_at", "used_at", "worker")
    list_filter = (("used_at", admin.EmptyFieldListFilter), "expires_at")
    date_hierarchy = "created_at"
    search_fields = ("label", "worker__name")
    list_select_related = ("created_by", "worker")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("workers.add_enrolmenttoken")

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        allowed = request.user.has_perm("workers.delete_enrolmenttoken")
        return allowed and isinstance(obj, EnrolmentToken) and obj.used_at is None

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str]:
        return ["label"] if obj is None else super().get_fields(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str]:
        return [] if obj is None else super().get_readonly_fields(request, obj)

    def delete_model(self, request: HttpRequest, obj: EnrolmentToken) -> None:
        steering.withdraw(cast(User, request.user), obj, now=timezone.now())

    def save_model(
        self,
        request: HttpRequest,
        obj: EnrolmentToken,
        form: ModelForm[EnrolmentToken],  # noqa: ARG002
        change: bool,
    ) -> None:
        if change:
            return
        token, secret = steering.invite(
            cast(User, request.user), now=timezone.now(), label=obj.label
        )
        obj.pk, obj.expires_at = token.pk, token.expires_at
        messages.warning(
            request,
            "This address is shown only once. On the new machine it says what to type there: "
            f"{link(addresses.reach(request).url or server_url(request), secret)}",
        )


@admin.register(AuditEntry)
class AuditEntryAdmin(HistoryAdmin):
    """The audit log: what people did, newest first."""

    list_display = ("at", "actor_name", "verb", "target_kind", "target_name", "detail")
    list_filter = ("verb", "target_kind", "at")
    search_fields = ("actor_name", "target_name", "detail")
    date_hierarchy = "at"
