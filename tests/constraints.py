"""Constraints that the database is asked about only once for equal values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import DEFAULT_DB_ALIAS
from django.db.models import Q

_check = Q.check
_checked: dict[tuple[Any, ...], bool] = {}


def check_once(condition: Q, against: Mapping[str, Any], using: str = DEFAULT_DB_ALIAS) -> bool:
    """Ask the database about a constraint of a new campaign only once for equal values.

    Django asks with a query for each constraint, half of what a campaign costs. Whether values
    fulfil a constraint depends on nothing else.
    """
    read = {name: against[name] for name in condition.referenced_base_fields if name in against}
    # Values are of a column's type, so that 1 and True, or 1 and "1", differ.
    key = (repr(condition), *sorted((name, repr(value)) for name, value in read.items()))
    if key not in _checked:
        _checked[key] = _check(condition, against, using)
    return _checked[key]
