"""Campaigns, tasks and all that came of them, in the admin: to find, to read, and to steer."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import Count, Model, OuterRef, QuerySet, Subquery
from django.forms import ModelForm
from django.http import HttpRequest
from import_export.admin import ExportMixin
from unfold.admin import ModelAdmin, TabularInline
from unfold.contrib.import_export.forms import ExportForm
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from campaigns import lifecycle, steering
from campaigns.admin_export import FORMATS, RELATED, ResultResource
from campaigns.clock import database_now
from campaigns.models import (
    Attempt,
    Campaign,
    CampaignState,
    Dataset,
    Package,
    PersonalToken,
    ProgressPoint,
    Result,
    Task,
    TaskState,
    Webhook,
    WebhookDelivery,
)
from campaigns.notifications import hooks
from workers.admin_base import HistoryAdmin, apply_to_each
from workers.tokens import PERSONAL_PREFIX, hash_token, new_token


def _apply(request: HttpRequest, rows: QuerySet[Any], verb: Any, done: str) -> None:
    apply_to_each(request, rows, verb, done, lifecycle.LifecycleError, now=database_now())


@admin.register(Campaign)
class CampaignAdmin(HistoryAdmin):
    """Campaigns are made with the form on the pages; here they are steered."""

    editable = ("name", "description", "owner")
    autocomplete_fields = ("owner",)
    list_display = (
        "name",
        "state",
        "owner",
        "experiment",
        "task_count",
        "completed",
        "failed",
        "best",
        "created_at",
    )
    list_filter = ("state", "experiment", "sampler", "allow_simulated", "created_at")
    search_fields = ("name", "description", "owner__username")
    list_select_related = ("owner",)
    date_hierarchy = "created_at"
    actions = ("launch", "pause", "resume", "cancel")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Campaign]:
        tasks = Task.objects.filter(campaign=OuterRef("pk")).order_by().values("campaign")
        number = tasks.annotate(number=Count("pk")).values("number")
        results = Result.objects.filter(campaign=OuterRef("pk")).ranked()
        campaigns: QuerySet[Campaign] = super().get_queryset(request)
        return campaigns.annotate(
            completed_tasks=Subquery(number.filter(state=TaskState.COMPLETED)),
            failed_tasks=Subquery(number.filter(state=TaskState.FAILED)),
            best_value=Subquery(results.values("val_bpb")[:1]),
        )

    @admin.display(ordering="completed_tasks")
    def completed(self, campaign: Any) -> int:
        return campaign.completed_tasks or 0

    @admin.display(ordering="failed_tasks")
    def failed(self, campaign: Any) -> int:
        return campaign.failed_tasks or 0

    @admin.display(description="best val_bpb", ordering="best_value")
    def best(self, campaign: Any) -> str | None:
        value: float | None = campaign.best_value
        return None if value is None else f"{value:.4f}"

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        # What has run stays: its results may be cited.
        deletable = isinstance(obj, Campaign) and obj.state == CampaignState.DRAFT
        return deletable and request.user.has_perm("campaigns.delete_campaign")

    @admin.action(permissions=["change"], description="Launch: hand out the tasks")
    def launch(self, request: HttpRequest, campaigns: QuerySet[Campaign]) -> None:
        _apply(request, campaigns, steering.launch, "campaign(s) launched")

    @admin.action(permissions=["change"], description="Pause: hand out nothing new")
    def pause(self, request: HttpRequest, campaigns: QuerySet[Campaign]) -> None:
        _apply(request, campaigns, steering.pause, "campaign(s) paused")

    @admin.action(permissions=["change"], description="Resume: hand out tasks again")
    def resume(self, request: HttpRequest, campaigns: QuerySet[Campaign]) -> None:
        _apply(request, campaigns, steering.resume, "campaign(s) resumed")

    @admin.action(permissions=["change"], description="Cancel: stop running tasks, for good")
    def cancel(self, request: HttpRequest, campaigns: QuerySet[Campaign]) -> None:
        _apply(request, campaigns, steering.cancel, "campaign(s) cancelled")


class AttemptInline(TabularInline):
    """A task's history."""

    model = Attempt
    fields = readonly_fields = (
        "number",
        "worker",
        "outcome",
        "failure_class",
        "message",
        "started_at",
        "ended_at",
    )
    extra = 0
    can_delete = False
    show_change_link = True

    def has_add_permission(self, request: HttpRequest, obj: Task | None = None) -> bool:  # noqa: ARG002
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Attempt]:
        attempts: QuerySet[Attempt] = super().get_queryset(request)
        return attempts.select_related("worker", "task")


@admin.register(Task)
class TaskAdmin(HistoryAdmin):
    """Tasks of all campaigns: retry what failed, cancel what is open."""

    list_display = (
        "__str__",
        "state",
        "worker",
        "failure_class",
        "failed_attempts",
        "lost_attempts",
        "lease_expires_at",
        "finished_at",
    )
    list_filter = ("state", "failure_class", "campaign__state", "finished_at")
    search_fields = ("campaign__name", "=number", "worker__name")
    list_select_related = ("campaign", "worker")
    ordering = ("-campaign", "number")
    date_hierarchy = "created_at"
    inlines = (AttemptInline,)
    actions = ("retry", "cancel")

    @admin.action(permissions=["change"], description="Retry failed tasks once more")
    def retry(self, request: HttpRequest, tasks: QuerySet[Task]) -> None:
        _apply(request, tasks, steering.retry_task, "task(s) pending again")

    @admin.action(permissions=["change"], description="Cancel: stop or never run, for good")
    def cancel(self, request: HttpRequest, tasks: QuerySet[Task]) -> None:
        _apply(request, tasks, steering.cancel_task, "task(s) cancelled")


