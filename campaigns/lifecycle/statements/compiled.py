"""SQL that the ORM puts together once, from the verbs' own querysets, and that runs many times.

A queryset is built with a `Slot` wherever a value differs from call to call. All other values of
it become literals, so that PostgreSQL can use the partial indexes in a prepared statement.
"""

from __future__ import annotations

import datetime as dt
import string
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Generic, TypeVar

from django.db import DEFAULT_DB_ALIAS, connection, connections, models
from django.db.models.expressions import Expression
from django.db.models.query import get_related_populators
from django.db.models.sql import UpdateQuery

from campaigns.lifecycle.statements import prepared
from xeenet_site.web.prepared import Slot

M = TypeVar("M", bound=models.Model)
_FORMATTER: Final = string.Formatter()
# Stands for a limit until its slot does.
_A_LIMIT: Final = 1_000_003
# Values that these fields hand to PostgreSQL's driver as they are; asking them takes longer.
_UNCHANGED: Final[dict[type[Any], tuple[type[Any], ...]]] = {
    models.UUIDField: (uuid.UUID,),
    models.CharField: (str,),
    models.TextField: (str,),
    models.BigIntegerField: (int,),
    models.BooleanField: (bool,),
}


class Instant(Slot):
    """The instant in the slot of this name, or so long before it. Subtract a time, as from one."""

    def __init__(self, name: str, before: dt.timedelta = dt.timedelta()) -> None:
        super().__init__(name, models.DateTimeField())
        self.before = before

    @property
    def key(self) -> tuple[Any, ...]:
        return *super().key, self.before

    def __sub__(self, other: Any) -> Any:
        if isinstance(other, dt.timedelta):
            return Instant(self.name, self.before + other)
        return super().__sub__(other)

    def value_in(self, values: Mapping[str, Any]) -> Any:
        return values[self.name] - self.before


class AnyOf(Expression):
    """The condition that a field has one of the values in a slot, which is a list. PostgreSQL's."""

    conditional = True

    def __init__(self, name: str, slot: Slot) -> None:
        super().__init__(output_field=models.BooleanField())
        self.column: Any = models.F(name)
        self.slot = slot

    def get_source_expressions(self) -> list[Any]:
        return [self.column]

    def set_source_expressions(self, exprs: Sequence[Any]) -> None:
        (self.column,) = exprs

    def as_sql(self, compiler: Any, *_: Any) -> tuple[str, tuple[Any, ...]]:
        column, parameters = compiler.compile(self.column)
        return f"{column} = ANY(%s)", (*parameters, self.slot)


class Column(Expression):
    """A column of another part of the statement, "part.name", where a queryset needs a value."""

    def __init__(self, name: str, field: models.Field[Any, Any]) -> None:
        super().__init__(output_field=field)
        part, _, column = name.partition(".")
        self.text = f"{part}.{connection.ops.quote_name(column)}"

    def as_sql(self, *_: Any, **__: Any) -> tuple[str, tuple[Any, ...]]:
        return self.text, ()


class OnlyRow(Column):
    """A column of a part of the statement that has one row at most; null without a row."""

    def __init__(self, name: str, field: models.Field[Any, Any]) -> None:
        super().__init__(name, field)
        self.text = f"(SELECT {self.text} FROM {name.partition('.')[0]})"  # noqa: S608 - our names


@dataclass(frozen=True)
class Sql:
    """Text with a %s for each parameter: a `Slot`, or a value that is the same in each run."""

    text: str
    parameters: tuple[Any, ...] = ()

    @cached_property
    def numbered(self) -> tuple[str, tuple[Any, ...]]:
        """The text with $1, $2, …, and what each stands for: a slot has one number everywhere."""
        numbers: dict[Any, int] = {}
        distinct: list[Any] = []
        first, *rest = self.text.split("%s")
        written = [first]
        for parameter, piece in zip(self.parameters, rest, strict=True):
            key = parameter.key if isinstance(parameter, Slot) else len(distinct)
            if key not in numbers:
                distinct.append(parameter)
                numbers[key] = len(distinct)
            written += [f"${numbers[key]}", piece]
        return "".join(written).replace("%%", "%"), tuple(distinct)


