"""How the server talks to its database: connection options and limits on statements.

A request that waits for a lock or computes for minutes occupies one of few threads, and a
transaction left open blocks others with its locks. PostgreSQL ends all three after a timeout;
`campaigns.api.errors` answers these errors with 503.
"""

from __future__ import annotations

from typing import Any, Final

from django.db import OperationalError, connection, connections, transaction

SQLITE_OPTIONS: Final[dict[str, Any]] = {
    # Take the write lock at BEGIN, where the busy timeout applies. In a deferred transaction, a
    # select followed by an update fails with "database is locked" under load.
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    # FULL, not NORMAL: an acknowledged result must survive a power cut.
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;",
}
# What the probe asks SQLite for.
_PROBE_BYTES: Final = 256 * 1024
# The probe does not wait long for a lock that others hold.
_BUSY_MILLISECONDS: Final = 1000
_NO_CHANGE: Final = "UPDATE xeenet_site_signintry SET address = address WHERE id = -1"
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
    # Compiling a query that passes over many rows takes longer than interpreting it: 4 s of 6.
    flags += " -c jit=off"
    given: dict[str, Any] = config.get("OPTIONS", {})
    own = " ".join(filter(None, (flags, given.get("options"))))
    return config | {
        "ENGINE": "xeenet_site.postgresql",
        # Whoever opens a cursor that binds on the server has its statements prepared at once. The
        # ORM's own cursors bind in the client and prepare nothing.
        "OPTIONS": {"prepare_threshold": 0, **_KEEPALIVES, **given, "options": own},
        "CONN_MAX_AGE": 60,
        # Without this check, the first request after a database restart is answered with 500. Our
        # engine makes it without asking the server.
        "CONN_HEALTH_CHECKS": True,
    }


def check_writes() -> None:
    """Raise DatabaseError when the database would refuse changes: it is read-only, or full.

    Changes nothing. A database that others keep locked counts as writable.
    """
    if connection.vendor == "sqlite":
        _check_sqlite_writes()
        return
    with transaction.atomic(), connection.cursor() as cursor:
        # PostgreSQL refuses it in a read-only transaction, whether or not it changes a row.
        cursor.execute(_NO_CHANGE)
        # A sort that does not fit into its memory goes to the disk, which must have room for it.
        cursor.execute("SET LOCAL work_mem = '64kB'")
        cursor.execute(
            "SELECT count(*) FROM (SELECT number FROM generate_series(1, 8000) AS number "
            "ORDER BY md5(number::text)) AS sorted"
        )


def _check_sqlite_writes() -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS}")
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_NO_CHANGE)
            # SQLite looks for room when it is given pages, and takes them back at the rollback.
            cursor.execute(
                "INSERT INTO xeenet_site_signintry (name_sha256, address, at) "
                "VALUES (zeroblob(%s), '127.0.0.1', '2000-01-01')",
                [_PROBE_BYTES],
            )
            transaction.set_rollback(True)
    except OperationalError as error:
        if "locked" not in str(error):
            raise
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"PRAGMA busy_timeout = {1000 * SQLITE_OPTIONS['timeout']}")


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
