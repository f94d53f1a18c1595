"""``manage.py expire_leases``."""

from __future__ import annotations

import datetime as dt
from io import StringIO

import pytest
from django.core.management import call_command
from django.utils import timezone

from campaigns.models import AttemptOutcome, TaskState
from tests import factories

pytestmark = pytest.mark.django_db


def expire() -> str:
    output = StringIO()
    call_command("expire_leases", stdout=output)
    return output.getvalue()


def test_a_task_whose_worker_went_silent_waits_again() -> None:
    attempt = factories.leased_task(now=timezone.now() - dt.timedelta(hours=1))
    assert "1 leases expired" in expire()
    attempt.refresh_from_db()
    assert attempt.outcome == AttemptOutcome.LOST
    assert attempt.task.state == TaskState.PENDING


def test_a_live_lease_is_left_alone() -> None:
    attempt = factories.leased_task(now=timezone.now())
    assert "0 leases expired" in expire()
    attempt.task.refresh_from_db()
    assert attempt.task.state == TaskState.LEASED
