"""What the admin pages of both apps share: rows that are history, and actions that call verbs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest
from unfold.admin import ModelAdmin


class HistoryAdmin(ModelAdmin):  # type: ignore[misc]  # unfold has no types
    """Rows that only the verbs write: to look at and to search, not to change.

    A subclass may name fields that people may change in `editable`.
    """

    editable: tuple[str, ...] = ()
    list_per_page = 50
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        # A form without a field to change needs no Save button; the list keeps its actions.
        if obj is not None and not self.editable:
            return False
        return bool(super().has_change_permission(request, obj))

    def has_delete_permission(
        self,
        request: HttpRequest,  # noqa: ARG002
        obj: Model | None = None,  # noqa: ARG002
    ) -> bool:
        return False

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str]:  # noqa: ARG002
        hidden = {"token_hash", *(self.exclude or ())}
        return [name for name in field_names(self.model) if name not in hidden]

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str]:
        return [name for name in self.get_fields(request, obj) if name not in self.editable]


def field_names(model: type[Model]) -> list[str]:
    """Return the names of a model's own columns, in the order they are declared."""
    return [field.name for field in model._meta.fields]  # noqa: SLF001 - public by its docs


def apply_to_each(
    request: HttpRequest,
    rows: Iterable[Model],
    verb: Callable[..., Any],
    done: str,
    refusals: type[Exception],
    **arguments: Any,
) -> None:
    """Do a steering verb to each chosen row; say how many it changed, and why it refused others."""
    changed = 0
    for row in rows:
        try:
            verb(cast(User, request.user), row, **arguments)
        except (refusals, PermissionDenied) as error:
            messages.error(request, f"{row}: {error}")
        else:
            changed += 1
    if changed:
        messages.success(request, f"{changed} {done}.")
