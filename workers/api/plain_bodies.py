"""Bodies that are plainly right, checked without asking each field of their serializer anew.

A serializer stays the one definition of its shape: the OpenAPI document and every refusal come from
it. `plain_reader` reads its fields once and returns a function that takes what they take, in a
twentieth of the time. A body that it does not take is the serializer's to judge.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable
from functools import cache
from typing import Any, Final

from django.core import validators
from django.core.exceptions import ValidationError
from rest_framework import serializers
from rest_framework.fields import empty

from workers.api import fields

Check = Callable[[Any], Any]
_ABSENT: Final = object()


class NotPlain(Exception):
    """The serializer has to judge this value: it is wrong, or unusual."""


def validated(serializer_class: type[serializers.Serializer[Any]], data: Any) -> Any:
    """Return the validated data, as the serializer has it. Raises its ValidationError."""
    try:
        return plain_reader(serializer_class)(data)
    except NotPlain:
        serializer = serializer_class(data=data)
        serializer.is_valid(raise_exception=True)
        return serializer.validated_data


@cache
def plain_reader(serializer_class: type[serializers.Serializer[Any]]) -> Check:
    """Return the function from a body to its validated data, which raises NotPlain.

    Raises TypeError for a serializer with a field that is not read as it is written.
    """
    return _object(serializer_class())


def _object(serializer: serializers.Serializer[Any]) -> Check:
    rows = [_row(serializer, name, field) for name, field in serializer.fields.items()]
    validate = None
    if type(serializer).validate is not serializers.Serializer.validate:
        validate = _refusing(serializer.validate)
    if serializer.validators:
        raise TypeError(f"{type(serializer).__name__} has validators of its own")

    def check(data: Any) -> dict[str, Any]:
        if type(data) is not dict:
            raise NotPlain
        values: dict[str, Any] = {}
        for name, required, nullable, of_value, of_field in rows:
            value = data.get(name, _ABSENT)
            if value is _ABSENT:
                if required:
                    raise NotPlain
                continue
            if value is not None:
                value = of_value(value)
            elif not nullable:
                raise NotPlain
            values[name] = value if of_field is None else of_field(value)
        return values if validate is None else validate(values)

    return check


def _row(
    serializer: serializers.Serializer[Any], name: str, field: serializers.Field[Any, Any, Any, Any]
) -> tuple[str, bool, bool, Check, Check | None]:
    plain = field.source == name and field.default is empty
    if not plain or field.read_only:
        raise TypeError(f"{type(serializer).__name__}.{name} is not read as it is written")
    method = getattr(serializer, f"validate_{name}", None)
    own = None if method is None else _refusing(method)
    return name, bool(field.required), field.allow_null, _value(field), own


def _value(field: serializers.Field[Any, Any, Any, Any]) -> Check:
    """Return the check of a value that is not null."""
    if isinstance(field, serializers.Serializer):
        return _object(field)
    maker = _MAKERS.get(type(field))
    # What is not in the table is checked by the field itself.
    return _refusing(field.run_validation) if maker is None else maker(field)


def _refusing(check: Check) -> Check:
    def checked(value: Any) -> Any:
        try:
            return check(value)
        except (serializers.ValidationError, ValidationError) as error:
            raise NotPlain from error

    return checked


def _bounds(field: Any, *, low: type[Any], high: type[Any]) -> tuple[float, float]:
    """Return the bounds of a field; every validator it has must be one of these two kinds."""
    least, most = -math.inf, math.inf
    for validator in field.validators:
        if type(validator) is low:
            least = max(least, validator.limit_value)
        elif type(validator) is high:
            most = min(most, validator.limit_value)
        else:
            raise TypeError(f"the field {field.field_name} has the validator {validator}")
    return least, most


def _number(field: Any) -> Check:
    least, most = _bounds(
        field, low=validators.MinValueValidator, high=validators.MaxValueValidator
    )
    if isinstance(field, fields.StrictIntegerField):

        def check_integer(value: Any) -> int:
            if type(value) is int and least <= value <= most:
                return value
            raise NotPlain

        return check_integer

    def check_float(value: Any) -> float:
        if type(value) in {int, float} and math.isfinite(value) and least <= value <= most:
            return float(value)
        raise NotPlain

    return check_float


def _text(field: Any) -> Check:
    most = math.inf if field.max_length is None else field.max_length
    least = field.min_length or 0
    trims, may_be_blank = field.trim_whitespace, field.allow_blank

    def check(value: Any) -> str:
        if type(value) is not str or "\0" in value or not (value.isascii() or _is_unicode(value)):
            raise NotPlain
        if trims:
            value = value.strip()
        if not value:
            if may_be_blank:
                return ""
            raise NotPlain
        if not least <= len(value) <= most:
            raise NotPlain
        text: str = value
        return text

    return check


def _is_unicode(text: str) -> bool:
    """Return whether the text has no lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _sha256(field: Any) -> Check:
    check_text, is_hex = _text(field), fields.SHA256_HEX.fullmatch

    def check(value: Any) -> str:
        text: str = check_text(value)
        if not is_hex(text):
            raise NotPlain
        return text

    return check


def _boolean(_field: Any) -> Check:
    def check(value: Any) -> bool:
        if type(value) is bool:
            return value
        raise NotPlain

    return check


def _uuid(_field: Any) -> Check:
    def check(value: Any) -> uuid.UUID:
        if type(value) is not str:
            raise NotPlain
        try:
            return uuid.UUID(value)
        except ValueError as error:
            raise NotPlain from error

    return check


def _choice(field: Any) -> Check:
    values: dict[str, Any] = field.choice_strings_to_values

    def check(value: Any) -> Any:
        if type(value) is str and value in values:
            return values[value]
        raise NotPlain

    return check


def _list(field: Any) -> Check:
    _, most = _bounds(field, low=validators.MinLengthValidator, high=validators.MaxLengthValidator)
    item, may_be_null = _value(field.child), field.child.allow_null
    least = 0 if field.allow_empty else 1

    def check(value: Any) -> list[Any]:
        if type(value) is not list or not least <= len(value) <= most:
            raise NotPlain
        if may_be_null:
            return [None if one is None else item(one) for one in value]
        return [item(one) for one in value]  # no item's check takes null

    return check


_MAKERS: Final[dict[type[Any], Callable[[Any], Check]]] = {
    fields.StrictIntegerField: _number,
    fields.StrictFloatField: _number,
    fields.StrictCharField: _text,
    fields.Sha256Field: _sha256,
    fields.StrictBooleanField: _boolean,
    fields.StrictUUIDField: _uuid,
    fields.StrictChoiceField: _choice,
    fields.BoundedListField: _list,
}
