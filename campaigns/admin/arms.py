"""The admin pages of arms and of their races: what a campaign compares, and what that decided."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import TabularInline

from campaigns.models import Arm, Decision, Note, Race, Task
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


class DecisionInline(TabularInline):
    """The looks of a race."""

    model = Decision
    fields = readonly_fields = (
        "look",
        "outcome",
        "leader",
        "rival",
        "n",
        "estimate",
        "bound",
        "why",
        "decided_at",
    )
    extra = 0
    can_delete = False
    show_change_link = True

    def has_add_permission(self, request: HttpRequest, obj: Race | None = None) -> bool:  # noqa: ARG002
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Decision]:
        decisions: QuerySet[Decision] = super().get_queryset(request)
        return decisions.select_related("leader__campaign", "rival__campaign", "race__campaign")


@admin.register(Race)
class RaceAdmin(HistoryAdmin):
    """Races of all campaigns, with their looks."""

    list_display = ("__str__", "outcome", "arms", "floor_sd", "started_at", "ended_at")
    list_filter = ("outcome", "campaign__state", "started_at")
    search_fields = ("campaign__name", "=number")
    list_select_related = ("campaign",)
    ordering = ("-started_at", "-id")
    date_hierarchy = "started_at"
    inlines = (DecisionInline,)


@admin.register(Decision)
class DecisionAdmin(HistoryAdmin):
    """What each look of a race decided, with everything it saw."""

    list_display = ("__str__", "leader", "rival", "n", "estimate", "bound", "why", "decided_at")
    list_filter = ("outcome", "decided_at")
    search_fields = ("race__campaign__name",)
    list_select_related = ("race__campaign", "leader__campaign", "rival__campaign")
    ordering = ("-decided_at", "-id")
    date_hierarchy = "decided_at"


@admin.register(Note)
class NoteAdmin(HistoryAdmin):
    """Notes on arms and tasks of all campaigns. People write them beside the board."""

    list_display = ("__str__", "text", "author_name", "edits", "edited_at")
    list_filter = ("campaign__state", "edited_at")
    search_fields = ("text", "author_name", "campaign__name")
    list_select_related = ("arm__campaign", "task__campaign")
    ordering = ("-edited_at", "-id")
    date_hierarchy = "edited_at"
