"""How the server talks to its database: connection options and limits on statements.

A request that waits for a lock or computes for minutes occupies one of few threads, and a
transaction left open blocks others with its locks. PostgreSQL ends all three after a timeout;
`campaigns.api.errors` answers these errors with 503.
"""

from __future__ import annotations

from typing import Any, Final

from django.db import connections

SQLITE_OPTIONS: Final[dict[str, Any]] = {
    # Take the write lock at BEGIN, where the busy timeout applies. In a deferred transaction, a
    # select followed by an update fails with "database is locked" under load.
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    # FULL, not NORMAL: an acknowledged result must survive a power cut.
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;",
}
# A connection that the network drops silently is noticed after about half a minute.
_KEEPALIVES: Final = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "connect_timeout": 5,
}


def with_limits(
    config: dict[str, Any], *, statement_seconds: float, lock_seconds: float, idle_seconds: float
) -> dict[str, Any]:
    """Return one database's Django settings with our options added; 0 seconds mean no limit."""
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
        # Without this check, the first request after a database restart is answered with 500.
        "CONN_HEALTH_CHECKS": True,
    }


def lift_limits(using: str, **_: Any) -> None:
    """Remove the time limits of a migration: an index on a large table may take minutes.

    Connected to pre_migrate. The limits need no restoring: the migrate command's connection ends
    with it.
    """
    connection = connections[using]
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = 0")
            cursor.execute("SET idle_in_transaction_session_timeout = 0")
