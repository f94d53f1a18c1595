"""The page of one task, its verbs, and the list of a campaign's tasks."""

from __future__ import annotations

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Prefetch
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from campaigns import lifecycle, steering
from campaigns.charts import learning_curve
from campaigns.clock import database_now
from campaigns.models import Attempt, Campaign, ProgressPoint, Task, TaskState
from workers.pages import page_or_fragment, reading_page, signed_in, signed_in_user

TASKS_PER_PAGE = 50
TASK_VERBS = {"retry": steering.retry_task, "cancel": steering.cancel_task}
VERB_DONE = {"retry": "is pending again", "cancel": "is cancelled"}


@reading_page
def task_list(request: HttpRequest, pk: int) -> HttpResponse:
    """List a campaign's tasks by number, of one state when `state` is given."""
    campaign = get_object_or_404(Campaign, pk=pk)
    tasks = campaign.tasks.select_related("worker", "result").order_by("number")
    state = request.GET.get("state", "")
    if state in TaskState.values:
        tasks = tasks.filter(state=state)
    context = {
        "campaign": campaign,
        "states": TaskState.values,
        "state": state,
        "page": Paginator(tasks, TASKS_PER_PAGE).get_page(request.GET.get("page")),
        "now": database_now(),
    }
    return render(request, "campaigns/task_list.html", context)


@reading_page
def task(request: HttpRequest, pk: int) -> HttpResponse:
    """Show one task with all its attempts; with htmx the part that changes while it runs."""
    shown = get_object_or_404(
        Task.objects.select_related("campaign__owner", "campaign__dataset", "worker", "result"),
        pk=pk,
    )
    points = Prefetch("progress", ProgressPoint.objects.order_by("seq"))
    attempts = list(
        Attempt.objects.filter(task=shown)
        .select_related("worker")
        .prefetch_related(points)
        .order_by("-number")
    )
    result = getattr(shown, "result", None)
    context = {
        "task": shown,
        "campaign": shown.campaign,
        "attempts": attempts,
        "result": result,
        # Loaded with the attempts; result.attempt would ask the database again.
        "result_attempt": next((a for a in attempts if result and a.pk == result.attempt_id), None),
        "params": [(name, shown.params[name]) for name in _names(shown)],
        "curve": learning_curve(attempts),
        "is_open": shown.state in {TaskState.PENDING, TaskState.LEASED},
        "may_change": steering.may_change(request.user, shown.campaign),
        "now": database_now(),
    }
    return page_or_fragment(request, "campaigns/task.html", "campaigns/_task.html", context)


def _names(shown: Task) -> list[str]:
    """Return the params' names in the search space's order; JSON columns keep none."""
    return [one["name"] for one in shown.campaign.search_space["parameters"]]


@signed_in
@require_POST
def change_task(request: HttpRequest, pk: int, verb: str) -> HttpResponse:
    """Retry or cancel a task for the campaign's owner or an operator, and show it."""
    changed = get_object_or_404(Task.objects.select_related("campaign"), pk=pk)
    try:
        TASK_VERBS[verb](signed_in_user(request), changed, now=database_now())
    except lifecycle.LifecycleError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"Task {changed.number} {VERB_DONE[verb]}.")
    return redirect(changed)
