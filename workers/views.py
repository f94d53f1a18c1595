"""The pages of workers: the fleet, one worker, and the invitation of a new one."""

from __future__ import annotations

from django.core.paginator import Paginator
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from workers import steering
from workers.models import Worker, WorkerState
from workers.pages import page_or_fragment, reading_page, signed_in, signed_in_user

WORKERS_PER_PAGE = 50
ATTEMPTS_PER_PAGE = 30
SESSIONS_SHOWN = 5


@reading_page
def worker_list(request: HttpRequest) -> HttpResponse:
    """Show the fleet, the workers heard of last first; with htmx the table alone."""
    now = timezone.now()
    workers = Worker.objects.order_by("-last_seen_at", "name").prefetch_related(
        "leased_tasks__campaign"
    )
    page = Paginator(workers, WORKERS_PER_PAGE).get_page(request.GET.get("page"))
    context = {
        "page": page,
        "rows": [(worker, worker.is_online(now)) for worker in page.object_list],
        "online": Worker.objects.online(now).count(),
        "server_url": request.build_absolute_uri("/").rstrip("/"),
        "now": now,
    }
    return page_or_fragment(request, "workers/list.html", "workers/_list.html", context)


@reading_page
def worker(request: HttpRequest, pk: int) -> HttpResponse:
    """Show one worker: its machine, what it holds, when it was here and all its attempts."""
    now = timezone.now()
    shown = get_object_or_404(Worker, pk=pk)
    attempts = shown.attempts.select_related("task__campaign", "result").order_by("-started_at")
    context = {
        "worker": shown,
        "is_online": shown.is_online(now),
        "is_paused": shown.paused_until is not None and shown.paused_until > now,
        "tasks": shown.leased_tasks.select_related("campaign"),
        "totals": shown.attempts.aggregate(
            attempts=Count("pk"),
            completed=Count("pk", filter=Q(outcome="completed")),
            failed=Count("pk", filter=Q(outcome__in=["failed", "lost"])),
        ),
        "sessions": shown.sessions.all()[:SESSIONS_SHOWN],
        "page": Paginator(attempts, ATTEMPTS_PER_PAGE).get_page(request.GET.get("page")),
        "disabled": shown.state == WorkerState.DISABLED,
        "now": now,
    }
    return render(request, "workers/worker.html", context)


@signed_in
@require_POST
@never_cache
def invite(request: HttpRequest) -> HttpResponse:
    """Make an enrolment token and show it, this once, inside the command to type."""
    token, secret = steering.invite(signed_in_user(request), now=timezone.now())
    context = {
        "token": token,
        "secret": secret,
        "server_url": request.build_absolute_uri("/").rstrip("/"),
        "now": timezone.now(),
    }
    return render(request, "workers/invited.html", context)
