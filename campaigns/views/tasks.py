"""The page of one task, its verbs and its downloads: the bundle and the learning curve."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST

from campaigns import lifecycle, steering
from campaigns.analysis import seeds_of_point
from campaigns.analysis.curves import csv_of, load_progress
from campaigns.charts.learning_curve import learning_curve
from campaigns.clock import database_now
from campaigns.exports.bundles import bundle_name, task_bundle
from campaigns.models import (
    Attempt,
    AttemptOutcome,
    CampaignState,
    ProgressPoint,
    Task,
    TaskState,
)
from xeenet_site.web.pages import page_or_fragment, reading_page, signed_in, signed_in_user
from xeenet_site.web.verbs import Verb

# Failures of the worker are free for the task, so it may have any number of attempts.
ATTEMPTS_SHOWN = 50
CHANGES_SHOWN = 100
WITHOUT_PARTIAL = {AttemptOutcome.RUNNING, AttemptOutcome.COMPLETED, AttemptOutcome.DIVERGED}
RUN_AGAIN_STATES = {CampaignState.ACTIVE, CampaignState.PAUSED, CampaignState.COMPLETED}
TASK_VERBS = {
    "retry": Verb(steering.retry_task, "is pending again"),
    "cancel": Verb(steering.cancel_task, "is cancelled"),
}


@reading_page
def task(request: HttpRequest, pk: int) -> HttpResponse:
    """Show one task with all its attempts; with htmx the part that changes while it runs."""
    shown = get_object_or_404(
        Task.objects.select_related("campaign__owner", "campaign__dataset", "worker", "result"),
        pk=pk,
    )
    latest = Attempt.objects.filter(task=shown).select_related("worker").order_by("-number")
    attempts = list(latest[:ATTEMPTS_SHOWN])
    is_sample = load_progress(attempts)
    result = getattr(shown, "result", None)
    context = {
        "task": shown,
        "campaign": shown.campaign,
        "attempts": [(one, _partial(one)) for one in attempts],
        "attempts_limit": ATTEMPTS_SHOWN,
        "changes": shown.changes.select_related("attempt").order_by("-pk")[:CHANGES_SHOWN],
        "changes_limit": CHANGES_SHOWN,
        "result": result,
        # Loaded with the attempts; result.attempt would ask the database again.
        "result_attempt": next((a for a in attempts if result and a.pk == result.attempt_id), None),
        "params": [(name, shown.params[name]) for name in _names(shown)],
        "curve": learning_curve(attempts),
        "curve_is_sample": is_sample,
        "curve_points": attempts[0].progress.all() if attempts else [],
        "replicates": seeds_of_point.of_points([shown])[shown.pk],
        "is_open": shown.state in {TaskState.PENDING, TaskState.LEASED},
        "may_change": steering.may_change(request.user, shown.campaign),
        "may_run_again": shown.state in {TaskState.COMPLETED, TaskState.CANCELLED}
        and shown.campaign.state in RUN_AGAIN_STATES,
        "now": database_now(),
    }
    return page_or_fragment(request, "campaigns/task.html", "campaigns/_task.html", context)


def _partial(attempt: Attempt) -> ProgressPoint | None:
    """Return how far an attempt without a result came: its last point."""
    if attempt.outcome in WITHOUT_PARTIAL:
        return None
    points = list(attempt.progress.all())
    return points[-1] if points else None


def _names(shown: Task) -> list[str]:
    """Return the params' names in the search space's order; JSON columns keep none."""
    return [one["name"] for one in shown.campaign.search_space["parameters"]]


@signed_in
@require_POST
def run_again(request: HttpRequest, pk: int) -> HttpResponse:
    """Add a task with the same params and a new seed, and show that one."""
    shown = get_object_or_404(Task.objects.select_related("campaign"), pk=pk)
    actor = signed_in_user(request)
    try:
        added = steering.enqueue(actor, shown.campaign, shown.params, now=database_now())
    except lifecycle.LifecycleError as error:
        messages.error(request, str(error))
        return redirect(shown)
    messages.success(
        request, f"Task {added.number} is added: the params of task {shown.number}, a new seed."
    )
    return redirect(added)


@signed_in
@require_POST
def change_task(request: HttpRequest, pk: int, verb: str) -> HttpResponse:
    """Retry or cancel a task for the campaign's owner or an operator, and show it."""
    changed = get_object_or_404(Task.objects.select_related("campaign"), pk=pk)
    try:
        TASK_VERBS[verb].run(signed_in_user(request), changed, now=database_now())
    except lifecycle.LifecycleError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"Task {changed.number} {TASK_VERBS[verb].done}.")
    return redirect(changed)


@signed_in
def task_zip(request: HttpRequest, pk: int) -> HttpResponse:
    """Send the bundle that repeats the run. As over the API, scripts are for people signed in."""
    tasks = Task.objects.select_related("campaign__dataset", "campaign__package", "result")
    task = get_object_or_404(tasks, pk=pk)
    server_url = request.build_absolute_uri("/").rstrip("/")
    content = task_bundle(task, getattr(task, "result", None), server_url=server_url)
    return HttpResponse(
        content,
        content_type="application/zip",
        headers={"Content-Disposition": f'attachment; filename="{bundle_name(task)}.zip"'},
    )


@reading_page
def curve_csv(_request: HttpRequest, pk: int) -> StreamingHttpResponse:
    """Send every progress point of every attempt."""
    task = get_object_or_404(Task.objects.select_related("campaign"), pk=pk)
    name = f"{bundle_name(task)}-curve.csv"
    return StreamingHttpResponse(
        csv_of(task),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
