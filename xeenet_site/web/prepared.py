"""Queries whose SQL is written once: a page asks the same again and again, for other rows.

Building a query set and compiling it takes more time than PostgreSQL needs to answer it. A
`Prepared` query does both once per process and database, and then only fills in its `Slot`s.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from django.db import connections
from django.db.models import Expression, Field, QuerySet
from django.db.models.sql.compiler import SQLCompiler

Row = TypeVar("Row")


class Slot(Expression):
    """A value of a prepared query that each run gives: `filter(pk=Slot("pk", BigIntegerField()))`.

    It may stand wherever an expression may, but not in `__in`, whose length would change the SQL.
    `field` says how the value is stored; it must have the type of the column that it meets.
    """

    def __init__(self, name: str, field: Field[Any, Any]) -> None:
        super().__init__(output_field=field)
        self.name = name

    def as_sql(self, *_: Any, **__: Any) -> tuple[str, tuple[Any, ...]]:
        return "%s", (self,)

    @property
    def key(self) -> tuple[Any, ...]:
        """What slots with one value have in common."""
        return self.name, type(self.output_field)

    def value_in(self, values: Mapping[str, Any]) -> Any:
        """Return its value among those of a run. Raises KeyError without one."""
        return values[self.name]


class _Compiled(NamedTuple):
    queryset: QuerySet[Any, Any]
    compiler: SQLCompiler
    sql: str
    params: Sequence[Any]


class Prepared(Generic[Row]):
    """A query that is built and compiled at its first run, and then reused by all threads.

    `build` returns the query set, of model instances or of values, without prefetches. Whatever in
    it differs between two runs must be a `Slot`.
    """

    def __init__(self, build: Callable[[], QuerySet[Any, Row]]) -> None:
        self._build = build
        self._lock = threading.Lock()
        self._kept: _Compiled | None = None

    def rows(self, **values: Any) -> list[Row]:
        """Run the query with these values of its slots. One query. Raises KeyError without one."""
        compiled = self._compiled()
        queryset = compiled.queryset.all()
        connection = connections[queryset.db]
        params = tuple(
            param.output_field.get_db_prep_value(param.value_in(values), connection)
            if isinstance(param, Slot)
            else param
            for param in compiled.params
        )
        compiler = copy.copy(compiled.compiler)
        compiler.connection = connection  # each thread has its own
        compiler.as_sql = lambda *_, **__: (compiled.sql, params)  # type: ignore[method-assign]
        queryset.query.get_compiler = lambda *_, **__: compiler  # type: ignore[method-assign]
        return list(queryset)

    def first(self, **values: Any) -> Row | None:
        """Run the query and return its first row, if any. Its query set has the limit."""
        return next(iter(self.rows(**values)), None)

    def _compiled(self) -> _Compiled:
        with self._lock:
            if self._kept is None:
                queryset = self._build()
                compiler = queryset.query.get_compiler(using=queryset.db)
                self._kept = _Compiled(queryset, compiler, *compiler.as_sql())
            return self._kept