@admin.register(Attempt)
class AttemptAdmin(HistoryAdmin):
    """Every try, with what the script wrote last."""

    list_display = (
        "__str__",
        "outcome",
        "failure_class",
        "message",
        "wall_time_seconds",
        "started_at",
    )
    list_filter = ("outcome", "failure_class", "started_at")
    search_fields = ("task__campaign__name", "worker__name", "message", "=lease_id")
    list_select_related = ("task", "worker")
    date_hierarchy = "started_at"


@admin.register(ProgressPoint)
class ProgressPointAdmin(HistoryAdmin):
    """Points of the learning curves."""

    list_display = ("attempt", "seq", "elapsed_seconds", "step", "train_loss", "val_bpb")
    search_fields = ("=attempt__task__id",)
    list_select_related = ("attempt__worker",)
    ordering = ("-attempt", "seq")


@admin.register(Result)
class ResultAdmin(ExportMixin, HistoryAdmin):
    """Accepted results, newest first; the list as it is filtered can be taken as a file."""

    resource_classes = (ResultResource,)
    formats = FORMATS
    export_form_class = ExportForm
    list_display = (
        "task",
        "val_bpb",
        "is_ranked",
        "simulated",
        "diverged",
        "steps_completed",
        "device_used",
        "created_at",
    )
    list_filter = ("is_ranked", "simulated", "diverged", "eval_is_subset", "created_at")
    search_fields = ("campaign__name", "device_used")
    list_select_related = RELATED
    date_hierarchy = "created_at"


@admin.register(Package)
class PackageAdmin(HistoryAdmin):
    """Pinned training scripts."""

    exclude = ("source",)
    list_display = ("name", "sha256", "created_at")
    search_fields = ("name", "sha256")


@admin.register(Dataset)
class DatasetAdmin(HistoryAdmin):
    """Known data sets; the name may be made clearer, the bytes never change."""

    editable = ("name",)
    list_display = ("name", "sha256", "size_bytes", "file", "created_at")
    search_fields = ("name", "sha256")


@admin.register(PersonalToken)
class PersonalTokenAdmin(HistoryAdmin):
    """Keys to the API: adding one shows it once; deleting one shuts it out."""

    list_display = ("name", "user", "created_at", "last_used_at")
    list_filter = ("created_at", "last_used_at")
    search_fields = ("name", "user__username")
    list_select_related = ("user",)
    autocomplete_fields = ("user",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("campaigns.add_personaltoken")

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:  # noqa: ARG002
        return request.user.has_perm("campaigns.delete_personaltoken")

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str]:
        return ["user", "name"] if obj is None else super().get_fields(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str]:
        return [] if obj is None else super().get_readonly_fields(request, obj)

    def save_model(
        self,
        request: HttpRequest,
        obj: PersonalToken,
        form: ModelForm[PersonalToken],
        change: bool,
    ) -> None:
        if not change:
            secret = new_token(PERSONAL_PREFIX)
            obj.token_hash = hash_token(secret)
            messages.warning(request, f"Token of {obj.user}, shown this once: {secret}")
        super().save_model(request, obj, form, change)


# Django registered these with its own look; unfold needs its own classes.
admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):  # type: ignore[type-arg]
    """People."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):
    """Groups of people with the same permissions."""


@admin.register(Webhook)
class WebhookAdmin(HistoryAdmin):
    """Who is told of what; made and changed on the pages."""

    exclude = ("secret",)
    list_display = ("url", "owner", "campaign", "is_active", "created_at")
    list_filter = ("is_active", "created_at")
    search_fields = ("url", "owner__username")
    list_select_related = ("owner", "campaign")
    actions = ("enable", "disable")

    @admin.action(permissions=["change"], description="Enable: tell it of events again")
    def enable(self, request: HttpRequest, webhooks: QuerySet[Webhook]) -> None:
        _apply(request, webhooks, hooks.enable, "webhook(s) enabled")

    @admin.action(permissions=["change"], description="Disable: send it nothing")
    def disable(self, request: HttpRequest, webhooks: QuerySet[Webhook]) -> None:
        _apply(request, webhooks, hooks.disable, "webhook(s) disabled")


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(HistoryAdmin):
    """What became of each notification."""

    list_display = ("event", "webhook", "state", "attempts", "last_status", "created_at")
    list_filter = ("state", "event", "created_at")
    search_fields = ("webhook__url", "last_error")
    list_select_related = ("webhook",)
    date_hierarchy = "created_at"
    actions = ("send_again",)

    @admin.action(permissions=["change"], description="Send again, with all tries")
    def send_again(self, request: HttpRequest, rows: QuerySet[WebhookDelivery]) -> None:
        _apply(request, rows, hooks.send_again, "delivery(s) due now")
