"""The pages of workers: the fleet, one worker, and what operators do to them."""

from __future__ import annotations

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from experiments import metrics
from workers import fleet, run_places, steering
from workers.charts import MEASURES, median_speed, speed_over_time
from workers.joining.lines import joining_offers, starts_with_token
from workers.lifecycle import LEFT, WorkerError
from workers.models import EnrolmentToken, Worker, WorkerState
from workers.scripts import why_outdated
from xeenet_site.web import addresses, roles
from xeenet_site.web.pages import (
    page_or_fragment,
    reading_page,
    server_url,
    signed_in,
    signed_in_user,
)
from xeenet_site.web.verbs import Verb

WORKERS_PER_PAGE = 50
PROGRAMS_SHOWN = 50
INVITATIONS_SHOWN = 50
ATTEMPTS_PER_PAGE = 30
SESSIONS_SHOWN = 5
CALIBRATIONS_SHOWN = 5
SPEEDS_SHOWN = 500
OUTCOMES = ("running", "completed", "diverged", "failed", "lost", "released", "cancelled", "late")


VERBS = {
    "drain": Verb(
        steering.drain,
        "Draining: it finishes the tasks it holds and claims no new ones.",
        frozenset({WorkerState.ACTIVE}),
    ),
    "resume": Verb(
        steering.resume,
        "Resumed: it may claim tasks again.",
        frozenset({WorkerState.DRAINING, WorkerState.DISABLED}),
    ),
    "disable": Verb(
        steering.disable,
        "Disabled: its token is rejected from its next request on.",
        frozenset({WorkerState.ACTIVE, WorkerState.DRAINING}),
    ),
    "admit-calibration": Verb(
        steering.admit_calibration, "Admitted: it gets tasks of work budgets from now on."
    ),
}


@reading_page
def worker_list(request: HttpRequest) -> HttpResponse:
    """Show the fleet, the most recently seen worker first; to htmx, only the part that changes.

    People's own programs are listed separately: they are no machines, and they are present only
    while their owner runs them.
    """
    now = timezone.now()
    workers = Worker.objects.order_by("-last_seen_at", "name").prefetch_related(
        "leased_tasks__campaign"
    )
    measured = workers.machines().prefetch_related(fleet.newest_calibrations())
    page = Paginator(measured, WORKERS_PER_PAGE).get_page(request.GET.get("page"))
    machines = list(page.object_list)
    programs = list(workers.programs()[:PROGRAMS_SHOWN])
    rows = fleet.fleet_rows([*machines, *programs], now=now)
    context = {
        "page": page,
        "rows": rows[: len(machines)],
        "programs": rows[len(machines) :],
        "programs_limit": PROGRAMS_SHOWN,
        "totals": fleet.fleet_totals(now=now),
        "invitations": _open_invitations(request),
        "joining": joining_offers(request),
        "now": now,
    }
    return page_or_fragment(request, "workers/list.html", "workers/_list.html", context)


def _open_invitations(request: HttpRequest) -> list[EnrolmentToken]:
    """Return the unused invitations, newest first, for operators; [] for everybody else."""
    if not roles.may_operate(request.user):
        return []
    unused = steering.invitations(signed_in_user(request)).filter(used_at=None)
    return list(unused.order_by("-created_at", "-pk")[:INVITATIONS_SHOWN])


@reading_page
def worker(request: HttpRequest, pk: int) -> HttpResponse:
    """Show one worker: its machine, its speed, its sessions and its attempts."""
    now = timezone.now()
    worker = get_object_or_404(Worker, pk=pk)
    outcome = request.GET.get("outcome", "")
    attempts = worker.attempts.select_related("task__campaign", "task__arm", "result")
    attempts = attempts.order_by("-started_at")
    if outcome in OUTCOMES:
        attempts = attempts.filter(outcome=outcome)
    measure = request.GET.get("speed", "")
    if measure not in MEASURES:
        measure = "tokens"
    speeds = fleet.speeds(worker, limit=SPEEDS_SHOWN)
    page = Paginator(attempts, ATTEMPTS_PER_PAGE).get_page(request.GET.get("page"))
    places = run_places.places_of(list(page.object_list))
    is_paused = worker.paused_until is not None and worker.paused_until > now
    tasks = fleet.held_tasks(worker)
    context = {
        "worker": worker,
        "is_online": worker.is_online(now),
        "is_paused": is_paused,
        "owner_pause": worker.owner_pause(now),
        "has_left": worker.state == WorkerState.DISABLED and worker.pause_reason == LEFT,
        "outdated": why_outdated(worker),
        "verbs": [
            name
            for name, verb in VERBS.items()
            if worker.state in verb.states or (name == "resume" and is_paused)
        ],
        "tasks": tasks,
        # What it holds beyond its places was claimed ahead.
        "running": tasks[: worker.slots],
        "upcoming": [] if worker.slots is None else tasks[worker.slots :],
        "totals": worker.attempts.aggregate(
            attempts=Count("pk"),
            completed=Count("pk", filter=Q(outcome__in=["completed", "diverged"])),
            failed=Count("pk", filter=Q(outcome__in=["failed", "lost"])),
        ),
        "figure": speed_over_time(speeds, measure),
        "median_speed": median_speed(speeds, measure),
        "measure": measure,
        "unit": MEASURES[measure][2],
        "measures": [(name, words) for name, (_, words, _) in MEASURES.items()],
        "speeds_are_latest": len(speeds) == SPEEDS_SHOWN,
        "speeds_limit": SPEEDS_SHOWN,
        "sessions": worker.sessions.all()[:SESSIONS_SHOWN],
        "calibrations": list(worker.calibrations.defer("shapes")[:CALIBRATIONS_SHOWN]),
        "outcome": outcome,
        "outcomes": OUTCOMES,
        "page": page,
        "rows": [(attempt, places.get(attempt.pk)) for attempt in page.object_list],
        "spec": metrics.common(attempt.task.campaign.metric_spec for attempt in page.object_list),
        "now": now,
    }
    return page_or_fragment(request, "workers/worker.html", "workers/_worker.html", context)


@reading_page
def worker_csv(_request: HttpRequest, pk: int) -> StreamingHttpResponse:
    """Send the worker's attempts as a CSV file, oldest first."""
    worker = get_object_or_404(Worker, pk=pk)
    return StreamingHttpResponse(
        fleet.attempts_csv(worker),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="worker-{pk}-attempts.csv"'},
    )


@signed_in
@require_POST
def change_worker(request: HttpRequest, pk: int, verb: str) -> HttpResponse:
    """Apply a verb to a worker for an operator, then show its page."""
    worker = get_object_or_404(Worker, pk=pk)
    try:
        VERBS[verb].run(signed_in_user(request), worker, now=timezone.now())
    except WorkerError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, VERBS[verb].done)
    return redirect("worker", pk=pk)


@signed_in
@require_POST
@never_cache
def rotate_token(request: HttpRequest, pk: int) -> HttpResponse:
    """Replace a worker's token; show the new one, only once, in the command to type."""
    worker = get_object_or_404(Worker, pk=pk)
    try:
        secret = steering.rotate_token(signed_in_user(request), worker, now=timezone.now())
    except WorkerError as error:
        messages.error(request, str(error))
        return redirect("worker", pk=pk)
    url = addresses.reach(request).url or server_url(request)
    context = {"worker": worker, "starts": starts_with_token(url, secret)}
    return render(request, "workers/rotated.html", context)
