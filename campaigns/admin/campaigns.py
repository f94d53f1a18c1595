"""Admin pages to find, read and steer campaigns, tasks, attempts, results and webhooks."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Model, OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.utils.safestring import SafeString
from import_export.admin import ExportMixin
from unfold.admin import TabularInline
from unfold.contrib.import_export.forms import ExportForm

from campaigns import lifecycle, steering
from campaigns.admin.export import FORMATS, RELATED, ResultResource
from campaigns.admin.leaderboard import leaderboard_table
from campaigns.admin.verbs import apply
from campaigns.models import (
    Attempt,
    AttemptOutcome,
    Campaign,
    CampaignState,
    Dataset,
    ImportanceEstimate,
    ProgressPoint,
    Result,
    Share,
    StateChange,
    Task,
    TaskState,
    Webhook,
    WebhookDelivery,
)
from campaigns.notifications import hooks
from campaigns.standings.summaries import with_best
from workers.admin_base import HistoryAdmin, state_chip, state_label


def _written(campaign: Campaign, value: float) -> str:
    """Write a value with its metric: a list has campaigns of different ones."""
    spec = campaign.metric_spec
    return f"{spec.text(value)} {spec.name}"


@admin.register(Campaign)
class CampaignAdmin(HistoryAdmin):
    """Campaigns. They are made with the form on the pages; here they are steered."""

    editable = ("name", "description", "owner")
    shown_state = state_label("state")
    autocomplete_fields = ("owner",)
    list_display = (
        "name",
        "shown_state",
        "owner",
        "experiment",
        "required_isolation",
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
        campaigns: QuerySet[Campaign] = with_best(super().get_queryset(request)).annotate(
            completed_tasks=Subquery(number.filter(state=TaskState.COMPLETED)),
            failed_tasks=Subquery(number.filter(state=TaskState.FAILED)),
        )
        return campaigns

    @admin.display(ordering="completed_tasks")
    def completed(self, campaign: Any) -> int:
        return campaign.completed_tasks or 0

    @admin.display(ordering="failed_tasks")
    def failed(self, campaign: Any) -> int:
        return campaign.failed_tasks or 0

    @admin.display(description="first seed", ordering="best")
    def best(self, campaign: Any) -> str | None:
        return None if campaign.best is None else _written(campaign, campaign.best)

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str]:
        return ["leaderboard", *super().get_fields(request, obj)]

    def leaderboard(self, campaign: Campaign) -> SafeString:
        return leaderboard_table(campaign)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        # Only drafts: the results of a campaign that has run may be cited.
        deletable = isinstance(obj, Campaign) and obj.state == CampaignState.DRAFT
        return deletable and request.user.has_perm("campaigns.delete_campaign")

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[Any, Any, Any, Any]:
        deleted, counts, lacking, protected = super().get_deleted_objects(objs, request)
        # A share goes with its draft; nobody deletes one alone.
        own = {str(Share._meta.verbose_name)}  # noqa: SLF001 - documented under this name
        return deleted, counts, set(lacking) - own, protected

    def delete_model(self, request: HttpRequest, obj: Campaign) -> None:  # noqa: ARG002
        try:
            lifecycle.delete_draft(obj)
        except lifecycle.WrongState as refusal:  # it was launched or cancelled meanwhile
            raise PermissionDenied(str(refusal)) from refusal

    @admin.action(permissions=["change"], description="Launch: hand out the tasks")
    def launch(self, request: HttpRequest, campaigns: QuerySet[Campaign]) -> None:
        apply(request, campaigns, steering.launch, "campaign(s) launched")

    @admin.action(permissions=["change"], description="Pause: hand out no new tasks")
    def pause(self, request: HttpRequest, campaigns: QuerySet[Campaign]) -> None:
        apply(request, campaigns, steering.pause, "campaign(s) paused")

    @admin.action(permissions=["change"], description="Resume: hand out tasks again")
    def resume(self, request: HttpRequest, campaigns: QuerySet[Campaign]) -> None:
        apply(request, campaigns, steering.resume, "campaign(s) resumed")

    @admin.action(
        permissions=["change"], description="Cancel: stop running tasks; cannot be undone"
    )
    def cancel(self, request: HttpRequest, campaigns: QuerySet[Campaign]) -> None:
        apply(request, campaigns, steering.cancel, "campaign(s) cancelled")


class AttemptInline(TabularInline):
    """The attempts at a task."""

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

    shown_state = state_label("state")
    list_display = (
        "__str__",
        "shown_state",
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
    # By id: reversing the default order of campaigns, which is newest first, would give the oldest
    # first.
    ordering = ("-campaign_id", "number")
    date_hierarchy = "created_at"
    inlines = (AttemptInline,)
    actions = ("retry", "cancel")

    @admin.action(permissions=["change"], description="Retry failed tasks once more")
    def retry(self, request: HttpRequest, tasks: QuerySet[Task]) -> None:
        apply(request, tasks, steering.retry_task, "task(s) pending again")

    @admin.action(permissions=["change"], description="Cancel: stop or never run; cannot be undone")
    def cancel(self, request: HttpRequest, tasks: QuerySet[Task]) -> None:
        apply(request, tasks, steering.cancel_task, "task(s) cancelled")


@admin.register(Attempt)
class AttemptAdmin(HistoryAdmin):
    """All attempts, with the end of their stderr."""

    shown_outcome = state_label("outcome")
    list_display = (
        "__str__",
        "shown_outcome",
        "failure_class",
        "message",
        "wall_time_seconds",
        "started_at",
    )
    list_filter = ("outcome", "failure_class", "started_at")
    search_fields = ("task__campaign__name", "worker__name", "message", "=lease_id")
    list_select_related = ("task", "worker")
    date_hierarchy = "started_at"


class LedToFilter(admin.SimpleListFilter):
    """Filter by the state reached. The choices are fixed, so no query has to collect them."""

    title = "state reached"
    parameter_name = "to_state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        words = {*CampaignState.values, *TaskState.values, *AttemptOutcome.values}
        return [(word, word) for word in sorted(words)]

    def queryset(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002
        return rows.filter(to_state=self.value()) if self.value() else rows


@admin.register(StateChange)
class StateChangeAdmin(HistoryAdmin):
    """The journal: every change of state, newest first, read-only."""

    list_display = (
        "at",
        "subject",
        "campaign",
        "task_name",
        "attempt_number",
        "from_state",
        "to_state",
        "actor_name",
        "reason",
    )
    list_filter = ("subject", LedToFilter, "actor_kind", "at")
    search_fields = ("campaign__name", "=task__number", "actor_name", "reason")
    list_select_related = ("campaign", "task", "attempt")
    date_hierarchy = "at"

    @admin.display(description="task", empty_value="")
    def task_name(self, change: StateChange) -> str | None:
        return str(change.task.name) if change.task else None

    @admin.display(description="attempt", empty_value="")
    def attempt_number(self, change: StateChange) -> int | None:
        return change.attempt.number if change.attempt else None


@admin.register(ProgressPoint)
class ProgressPointAdmin(HistoryAdmin):
    """Progress points of the learning curves."""

    list_display = ("attempt", "seq", "elapsed_seconds", "step", "train_loss", "value")
    search_fields = ("=attempt__task__number", "attempt__task__campaign__name")
    list_select_related = ("attempt__worker", "attempt__task")
    ordering = ("-attempt", "seq")


@admin.register(Result)
class ResultAdmin(ExportMixin, HistoryAdmin):
    """Accepted results, newest first. The filtered list can be exported as a file."""

    resource_classes = (ResultResource,)
    formats = FORMATS
    export_form_class = ExportForm
    list_display = (
        "task",
        "measured",
        "standing",
        "steps_completed",
        "device_used",
        "disturbed",
        "created_at",
    )
    list_filter = (
        "is_ranked",
        "disturbed",
        "slow_setup",
        "simulated",
        "diverged",
        "implausible",
        "eval_is_subset",
        "created_at",
    )
    search_fields = ("campaign__name", "device_used")
    list_select_related = RELATED
    date_hierarchy = "created_at"
    actions = ("admit",)

    @admin.display(description="value", ordering="value")
    def measured(self, result: Result) -> str | None:
        return None if result.value is None else _written(result.task.campaign, result.value)

    @admin.display(description="standing", ordering="is_ranked")
    def standing(self, result: Result) -> str:
        if result.simulated:
            return state_chip("simulated")
        if result.diverged:
            return state_chip("diverged")
        if result.implausible:
            return state_chip("implausible")
        return state_chip("ranked" if result.is_ranked else "not ranked")

    @admin.action(permissions=["change"], description="Admit: count implausible results after all")
    def admit(self, request: HttpRequest, results: QuerySet[Result]) -> None:
        tasks = Task.objects.filter(result__in=results).select_related("campaign")
        apply(request, tasks, steering.admit, "result(s) admitted")


@admin.register(ImportanceEstimate)
class ImportanceEstimateAdmin(HistoryAdmin):
    """Estimates for the analysis tab, and when jobs were asked for them and computed them."""

    list_display = ("campaign", "device", "revision", "asked_at", "computed_at")
    list_filter = ("asked_at", "computed_at")
    search_fields = ("campaign__name", "device")
    list_select_related = ("campaign",)
    date_hierarchy = "asked_at"


@admin.register(Dataset)
class DatasetAdmin(HistoryAdmin):
    """Known data sets. The name may be edited; the bytes never change."""

    editable = ("name",)
    list_display = ("name", "sha256", "size_bytes", "file", "created_at")
    search_fields = ("name", "sha256")


@admin.register(Webhook)
class WebhookAdmin(HistoryAdmin):
    """Webhooks. They are made and edited on the pages; here they are enabled and disabled."""

    exclude = ("secret",)
    list_display = ("url", "owner", "campaign", "is_active", "created_at")
    list_filter = ("is_active", "created_at")
    search_fields = ("url", "owner__username", "campaign__name")
    date_hierarchy = "created_at"
    list_select_related = ("owner", "campaign")
    actions = ("enable", "disable")

    @admin.action(permissions=["change"], description="Enable: send events again")
    def enable(self, request: HttpRequest, webhooks: QuerySet[Webhook]) -> None:
        apply(request, webhooks, hooks.enable, "webhook(s) enabled")

    @admin.action(permissions=["change"], description="Disable: send nothing")
    def disable(self, request: HttpRequest, webhooks: QuerySet[Webhook]) -> None:
        apply(request, webhooks, hooks.disable, "webhook(s) disabled")


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(HistoryAdmin):
    """Deliveries to webhooks, and what became of them."""

    shown_state = state_label("state")
    list_display = ("event", "webhook", "shown_state", "attempts", "last_status", "created_at")
    list_filter = ("state", "event", "created_at")
    search_fields = ("webhook__url", "last_error")
    list_select_related = ("webhook",)
    date_hierarchy = "created_at"
    actions = ("send_again",)

    @admin.action(permissions=["change"], description="Send again, with the full number of tries")
    def send_again(self, request: HttpRequest, deliveries: QuerySet[WebhookDelivery]) -> None:
        apply(request, deliveries, hooks.send_again, "delivery(s) due now")
