"""What the admin pages of campaigns share: actions that apply a verb to each selected row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest

from campaigns.clock import database_now
from campaigns.lifecycle import LifecycleError
from workers.admin_base import apply_to_each


def apply(request: HttpRequest, rows: QuerySet[Any], verb: Callable[..., Any], done: str) -> None:
    """Apply a verb to each row, at the database's time.

    The message to the person is the number of changed rows, followed by `done`.
    """
    apply_to_each(request, rows, verb, done, LifecycleError, now=database_now())
