"""Base classes shared by the admin pages: read-only history rows, and actions that call verbs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, cast

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin

from workers import audit
from xeenet_site.web import formats


class AuditedAdmin:
    """Write an audit entry for everything people add, change or delete in the admin's own forms.

    Django calls the `log_*` methods after each such change, in the same transaction. Set
    `verbs_write_entries` when the form saves through a verb that already writes its own entry.
    """

    verbs_write_entries = False

    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        self._record_entry(request, "add", obj, self.audit_detail(obj))
        return super().log_addition(request, obj, message)  # type: ignore[misc]

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        changed = ", ".join(filter(None, [_fields_changed(message), self.audit_detail(obj)]))
        self._record_entry(request, "change", obj, changed)
        return super().log_change(request, obj, message)  # type: ignore[misc]

    def log_deletions(self, request: HttpRequest, queryset: Iterable[Model]) -> Any:
        for obj in queryset:
            self._record_entry(request, "delete", obj, "")
        return super().log_deletions(request, queryset)  # type: ignore[misc]

    def audit_detail(self, obj: Model) -> str:  # noqa: ARG002
        """Return more text for the entry about the current state of the row; "" for none."""
        return ""

    def _record_entry(self, request: HttpRequest, verb: str, obj: Model, detail: str) -> None:
        if not self.verbs_write_entries:
            actor = cast(User, request.user)
            audit.record(actor, verb, obj, now=timezone.now(), detail=detail)


def _fields_changed(message: Any) -> str:
    """Return the names of the changed fields from Django's change message, a list or a sentence."""
    if isinstance(message, str):
        return message
    names = [name for part in message for name in part.get("changed", {}).get("fields", [])]
    return ", ".join(names)


class HistoryAdmin(AuditedAdmin, ModelAdmin):  # type: ignore[misc]  # unfold has no types
    """Rows that only the verbs write: people can view and search them, but not change them.

    A subclass lists exceptions, the fields that people may change, in `editable`.
    """

    editable: tuple[str, ...] = ()
    list_per_page = 50
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        # A form without editable fields needs no Save button. The list (obj is None) keeps its
        # actions.
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


# States that the pages show as another one, with a word of their own.
_SHOWN_AS: Final = {"delivered": "completed", "ranked": "completed", "not ranked": "cancelled"}


def state_chip(state: str) -> SafeString:
    """Return a state or outcome as the pages show it: a shape and a word."""
    return formats.chip(_SHOWN_AS.get(state, state), state)


def state_label(field: str) -> Callable[[Any, Any], SafeString]:
    """Return a list column that shows the state in `field` as the pages do."""

    @admin.display(description=field.replace("_", " "), ordering=field)
    def state_text(_: Any, row: Any) -> SafeString:
        return state_chip(str(getattr(row, field)))

    return state_text


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
    """Apply a steering verb to each chosen row; show how many changed, and each refusal."""
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