@dataclass(frozen=True)
class Select(Generic[M]):
    """A query whose rows are read as model instances, as the ORM would read them."""

    sql: Sql
    _compiler: Any

    @property
    def width(self) -> int:
        """How many columns its rows have."""
        return len(self._compiler.select)

    def instances(self, rows: Iterable[Sequence[Any]]) -> Iterator[M]:
        """Return the rows as instances, with what the queryset loads of related ones."""
        using, model, names, populators = connection.alias, *self._loading
        first, last = self._own_columns
        annotations = self._compiler.annotation_col_map.items()
        for row in self.converted(rows):
            instance = model.from_db(using, names, row[first:last])
            for populator in populators:
                populator.populate(row, instance)
            for name, position in annotations:
                setattr(instance, name, row[position])
            yield instance

    def converted(self, rows: Iterable[Sequence[Any]]) -> Iterator[Sequence[Any]]:
        """Return the rows with Python's values, such as instants, in place of the database's."""
        converters = self._converters
        return (
            self._compiler.apply_converters(map(list, rows), converters)
            if converters
            else iter(rows)
        )

    @cached_property
    def _own_columns(self) -> tuple[int, int]:
        fields = self._compiler.klass_info["select_fields"]
        return fields[0], fields[-1] + 1

    @cached_property
    def _loading(self) -> tuple[type[M], list[str], list[Any]]:
        """The model, the names of its columns, and what reads related instances from a row."""
        info, select = self._compiler.klass_info, self._compiler.select
        first, last = self._own_columns
        names = [column[0].target.attname for column in select[first:last]]
        # The stubs are those of a later Django.
        populators = get_related_populators(info, select, connection.alias)  # type: ignore[call-arg]
        return info["model"], names, populators

    @cached_property
    def _converters(self) -> Any:
        return self._compiler.get_converters([column[0] for column in self._compiler.select])


def select(rows: models.QuerySet[M, Any], limit: Slot | Column | None = None) -> Select[M]:
    """Compile a query; `limit` says how many rows it has at most.

    A column of another part of the statement may be the limit where the query is LATERAL.
    """
    if limit is not None:
        rows = rows[:_A_LIMIT]
    compiler = rows.query.get_compiler(using=connection.alias)
    sql = _sql(*compiler.as_sql())
    if limit is not None:
        # Behind it are only the locks, which have no parameters.
        head, tail = sql.text.rsplit(f" LIMIT {_A_LIMIT}", 1)
        text, parameters = limit.as_sql()
        sql = Sql(f"{head} LIMIT {text}{tail}", (*sql.parameters, *parameters))
    return Select(sql, compiler)


def update(rows: models.QuerySet[Any, Any], source: Sql | None = None, **assignments: Any) -> Sql:
    """Compile an UPDATE of all these rows. Without its RETURNING, which the caller may append.

    With `source` (what follows FROM) `Column`s of it may be conditions and values.
    """
    query: Any = rows.query.chain(UpdateQuery)
    query.add_update_values(assignments)
    # As QuerySet.update does: an order would be a subquery.
    query.clear_ordering(force=True)
    query.annotations = {}
    compiler = query.get_compiler(using=connection.alias)
    whole = _sql(*compiler.as_sql())
    if source is None:
        return whole
    where = _sql(*compiler.compile(query.where))
    assigned = len(whole.parameters) - len(where.parameters)
    head = Sql(whole.text.removesuffix(f"WHERE {where.text}"), whole.parameters[:assigned])
    return join("{head}FROM {source} WHERE {where}", head=head, source=source, where=where)


