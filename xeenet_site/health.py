"""Liveness and readiness checks, for process supervisors and load balancers."""

from __future__ import annotations

import logging

from django.db import DatabaseError, InterfaceError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from campaigns.api import unwritable
from xeenet_site.databases import check_writes

logger = logging.getLogger(__name__)


@never_cache
@require_safe
def healthz(_request: HttpRequest) -> JsonResponse:
    """Answer 200 as long as this process can answer; checks nothing that a restart cannot fix."""
    return JsonResponse({"status": "ok"})


@never_cache
@require_safe
def readyz(_request: HttpRequest) -> JsonResponse:
    """Answer 200 when the database answers, has all migrations and takes changes, else 503.

    The 503 names the part that is not ready.
    """
    try:
        executor = MigrationExecutor(connection)
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except (DatabaseError, InterfaceError) as error:
        # The driver's message names hosts and users: only log it.
        logger.warning("not ready: %s", str(error).strip())
        problem = unwritable.write_problem(error)
        return _not_ready(
            {"database": _words(problem) if problem else "does not answer", "migrations": "unknown"}
        )
    if missing:
        names = ", ".join(f"{migration.app_label}.{migration.name}" for migration, _ in missing)
        logger.warning("not ready: migrations are missing: %s", names)
        return _not_ready(
            {"database": "ok", "migrations": f"{len(missing)} missing: run manage.py migrate"}
        )
    if problem := _write_problem():
        return _not_ready({"database": _words(problem), "migrations": "ok"})
    return JsonResponse({"status": "ok", "database": "ok", "migrations": "ok"})


def _words(problem: str) -> str:
    return f"{problem}: nothing can be stored"


def _write_problem() -> str:
    """Return why the database takes no changes now, or took none from a recent request; or ""."""
    if problem := unwritable.sqlite_problem():
        logger.warning("not ready: the database %s", problem)
        return problem
    try:
        check_writes()
    except (DatabaseError, InterfaceError) as error:
        logger.warning("not ready: %s", str(error).strip())
        return unwritable.write_problem(error) or "fails"
    if problem := unwritable.recent_problem():
        logger.warning("not ready: a request was just told that the database %s", problem)
        return problem
    return ""


def _not_ready(parts: dict[str, str]) -> JsonResponse:
    return JsonResponse({"status": "not ready", **parts}, status=503, headers={"Retry-After": "2"})
