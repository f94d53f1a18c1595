"""Figures for Prometheus: the state of the work from the database, requests from the process.

The database's figures are read at each scrape, so all web servers report the same. Requests are
counted in memory. When a server has several processes, their counts are added up through files,
one per process, in the folder that PROMETHEUS_MULTIPROC_DIR names.
"""

from __future__ import annotations

import datetime as dt
import hmac
import ipaddress
import os
from collections.abc import Iterator
from typing import Final

from django.conf import settings
from django.db.models import Count, F, Min, Q
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
)
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from campaigns.clock import database_now
from campaigns.fleet.demand import demand
from campaigns.models import (
    Attempt,
    AttemptOutcome,
    Campaign,
    CampaignState,
    DeliveryState,
    Result,
    Task,
    TaskState,
    WebhookDelivery,
)
from campaigns.models.task import oldest_of, since_when_due
from campaigns.standings.progress import outlook
from workers.fleet import fleet_totals
from workers.fleet_token import FleetToken
from workers.models import Worker, WorkerState

MULTIPROCESS_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

# Each costs some queries per scrape.
MOST_FLEETS: Final = 20
# The keys of `protocol.FleetDemand` that are numbers.
_DEMAND: Final = {
    "claimable": "Tasks that the workers of a fleet could claim now.",
    "leased": "Tasks that the workers of a fleet hold.",
    "oldest_wait_seconds": "How long the oldest claimable task of a fleet waits; 0 without one.",
    "live_workers": "Workers of a fleet that called within the lease time.",
    "wanted_workers": "Workers that a fleet should have.",
    "max_live": "Workers that a fleet may have.",
}

REQUESTS: Final = Counter("xeenet_requests", "Requests answered.", ["method", "route", "status"])
SECONDS: Final = Histogram(
    "xeenet_request_seconds", "Time to answer, streaming aside.", ["route"], buckets=_BUCKETS
)


def count_request(request: HttpRequest, status: int, seconds: float) -> None:
    """Count one request. No label has a value that callers can choose freely (unbounded series)."""
    match = request.resolver_match
    route = match.route if match is not None else "(none)"
    method = request.method if request.method in _METHODS else "(other)"
    REQUESTS.labels(method, route, str(status)).inc()
    SECONDS.labels(route).observe(seconds)


class DatabaseFigures(Collector):
    """The state of campaigns, fleet and jobs at the moment of the scrape."""

    def describe(self) -> list[Metric]:
        """Return nothing: otherwise the registry would query the database when it registers us."""
        return []

    def collect(self) -> Iterator[Metric]:
        now = database_now()
        yield from _work(now)
        yield from _fleet(now)
        yield from _fleets(now)
        yield from _progress(now)
        yield from _jobs(now)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"xeenet_{name}", text, value=value)


def _counted(name: str, text: str, label: str, counts: dict[str, int]) -> Metric:
    family = GaugeMetricFamily(f"xeenet_{name}", text, labels=[label])
    for value, number in counts.items():
        family.add_metric([value], number)
    return family


def _work(now: dt.datetime) -> Iterator[Metric]:
    tasks = dict(Task.objects.order_by().values_list("state").annotate(number=Count("*")))
    yield _counted("tasks", "Tasks by state.", "state", dict.fromkeys(TaskState.values, 0) | tasks)
    attempts = dict(Attempt.objects.order_by().values_list("outcome").annotate(number=Count("*")))
    known = dict.fromkeys(AttemptOutcome.values, 0)
    yield _counted("attempts", "Attempts by outcome.", "outcome", known | attempts)
    overdue = Task.objects.overdue(now).count()
    leases = {"live": tasks.get(TaskState.LEASED.value, 0) - overdue, "overdue": overdue}
    yield _counted("leases", "Leases, and those that ran out unswept.", "state", leases)
    active = Campaign.objects.filter(state=CampaignState.ACTIVE).only("pk").order_by()
    times = map(oldest_of, active.annotate(**since_when_due(now)))
    since = min((time for time in times if time is not None), default=now)
    age = (now - since).total_seconds()
    yield _gauge("oldest_pending_seconds", "How long the oldest task of those due waits.", age)
    simulated = dict(Result.objects.order_by().values_list("simulated").annotate(number=Count("*")))
    kinds = {"measured": simulated.get(False, 0), "simulated": simulated.get(True, 0)}
    yield _counted("results", "Accepted results.", "kind", kinds)


