"""Liveness and readiness checks, for process supervisors and load balancers."""

from __future__ import annotations

import logging

from django.db import DatabaseError, InterfaceError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

logger = logging.getLogger(__name__)


@never_cache
@require_safe
def healthz(_request: HttpRequest) -> JsonResponse:
    """Answer 200 as long as this process can answer; checks nothing that a restart cannot fix."""
    return JsonResponse({"status": "ok"})


@never_cache
@require_safe
def readyz(_request: HttpRequest) -> JsonResponse:
    """Answer 200 when the database answers and has all migrations, else 503.

    The 503 names the part that is not ready.
    """
    try:
        executor = MigrationExecutor(connection)
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except (DatabaseError, InterfaceError) as error:
        # The driver's message names hosts and users: only log it.
        logger.warning("not ready: %s", str(error).strip())
        return _not_ready({"database": "does not answer", "migrations": "unknown"})
    if missing:
        names = ", ".join(f"{migration.app_label}.{migration.name}" for migration, _ in missing)
        logger.warning("not ready: migrations are missing: %s", names)
        return _not_ready(
            {"database": "ok", "migrations": f"{len(missing)} missing: run manage.py migrate"}
        )
    return JsonResponse({"status": "ok", "database": "ok", "migrations": "ok"})


def _not_ready(parts: dict[str, str]) -> JsonResponse:
    return JsonResponse({"status": "not ready", **parts}, status=503, headers={"Retry-After": "2"})
