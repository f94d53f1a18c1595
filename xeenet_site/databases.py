"""How the server talks to its database: connections, and limits on what a statement may cost.

A request that waits for a lock or computes for minutes holds one of few threads, and a transaction
that was forgotten holds locks of others. PostgreSQL ends all three by itself; the errors are
answered with 503 by `campaigns.api.errors`.
"""

from __future__ import annotations

from typing import Any, Final

from django.db import connections

SQLITE_OPTIONS: Final[dict[str, Any]] = {
    # Select-then-update in a deferred transaction ends in "database is locked" under load: take
    # the write lock at BEGIN, where the busy timeout can wait for it.
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    # FULL and not NORMAL: an acknowledged result must survive a power cut.
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;",
}
# Must the network drop a connection silently, it is noticed in about half a minute.
_KEEPALIVES: Final = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "connect_timeout": 5,
}


def with_limits(
    config: dict[str, Any], *, statement_seconds: float, lock_seconds: float, idle_seconds: float
) -> dict[str, Any]:
    """Return Django's settings of one database with our options; 0 seconds for no limit."""
    if config["ENGINE"] == "django.db.backends.sqlite3":
        return config | {"OPTIONS": SQLITE_OPTIONS}
    limits = {
        "statement_timeout": statement_seconds,
        "lock_timeout": lock_seconds,
        "idle_in_transaction_session_timeout": idle_seconds,
    }
    flags = " ".join(f"-c {name}={round(1000 * value)}" for name, value in limits.items())
    given: dict[str, Any] = config.get("OPTIONS", {})
    own = " ".join(filter(None, (flags, given.get("options"))))
    return config | {
        "OPTIONS": {**_KEEPALIVES, **given, "options": own},
        "CONN_MAX_AGE": 60,
        # Without it the first request after a database restart is a 500.
        "CONN_HEALTH_CHECKS": True,
    }


def lift_limits(using: str, **_: Any) -> None:
    """Let a migration take as long as it needs: an index on a large table may take minutes.

    Connected to pre_migrate; the command ends with its connection.
    """
    connection = connections[using]
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = 0")
            cursor.execute("SET idle_in_transaction_session_timeout = 0")
