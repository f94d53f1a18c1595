"""Shows that statements lead to the same rows and answers as the verbs, for random histories.

A history is done twice from one database: once through the verbs alone, once through statements
where they take a call, and through the verbs where they return None. Then all rows of all tables
must be equal, the journal included. Only keys and lease ids differ; each is replaced by its place.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from django.apps import apps
from django.core.cache import caches
from django.db import models, transaction
from django.test import TestCase

from campaigns.lifecycle import expiry
from campaigns.lifecycle.charges import CHARGES
from tests.lifecycle.statements.agent_calls import VERBS, Call
from tests.lifecycle.statements.random_history import History, new_world

# Returns what the verb of `agent_calls.VERBS` returns; None when it does not take the call.
Statement = Callable[[Call], Any]
STEPS: Final = 70
_APPS: Final = ("campaigns", "workers")
# Columns that no verb writes with its `now`.
_OF_OTHER_CLOCKS: Final = {"campaigns.ResultClass.created_at", "campaigns.NoiseFloor.as_of"}
# One insert has the points of several leases, in any order.
_ORDERS: Final = {"campaigns.ProgressPoint": ["attempt", "seq"]}


@dataclass
class Taken:
    """How many calls of each name there were, and how many of them a statement took."""

    calls: Counter[str] = field(default_factory=Counter)
    taken: Counter[str] = field(default_factory=Counter)

    def share(self, name: str) -> float:
        """Return the share of the calls of this name that the statement took."""
        return self.taken[name] / self.calls[name]


def compare(statements: Mapping[str, Statement], seeds: Iterable[int], steps: int = STEPS) -> Taken:
    """Do a history per seed through verbs and through statements; return who took the calls.

    `statements` are those of the calls in `agent_calls.VERBS`, by name. Call it in a test that may
    write to the database, which it leaves as it was. Raises AssertionError that names the seed, the
    step and what differs.
    """
    taken = Taken()
    for seed in seeds:
        with transaction.atomic():
            world = new_world()
            by_verbs = rows_after(History(world, seed, VERBS), steps)
            doors = {name: _door(name, statements.get(name), taken) for name in VERBS}
            by_statements = rows_after(History(world, seed, doors), steps)
            transaction.set_rollback(True)
        _compare(seed, by_verbs, by_statements)
    return taken


def _door(name: str, statement: Statement | None, taken: Taken) -> Callable[[Call], Any]:
    def door(call: Call) -> Any:
        taken.calls[name] += 1
        answer = None if statement is None else statement(call)
        if answer is None:
            return VERBS[name](call)
        taken.taken[name] += 1
        return answer

    return door


def rows_after(
    history: History, steps: int = STEPS
) -> tuple[list[str], dict[str, list[dict[str, Any]]]]:
    """Do the history in a transaction that is rolled back; return its lines and all rows."""
    for cache in caches.all():
        cache.clear()
    expiry.forget()
    lines = []
    with transaction.atomic():
        for number in range(steps):
            # What is kept for seconds of the real clock would be kept for other steps each time.
            caches["default"].clear()
            caches["speeds"].clear()
            # What is cached after a commit is cached here, too.
            with TestCase.captureOnCommitCallbacks(execute=True):
                lines.append(history.step(number))
            CHARGES.fold()
        rows = all_rows()
        transaction.set_rollback(True)
    return lines, rows


def _compare(seed: int, by_verbs: Any, by_statements: Any) -> None:
    for number, (expected, line) in enumerate(zip(by_verbs[0], by_statements[0], strict=True)):
        assert line == expected, (
            f"seed {seed}, step {number}:\n  verb      {expected}\n  statement {line}"
        )
    differences = [
        difference
        for table, expected in by_verbs[1].items()
        for difference in _differences(table, expected, by_statements[1][table])
    ]
    history = "\n".join(f"  {number}: {line:.160}" for number, line in enumerate(by_verbs[0]))
    assert not differences, "\n".join([f"seed {seed}:", *differences[:40], history])


def _differences(
    table: str, expected: list[dict[str, Any]], rows: list[dict[str, Any]]
) -> Iterable[str]:
    if len(expected) != len(rows):
        yield f"{table}: {len(rows)} rows by statements, {len(expected)} by verbs"
    for place, (left, right) in enumerate(zip(expected, rows, strict=False)):
        for column, value in left.items():
            if right[column] != value:
                yield f"{table} {place}.{column}: verb {value!r}, statement {right[column]!r}"


def all_rows() -> dict[str, list[dict[str, Any]]]:
    """Return all rows of all tables in the order of their keys, with places instead of keys."""
    tables = [model for name in _APPS for model in apps.get_app_config(name).get_models()]
    stored = {
        model: list(
            model._default_manager.order_by(*_ORDERS.get(model._meta.label, ["pk"])).values()
        )
        for model in tables
    }
    places = {
        model: {row[_key(model)]: place for place, row in enumerate(rows)}
        for model, rows in stored.items()
    }
    leases = {
        row["lease_id"]: f"lease {place}"
        for place, row in enumerate(stored[apps.get_model("campaigns.Attempt")])
    }
    return {
        model._meta.label: [_placed(model, row, places, leases) for row in rows]
        for model, rows in stored.items()
    }


def _key(model: type[models.Model]) -> str:
    return str(model._meta.pk.attname)


def _placed(
    model: type[models.Model],
    row: dict[str, Any],
    places: Mapping[type[models.Model], Mapping[Any, int]],
    leases: Mapping[uuid.UUID, str],
) -> dict[str, Any]:
    placed = {}
    for column in model._meta.concrete_fields:
        value = row[column.attname]
        if isinstance(column, models.AutoField) or str(column) in _OF_OTHER_CLOCKS:
            continue
        target = column.related_model
        if isinstance(target, type) and target in places and value is not None:
            value = places[target].get(value, value)
        placed[column.attname] = leases.get(value, value) if isinstance(value, uuid.UUID) else value
    return placed
