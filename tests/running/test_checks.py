"""System checks: each wrong combination of settings is reported, and the defaults pass."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import run_checks

SQLITE = {"ENGINE": "django.db.backends.sqlite3", "NAME": "x"}
POSTGRESQL = {"ENGINE": "django.db.backends.postgresql", "NAME": "x"}


def reported_errors() -> list[str]:
    """Return the ids of our system checks that fail."""
    return [message.id for message in run_checks() if str(message.id).startswith("xeenet.")]


def test_the_shipped_settings_are_sound() -> None:
    assert reported_errors() == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"LEASE_SECONDS": 29.9}, ["xeenet.E002"]),
        ({"FLEET_SILENCE_SECONDS": 45.0}, ["xeenet.E011"]),
        ({"LEASE_SECONDS": 30.0}, []),
        ({"HEARTBEAT_SECONDS": 15.1}, ["xeenet.E002"]),
        ({"HEARTBEAT_SECONDS": 0.0}, ["xeenet.E001"]),
        ({"HEARTBEATS_PER_SECOND": 0.0}, ["xeenet.E001"]),
        ({"KILL_GRACE_SECONDS": -1.0}, ["xeenet.E001"]),
        ({"IDLE_WAIT_SECONDS": float("nan")}, ["xeenet.E001"]),
        ({"ENROLMENT_TOKEN_HOURS": 0}, ["xeenet.E001"]),
    ],
)
def test_durations_must_be_positive_and_a_lease_three_heartbeats_long(
    settings: Any, changes: dict[str, float], expected: list[str]
) -> None:
    settings.XEENET = settings.XEENET | changes
    assert reported_errors() == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"SIGN_IN_TRIES": 0}, ["xeenet.E009"]),
        ({"CLAIMS_PER_MINUTE": -1}, ["xeenet.E009"]),
        ({"CLAIMS_PER_MINUTE": 0, "SIGN_IN_TRIES": 1}, []),
        ({"TRUSTED_PROXIES": -1}, ["xeenet.E009"]),
        ({"METRICS_TOKEN": "short"}, ["xeenet.E010"]),
        ({"METRICS_TOKEN": "x" * 20}, []),
    ],
)
def test_limits_must_mean_something_and_the_metrics_key_be_long(
    settings: Any, changes: dict[str, Any], expected: list[str]
) -> None:
    settings.XEENET = settings.XEENET | changes
    assert reported_errors() == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"retry": 50}, ["xeenet.E003"]),
        ({"retry": 51}, []),
        ({"timeout": None}, ["xeenet.E003"]),
        ({"ack_failures": False}, ["xeenet.E004"]),
        ({"max_attempts": 0}, ["xeenet.E004"]),
    ],
)
def test_the_q_cluster_must_not_repeat_a_running_or_a_failed_job(
    settings: Any, changes: dict[str, Any], expected: list[str]
) -> None:
    settings.Q_CLUSTER = settings.Q_CLUSTER | changes
    assert reported_errors() == expected


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (SQLITE, ["xeenet.E005"]),
        (SQLITE | {"OPTIONS": {"transaction_mode": "DEFERRED"}}, ["xeenet.E005"]),
        (SQLITE | {"OPTIONS": {"transaction_mode": "immediate"}}, []),
        (POSTGRESQL, []),
        (POSTGRESQL | {"CONN_MAX_AGE": 60}, ["xeenet.E006"]),
        (POSTGRESQL | {"CONN_MAX_AGE": None}, ["xeenet.E006"]),
        (POSTGRESQL | {"CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}, []),
    ],
)
def test_a_database_must_neither_lock_nor_keep_dead_connections(
    monkeypatch: pytest.MonkeyPatch, settings: Any, config: dict[str, Any], expected: list[str]
) -> None:
    # Do not assign settings.DATABASES: Django warns that it cannot undo that.
    monkeypatch.setitem(settings.DATABASES, "default", config)
    assert reported_errors() == expected


@pytest.mark.parametrize(
    ("secret", "debug", "expected"),
    [
        ("django-insecure-" + "abcdefghij" * 6, False, ["xeenet.E007"]),
        ("changeme", False, ["xeenet.E007"]),
        ("x" * 60, False, ["xeenet.E007"]),
        ("changeme", True, []),
        ("abcdefghij" * 6, False, []),
    ],
)
def test_without_debug_the_secret_must_be_a_real_one(
    settings: Any, secret: str, debug: bool, expected: list[str]
) -> None:
    settings.SECRET_KEY = secret
    settings.DEBUG = debug
    assert reported_errors() == expected


def test_the_time_zone_must_be_utc(settings: Any) -> None:
    settings.TIME_ZONE = "Europe/Berlin"
    assert reported_errors() == ["xeenet.E008"]
