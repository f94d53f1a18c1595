"""What the admin pages of campaigns share: a verb done to each chosen row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest

from campaigns.clock import database_now
from campaigns.lifecycle import LifecycleError
from workers.admin_base import apply_to_each


def apply(request: HttpRequest, rows: QuerySet[Any], verb: Callable[..., Any], done: str) -> None:
    """Do a verb to each row, at the database's time; `done` is said with how many it changed."""
    apply_to_each(request, rows, verb, done, LifecycleError, now=database_now())
