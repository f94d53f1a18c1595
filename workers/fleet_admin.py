"""The tokens of fleets in the admin."""

from __future__ import annotations

from typing import cast

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db.models import Model, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils import timezone

from workers import steering
from workers.admin_base import HistoryAdmin, apply_to_each
from workers.fleet_token import FleetToken
from workers.lifecycle import WorkerError

_SCOPE = ("label", "name_prefix", "max_live", "tier")


@admin.register(FleetToken)
class FleetTokenAdmin(HistoryAdmin):
    """Adding a token shows its secret once; the action revokes."""

    verbs_write_entries = True

    list_display = (
        "__str__",
        "name_prefix",
        "max_live",
        "tier",
        "created_by",
        "created_at",
        "expires_at",
        "revoked_at",
        "last_used_at",
    )
    list_filter = (("revoked_at", admin.EmptyFieldListFilter), "expires_at")
    date_hierarchy = "created_at"
    search_fields = ("label", "name_prefix")
    list_select_related = ("created_by",)
    actions = ("revoke",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("workers.add_fleettoken")

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str]:
        return [*_SCOPE, "expires_at"] if obj is None else super().get_fields(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str]:
        return [] if obj is None else super().get_readonly_fields(request, obj)

    def save_model(
        self,
        request: HttpRequest,
        obj: FleetToken,
        form: ModelForm[FleetToken],  # noqa: ARG002
        change: bool,
    ) -> None:
        if change:
            return
        now = timezone.now()
        token, secret = steering.create_fleet(
            cast(User, request.user),
            now=now,
            lifetime=obj.expires_at - now if obj.expires_at else None,
            **{name: getattr(obj, name) for name in _SCOPE},
        )
        obj.pk = token.pk
        messages.warning(request, f"The token of {token}, shown only once: {secret}")

    @admin.action(permissions=["change"], description="Revoke: nobody joins with it any more")
    def revoke(self, request: HttpRequest, tokens: QuerySet[FleetToken]) -> None:
        apply_to_each(
            request,
            tokens,
            steering.revoke_fleet,
            "fleet token(s) revoked",
            WorkerError,
            now=timezone.now(),
        )
