"""PostgreSQL's plans of the slowest queries behind each page."""

from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from campaigns.models import Campaign

SLOWEST = 3
WORTH_A_PLAN_SECONDS = 0.001


def explain(campaign: Campaign, username: str) -> None:
    """Request each page in this process, with empty caches; print plans of the slowest queries."""
    visitor = Client(headers={"host": "127.0.0.1"})
    visitor.force_login(User.objects.get(username=username))
    for name in (
        "campaign",
        "campaign-runs",
        "campaign-tasks",
        "campaign-workers",
        "campaign-log",
        "campaigns",
        "overview",
        "api-leaderboard",
        "campaign-analysis",
    ):
        path = reverse(name, args=[campaign.pk] if name not in {"campaigns", "overview"} else [])
        with CaptureQueriesContext(connection) as captured:
            answer = visitor.get(path)
        queries = [query for query in captured.captured_queries if "SELECT" in query["sql"]]
        total = 1000 * sum(float(query["time"]) for query in queries)
        print(f"\n{name}: {answer.status_code}, {len(queries)} queries, {total:.0f} ms in them")
        slow = [query for query in queries if float(query["time"]) >= WORTH_A_PLAN_SECONDS]
        for query in sorted(slow, key=lambda query: -float(query["time"]))[:SLOWEST]:
            print(f"\n  {1000 * float(query['time']):.0f} ms  {query['sql'][:600]}")
            with connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS) {query['sql'].replace('%', '%%')}", ())
                print("\n".join(f"    {line}" for (line,) in cursor.fetchall()))
