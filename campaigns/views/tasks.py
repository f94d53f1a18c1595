"""The page of one task, its verbs and its downloads: the bundle and the learning curve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import messages
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponsePermanentRedirect,
    StreamingHttpResponse,
)
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from campaigns import lifecycle, steering
from campaigns.analysis import seeds_of_point
from campaigns.analysis.curves import csv_of, load_progress
from campaigns.analysis.sampled_curves import sampled_curves
from campaigns.charts.growing import growing, in_pieces
from campaigns.charts.learning_curve import learning_curve
from campaigns.clock import database_now, read_at, with_clock
from campaigns.exports.bundles import bundle_name, task_bundle
from campaigns.models import (
    Attempt,
    AttemptOutcome,
    CampaignState,
    ProgressPoint,
    Result,
    Task,
    TaskState,
)
from campaigns.standings import leaderboard
from campaigns.standings.arm_place import place_of
from campaigns.views import glyphs
from campaigns.views.param_bars import param_bars
from campaigns.views.side import note_context
from campaigns.views.side_parts import worth_of
from xeenet_site.web import roles
from xeenet_site.web.pages import (
    page_or_fragment,
    reading_page,
    server_url,
    signed_in,
    signed_in_user,
    wants_fragment,
)
from xeenet_site.web.verbs import Verb

# A task may have any number of attempts, because releases and some failures cost it no try.
ATTEMPTS_SHOWN = 50
CHANGES_SHOWN = 100
WITHOUT_PARTIAL = {AttemptOutcome.RUNNING, AttemptOutcome.COMPLETED, AttemptOutcome.DIVERGED}
RUN_AGAIN_STATES = {CampaignState.ACTIVE, CampaignState.PAUSED, CampaignState.COMPLETED}
TASK_VERBS = {
    "retry": Verb(steering.retry_task, "is pending again"),
    "cancel": Verb(steering.cancel_task, "is cancelled"),
    "admit": Verb(steering.admit, "counts: its result is ranked"),
}


@reading_page
def task(request: HttpRequest, campaign: int, number: int) -> HttpResponse:
    """Show one task with its latest attempts. With htmx only the part that changes."""
    tasks = Task.objects.select_related(
        "campaign__owner",
        "campaign__dataset",
        "arm",
        "note",
        "worker",
        "result__result_class__band",
    )
    task = get_object_or_404(with_clock(tasks), campaign=campaign, number=number)
    latest = Attempt.objects.filter(task=task).select_related("worker").order_by("-number")
    attempts = list(latest[:ATTEMPTS_SHOWN])
    is_sample = load_progress(attempts)
    result: Result | None = getattr(task, "result", None)
    if result is not None:
        # Loaded already; the lazy read would be one more query.
        result.campaign = task.campaign
    replicates = seeds_of_point.of_points([task])[task.pk]
    context: dict[str, Any] = {
        "task": task,
        "campaign": task.campaign,
        "attempts": [(attempt, _partial(attempt)) for attempt in attempts],
        "attempts_limit": ATTEMPTS_SHOWN,
        "changes": task.changes.select_related("attempt").order_by("-pk")[:CHANGES_SHOWN],
        "changes_limit": CHANGES_SHOWN,
        "guard_seconds": task.max_steps and attempts and attempts[0].time_budget_seconds,
        "result": result,
        "glyph": glyphs.of_result(result),
        # Taken from the loaded attempts; `result.attempt` would cost another query.
        "result_attempt": next(
            (attempt for attempt in attempts if result and attempt.pk == result.attempt_id), None
        ),
        **_standing(task),
        "spec": task.campaign.metric_spec,
        "curve": growing(
            learning_curve(attempts, task.campaign.metric_spec, others=_other_curves(task)),
            "learning-curve",
        ),
        "curve_is_sample": is_sample,
        "curve_points": in_pieces(list(attempts[0].progress.all()) if attempts else []),
        "replicates": replicates,
        **_neighbours(task, replicates.tasks),
        "is_open": task.state in {TaskState.PENDING, TaskState.LEASED},
        "may_change": steering.may_change(request.user, task.campaign),
        "may_admit": result is not None and result.implausible and roles.may_operate(request.user),
        "may_run_again": task.state in {TaskState.COMPLETED, TaskState.CANCELLED}
        and task.campaign.state in RUN_AGAIN_STATES,
        "now": read_at(task),
    }
    if not wants_fragment(request):
        # Outside of what refreshes, so that no text is lost while it is typed.
        context["note"] = note_context(request, task) | {"next": task.get_absolute_url()}
    return page_or_fragment(request, "campaigns/task.html", "campaigns/_task.html", context)


def _partial(attempt: Attempt) -> ProgressPoint | None:
    """Return the last progress point of an attempt that ended without a result."""
    if attempt.outcome in WITHOUT_PARTIAL:
        return None
    points = list(attempt.progress.all())
    return points[-1] if points else None


def _standing(task: Task) -> dict[str, Any]:
    """Return where the task's arm stands, and its params in their ranges."""
    place = place_of(task.campaign, task.arm)
    _, constant = leaderboard.varying_params(task.campaign)
    return {
        "place": place,
        "worth": worth_of(task.campaign, place),
        "bars": param_bars(task.campaign, task.params),
        "constant": [(name, param) for name, param in constant.items() if name in task.params],
    }


