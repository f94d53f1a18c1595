"""Liveness and readiness, for whoever restarts processes and routes requests."""

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
    """Say that this process answers; it asks nobody else, so a restart helps when it does not."""
    return JsonResponse({"status": "ok"})


@never_cache
@require_safe
def readyz(_request: HttpRequest) -> JsonResponse:
    """Say whether requests should come here: the database answers and its tables are up to date.

    503 with the part that is not ready.
    """
    try:
        executor = MigrationExecutor(connection)
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except (DatabaseError, InterfaceError) as error:
        # The driver's text names hosts and users: it is for the log.
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