def _fleet(now: dt.datetime) -> Iterator[Metric]:
    workers = Worker.objects.machines()
    states = dict(workers.order_by().values_list("state").annotate(number=Count("*")))
    known = {state.value: 0 for state in WorkerState if state != WorkerState.RETIRED}
    yield _counted("workers", "Workers by state.", "state", known | states)
    yield _gauge("workers_online", "Workers heard of lately.", workers.online(now).count())
    slots = fleet_totals(now=now)["slots"]
    yield _gauge("slots_online", "How many tasks these run at a time.", slots)


def _fleets(now: dt.datetime) -> Iterator[Metric]:
    """Tell the demand of the open fleet tokens used last, by number and label: operators make them.

    The same figures as `GET fleet/demand`.
    """
    open_tokens = Q(expires_at=None) | Q(expires_at__gt=now)
    tokens = FleetToken.objects.filter(open_tokens, revoked_at=None)
    latest = tokens.order_by(F("last_used_at").desc(nulls_last=True), "-pk")[:MOST_FLEETS]
    demands = [(str(token.pk), str(token), demand(token, now=now)) for token in latest]
    for name, text in _DEMAND.items():
        family = GaugeMetricFamily(f"xeenet_fleet_{name}", text, labels=["fleet", "label"])
        for number, label, figures in demands:
            family.add_metric([number, label], float(figures[name] or 0))  # type: ignore[literal-required]
        yield family


def _progress(now: dt.datetime) -> Iterator[Metric]:
    """Tell when the active campaigns are done. No label names them: their number is unbounded."""
    active = Campaign.objects.filter(state=CampaignState.ACTIVE).select_related("package")
    known = outlook(list(active.defer("package__source")), now=now).forecasts.values()
    stopped = sum(forecast.is_stopped for forecast in known)
    yield _gauge("campaigns_stopped", "Active campaigns that no worker takes tasks of.", stopped)
    longest = max((forecast.eta_seconds or 0.0 for forecast in known), default=0.0)
    yield _gauge("eta_seconds", "Until the last active campaign that has a time is done.", longest)


def _jobs(now: dt.datetime) -> Iterator[Metric]:
    # Imported here: django-q2 reads the settings on import.
    from django_q.models import OrmQ, Schedule

    from campaigns.jobs import SCHEDULES

    pending = WebhookDelivery.objects.filter(state=DeliveryState.PENDING).count()
    yield _gauge("webhooks_pending", "Webhook deliveries not yet made.", pending)
    yield _gauge("jobs_waiting", "Background jobs in the queue.", OrmQ.objects.count())
    ours = Schedule.objects.filter(func__in=SCHEDULES.values())
    due = ours.aggregate(due=Min("next_run"))["due"]
    overdue = max(0.0, (now - due).total_seconds()) if due else float("inf")
    text = "How long the oldest schedule is overdue: more than 180 says that no q-cluster runs."
    yield _gauge("jobs_overdue_seconds", text, overdue)


@never_cache
@require_safe
def metrics_page(request: HttpRequest) -> HttpResponse:
    """Answer a scrape that has the token; if none is set, only from this machine in development."""
    if not _may_scrape(request):
        return HttpResponse(
            "Metrics need the token of XEENET_METRICS_TOKEN as “Authorization: Bearer …”. Without "
            "that setting, only a development server shows them, and only to its own machine.\n",
            status=403,
            content_type="text/plain; charset=utf-8",
        )
    database = CollectorRegistry()
    database.register(DatabaseFigures())
    text = generate_latest(database) + generate_latest(_process_registry())
    return HttpResponse(text, content_type=CONTENT_TYPE_LATEST)


def _process_registry() -> CollectorRegistry:
    if not os.environ.get(MULTIPROCESS_VARIABLE):
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry


def _may_scrape(request: HttpRequest) -> bool:
    token: str = settings.XEENET["METRICS_TOKEN"]
    if token:
        given = request.headers.get("Authorization", "")
        return hmac.compare_digest(given.encode(), f"Bearer {token}".encode())
    # Behind a proxy every request comes from this machine, so production always needs a token.
    if settings.PRODUCTION:
        return False
    try:
        return ipaddress.ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False