def _other_curves(task: Task) -> list[list[tuple[float, float]]]:
    sample = sampled_curves(task.campaign)
    return [points.values for arm, points in sample.items() if arm != task.arm_id and points.values]


def _neighbours(task: Task, siblings: Sequence[Task]) -> dict[str, Task | None]:
    """Return the tasks of the same arm before and after this one."""
    index = next((index for index, other in enumerate(siblings) if other.pk == task.pk), None)
    if index is None:
        # One of more seeds than are read.
        return {"before": None, "after": None}
    return {
        "before": siblings[index - 1] if index else None,
        "after": siblings[index + 1] if index + 1 < len(siblings) else None,
    }


@signed_in
@require_POST
def run_again(request: HttpRequest, campaign: int, number: int) -> HttpResponse:
    """Add a task with the same params and a new seed, and show the new task."""
    task = get_object_or_404(
        Task.objects.select_related("arm__campaign"), campaign=campaign, number=number
    )
    actor = signed_in_user(request)
    try:
        (added,) = steering.run_again(actor, task.arm, 1, now=database_now())
    except lifecycle.LifecycleError as error:
        messages.error(request, str(error))
        return redirect(task)
    messages.success(
        request, f"Task {added.name} is added: the params of task {task.name}, a new seed."
    )
    return redirect(added)


@signed_in
@require_POST
def change_task(request: HttpRequest, campaign: int, number: int, verb: str) -> HttpResponse:
    """Retry or cancel a task for the campaign's owner or an operator, and show it."""
    task = get_object_or_404(
        Task.objects.select_related("campaign"), campaign=campaign, number=number
    )
    try:
        TASK_VERBS[verb].run(signed_in_user(request), task, now=database_now())
    except lifecycle.LifecycleError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"Task {task.name} {TASK_VERBS[verb].done}.")
    return redirect(task)


@signed_in
def task_zip(request: HttpRequest, campaign: int, number: int) -> HttpResponse:
    """Send the bundle that repeats the run. It holds the script: only for people signed in."""
    tasks = Task.objects.select_related("campaign__dataset", "campaign__package", "result")
    task = get_object_or_404(tasks, campaign=campaign, number=number)
    content = task_bundle(task, getattr(task, "result", None), server_url=server_url(request))
    return HttpResponse(
        content,
        content_type="application/zip",
        headers={"Content-Disposition": f'attachment; filename="{bundle_name(task)}.zip"'},
    )


@reading_page
def curve_csv(_request: HttpRequest, campaign: int, number: int) -> StreamingHttpResponse:
    """Send all progress points of all attempts as a CSV file."""
    task = get_object_or_404(
        Task.objects.select_related("campaign"), campaign=campaign, number=number
    )
    name = f"{bundle_name(task)}-curve.csv"
    return StreamingHttpResponse(
        csv_of(task),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


@reading_page
@require_safe
def old_address(request: HttpRequest, pk: int, page: str) -> HttpResponsePermanentRedirect:
    """Lead from a task's address with its id to the one with campaign and number.

    Only what somebody may have kept or linked to: a form's address was never shown.
    """
    name = get_object_or_404(Task.objects.only("campaign_id", "number"), pk=pk).name
    query = f"?{text}" if (text := request.META.get("QUERY_STRING", "")) else ""
    return HttpResponsePermanentRedirect(reverse(page, args=name) + query)
