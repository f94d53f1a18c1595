"""campaigns.clock: the database's time, timezone-aware, which advances within a transaction."""

from __future__ import annotations

import datetime as dt

import pytest
import time_machine
from django.utils import timezone

from campaigns.clock import database_now

pytestmark = pytest.mark.django_db


def test_the_time_is_aware_and_in_utc_and_the_present() -> None:
    now = database_now()
    assert now.utcoffset() == dt.timedelta(0)
    assert abs(now - timezone.now()) < dt.timedelta(seconds=60)


def test_time_moves_on_inside_a_transaction() -> None:
    first = database_now()
    while (second := database_now()) == first:
        pass
    assert second > first


@pytest.mark.postgresql_only
def test_a_web_server_whose_own_clock_is_wrong_still_tells_the_databases_time() -> None:
    before = database_now()
    with time_machine.travel("2001-01-01", tick=True):
        meanwhile = database_now()
    assert dt.timedelta(0) <= meanwhile - before < dt.timedelta(seconds=60)


@pytest.mark.sqlite_only
def test_on_sqlite_the_clock_of_the_process_is_the_databases() -> None:
    with time_machine.travel(dt.datetime(2030, 1, 1, tzinfo=dt.UTC), tick=False):
        assert database_now() == dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
