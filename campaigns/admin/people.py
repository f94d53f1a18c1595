"""Admin pages of accounts, roles and personal tokens. Each change is recorded in the audit log."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.db.models import Model
from django.forms import ModelForm
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from campaigns.clock import database_now
from campaigns.models import PersonalToken
from campaigns.tokens import personal_tokens
from workers import audit
from workers.admin_base import AuditedAdmin, HistoryAdmin
from workers.tokens import PERSONAL_PREFIX, hash_token, new_token
from xeenet_site.web import roles


@admin.register(PersonalToken)
class PersonalTokenAdmin(HistoryAdmin):
    """Personal tokens. Adding one shows it once; deleting one revokes it."""

    verbs_write_entries = True
    list_display = ("name", "user", "created_at", "last_used_at")
    list_filter = ("created_at", "last_used_at")
    search_fields = ("name", "user__username")
    list_select_related = ("user",)
    autocomplete_fields = ("user",)
    date_hierarchy = "created_at"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("campaigns.add_personaltoken")

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        # No deletion from the list: each revocation needs an entry of its own in the audit log.
        return obj is not None and request.user.has_perm("campaigns.delete_personaltoken")

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str]:
        return ["user", "name"] if obj is None else super().get_fields(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str]:
        return [] if obj is None else super().get_readonly_fields(request, obj)

    def save_model(
        self,
        request: HttpRequest,
        obj: PersonalToken,
        form: ModelForm[PersonalToken],
        change: bool,
    ) -> None:
        if change:
            return
        secret = new_token(PERSONAL_PREFIX)
        obj.token_hash = hash_token(secret)
        # One transaction: no token without its entry in the audit log.
        with transaction.atomic():
            super().save_model(request, obj, form, change)
            actor = cast(User, request.user)
            audit.record(actor, "create_token", obj, now=database_now())
        messages.warning(request, f"Token of {obj.user}, shown only once: {secret}")

    def delete_model(self, request: HttpRequest, obj: PersonalToken) -> None:
        personal_tokens.revoke(obj, actor=cast(User, request.user), now=database_now())


# Django has registered its own classes; replace them by those with unfold's look.
admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class UserAdmin(AuditedAdmin, DjangoUserAdmin, ModelAdmin):  # type: ignore[type-arg]
    """Accounts. A person's role follows from the groups."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "email", "role", "is_active", "is_staff", "last_login")
    list_filter = ("groups", "is_active", "is_staff", "is_superuser")
    date_hierarchy = "date_joined"

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("groups")

    @admin.display(description="role")
    def role(self, person: User) -> str:
        return roles.role_among(person, {group.name for group in person.groups.all()})

    def audit_detail(self, obj: Model) -> str:
        # Load the account again: `obj` may still have the old role cached.
        return f"role: {roles.role_of(User.objects.get(pk=obj.pk)) or 'none, inactive'}"


@admin.register(Group)
class GroupAdmin(AuditedAdmin, DjangoGroupAdmin, ModelAdmin):
    """Groups of people with the same permissions. Viewer, researcher and operator are the roles."""
