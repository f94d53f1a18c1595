"""The admin pages of arms: what a campaign compares, and the tasks of each."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import TabularInline

from campaigns.models import Arm, Task
from workers.admin_base import HistoryAdmin


class TaskInline(TabularInline):
    """The tasks of an arm, one for each seed it runs on."""

    model = Task
    fields = readonly_fields = (
        "number",
        "seed",
        "seed_index",
        "purpose",
        "state",
        "failure_class",
        "finished_at",
    )
    extra = 0
    can_delete = False
    show_change_link = True

    def has_add_permission(self, request: HttpRequest, obj: Arm | None = None) -> bool:  # noqa: ARG002
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Task]:
        tasks: QuerySet[Task] = super().get_queryset(request)
        return tasks.select_related("campaign")


@admin.register(Arm)
class ArmAdmin(HistoryAdmin):
    """Arms of all campaigns."""

    list_display = ("__str__", "origin", "params", "created_at")
    list_filter = ("origin", "campaign__state", "created_at")
    search_fields = ("campaign__name", "=number")
    list_select_related = ("campaign",)
    # By id, like the tasks.
    ordering = ("-campaign_id", "number")
    date_hierarchy = "created_at"
    inlines = (TaskInline,)