def insert(model: type[models.Model], source: Sql | None = None, **columns: Any) -> Sql:
    """Put an INSERT of one row together: `columns` by attribute name, the rest by their defaults.

    A value is a `Slot`, an `Sql` text over the columns of `source` (what follows FROM), or a
    constant. Without `source` one row is inserted. Raises ValueError for a column that is neither
    given nor has a constant default, and for a name that is no column.
    """
    names: list[str] = []
    values: list[str] = []
    parameters: list[Any] = []
    options = model._meta  # noqa: SLF001 - documented under this name
    for field in options.concrete_fields:
        if field.primary_key and field.attname not in columns:
            continue
        names.append(connection.ops.quote_name(str(field.column)))
        value = columns.pop(field.attname) if field.attname in columns else _default(field)
        if isinstance(value, Slot):
            value = Sql("%s", (value,))
        elif not isinstance(value, Sql):
            value = _sql("%s", [field.get_db_prep_save(value, connection)])
        values.append(value.text)
        parameters.extend(value.parameters)
    if columns:
        raise ValueError(f"{model.__name__} has no column {', '.join(columns)}")
    table = connection.ops.quote_name(options.db_table)
    text = f"INSERT INTO {table} ({', '.join(names)}) SELECT {', '.join(values)}"
    if source is not None:
        text += f" FROM {source.text}"
        parameters.extend(source.parameters)
    return Sql(text, tuple(parameters))


def _default(field: models.Field[Any, Any]) -> Any:
    has_constant = field.has_default() and not callable(field.default)
    if not (has_constant or field.null or (field.blank and field.empty_strings_allowed)):
        raise ValueError(f"{field} must be given: it has no default that is the same in each row")
    return field.default if has_constant else None if field.null else ""


def join(template: str, **parts: Sql) -> Sql:
    """Put parts together: "{name}" in the template stands for the part of this name."""
    text: list[str] = []
    parameters: list[Any] = []
    for literal, name, _, _ in _FORMATTER.parse(template):
        text.append(literal)
        if name is not None:
            text.append(parts[name].text)
            parameters.extend(parts[name].parameters)
    return Sql("".join(text), tuple(parameters))


def run(sql: Sql, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Run the statement with a value for each slot; return its rows, [] if it returns none.

    PostgreSQL parses and plans it once per connection. Raises django.db.DatabaseError.
    """
    if connection.vendor == "postgresql":
        text, parameters = sql.numbered
        return prepared.run(text, _values(parameters, values))
    with connection.cursor() as cursor:
        cursor.execute(sql.text, _values(sql.parameters, values))
        return list(cursor.fetchall()) if cursor.description else []


def _values(parameters: Iterable[Any], values: Mapping[str, Any]) -> list[Any]:
    database = connections[DEFAULT_DB_ALIAS]  # once: it is looked up by thread
    return [
        _stored(parameter.output_field, parameter.value_in(values), database)
        if isinstance(parameter, Slot)
        else parameter
        for parameter in parameters
    ]


def _stored(field: models.Field[Any, Any], value: Any, database: Any) -> Any:
    if isinstance(value, list):
        return [_stored(field, item, database) for item in value]
    if database.vendor == "postgresql" and type(value) in _UNCHANGED.get(type(field), ()):
        return value
    return field.get_db_prep_value(value, database)


def _sql(text: str, parameters: Iterable[Any]) -> Sql:
    """Write the values that stay the same into the text."""
    slots: list[Any] = []
    pieces = text.split("%s")
    written = [pieces[0]]
    for piece, parameter in zip(pieces[1:], parameters, strict=True):
        literal = _literal(parameter)
        if literal is None:
            slots.append(parameter)
        written += ["%s" if literal is None else literal, piece]
    return Sql("".join(written), tuple(slots))


def _literal(value: Any) -> str | None:
    """Return a value as SQL; None for a slot, and for a value whose form the driver decides."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, str):
        return "'" + str(value).replace("'", "''").replace("%", "%%") + "'"
    return None
