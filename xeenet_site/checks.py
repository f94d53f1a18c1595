"""System checks for settings that would start but fail later in an unexpected way.

Django runs them before every command, so a misconfigured installation does not start.
"""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register

MIN_SECRET_LENGTH: Final = 50
MIN_SECRET_CHARACTERS: Final = 5
MIN_METRICS_TOKEN_LENGTH: Final = 20
# With fewer than three, one lost and one slow heartbeat cost a healthy worker its task.
HEARTBEATS_PER_LEASE: Final = 3


@register()
def check_durations(**_: Any) -> list[CheckMessage]:
    """Every duration and rate is positive, and a lease outlives two missed heartbeats."""
    times: dict[str, Any] = settings.XEENET
    errors: list[CheckMessage] = [
        Error(
            f"XEENET[{name!r}] is {times[name]}, but must be above 0.",
            hint=f"Set XEENET_{name} to a positive number, or unset it for the default.",
            id="xeenet.E001",
        )
        for name in times
        if name.endswith(("_SECONDS", "_HOURS", "_PER_SECOND")) and not times[name] > 0
    ]
    if times["LEASE_SECONDS"] < HEARTBEATS_PER_LEASE * times["HEARTBEAT_SECONDS"]:
        errors.append(
            Error(
                f"A lease of {times['LEASE_SECONDS']:g} s is shorter than {HEARTBEATS_PER_LEASE} "
                f"heartbeats of {times['HEARTBEAT_SECONDS']:g} s: healthy workers would lose "
                "their tasks.",
                hint="Raise XEENET_LEASE_SECONDS or lower XEENET_HEARTBEAT_SECONDS.",
                id="xeenet.E002",
            )
        )
    if times["FLEET_SILENCE_SECONDS"] <= times["LEASE_SECONDS"]:
        errors.append(
            Error(
                f"Ephemeral workers are retired after {times['FLEET_SILENCE_SECONDS']:g} s of "
                f"silence, within a lease of {times['LEASE_SECONDS']:g} s: a missed heartbeat "
                "would end them.",
                hint="Raise XEENET_FLEET_SILENCE_SECONDS above XEENET_LEASE_SECONDS.",
                id="xeenet.E011",
            )
        )
    return errors


@register()
def check_limits(**_: Any) -> list[CheckMessage]:
    """Limits are in their valid range, and the metrics token is too long to be guessed."""
    limits: dict[str, Any] = settings.XEENET
    least = {name: 0 for name in limits if name.endswith("_PER_MINUTE")}
    least |= {"SIGN_IN_TRIES": 1, "TRUSTED_PROXIES": 0}
    errors: list[CheckMessage] = [
        Error(
            f"XEENET[{name!r}] is {limits[name]}, but must be at least {smallest}.",
            hint=f"Set XEENET_{name} to a whole number, or unset it for the default.",
            id="xeenet.E009",
        )
        for name, smallest in least.items()
        if limits[name] < smallest
    ]
    if 0 < len(limits["METRICS_TOKEN"]) < MIN_METRICS_TOKEN_LENGTH:
        errors.append(
            Error(
                "XEENET['METRICS_TOKEN'] is short enough to be guessed.",
                hint=f"Set XEENET_METRICS_TOKEN to {MIN_METRICS_TOKEN_LENGTH} random characters "
                "or more, or unset it.",
                id="xeenet.E010",
            )
        )
    return errors


@register()
def check_q_cluster(**_: Any) -> list[CheckMessage]:
    """django-q2 neither restarts a job that still runs nor repeats a failed one endlessly."""
    cluster: dict[str, Any] = settings.Q_CLUSTER
    errors: list[CheckMessage] = []
    if not cluster.get("timeout") or cluster.get("retry", 0) <= cluster["timeout"]:
        errors.append(
            Error(
                f"Q_CLUSTER: retry ({cluster.get('retry')}) does not exceed timeout "
                f"({cluster.get('timeout')}): a job that is still running would start again.",
                hint='Give a "timeout", and a "retry" well above it.',
                id="xeenet.E003",
            )
        )
    if not cluster.get("ack_failures") or cluster.get("max_attempts", 0) < 1:
        errors.append(
            Error(
                "Q_CLUSTER: a job that fails would be repeated without end.",
                hint='Set "ack_failures": True and "max_attempts": 1; the next minute\'s run '
                "repeats the work anyway.",
                id="xeenet.E004",
            )
        )
    return errors


@register()
def check_databases(**_: Any) -> list[CheckMessage]:
    """SQLite takes its write lock at BEGIN; persistent connections are checked before use."""
    errors: list[CheckMessage] = []
    for alias, config in settings.DATABASES.items():
        if config["ENGINE"] == "django.db.backends.sqlite3":
            if config.get("OPTIONS", {}).get("transaction_mode", "").upper() != "IMMEDIATE":
                errors.append(
                    Error(
                        f"DATABASES[{alias!r}] is SQLite without transaction_mode IMMEDIATE: "
                        'claims would fail with "database is locked" under load.',
                        hint='Set OPTIONS["transaction_mode"] = "IMMEDIATE".',
                        id="xeenet.E005",
                    )
                )
        elif config.get("CONN_MAX_AGE", 0) != 0 and not config.get("CONN_HEALTH_CHECKS"):
            errors.append(
                Error(
                    f"DATABASES[{alias!r}] keeps connections (CONN_MAX_AGE) without "
                    "CONN_HEALTH_CHECKS: the first request after a database restart would fail.",
                    hint="Set CONN_HEALTH_CHECKS = True.",
                    id="xeenet.E006",
                )
            )
    return errors


@register(Tags.security)
def check_secret_key(**_: Any) -> list[CheckMessage]:
    """Outside DEBUG, SECRET_KEY is long and random: it signs sessions and q-cluster jobs."""
    secret = settings.SECRET_KEY
    weak = (
        len(secret) < MIN_SECRET_LENGTH
        or len(set(secret)) < MIN_SECRET_CHARACTERS
        or secret.startswith("django-insecure-")
    )
    if settings.DEBUG or not weak:
        return []
    return [
        Error(
            "SECRET_KEY is short or a placeholder, and DEBUG is off: sessions could be forged.",
            hint=f"Set SECRET_KEY to at least {MIN_SECRET_LENGTH} random characters.",
            id="xeenet.E007",
        )
    ]


@register()
def check_time_zone(**_: Any) -> list[CheckMessage]:
    """Instants are stored and compared in UTC."""
    if settings.USE_TZ and settings.TIME_ZONE == "UTC":
        return []
    return [
        Error(
            "USE_TZ must be True and TIME_ZONE 'UTC': leases and deadlines are compared in UTC.",
            id="xeenet.E008",
        )
    ]
