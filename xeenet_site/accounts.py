"""Accounts as the database has them: a person is read together with their role."""

from __future__ import annotations

from typing import Any, Final

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, IntegerField, OuterRef, QuerySet
from django.http import HttpRequest

from xeenet_site.web import roles
from xeenet_site.web.prepared import Prepared, Slot


def _person() -> QuerySet[User]:
    groups = {
        f"is_in_{role}": Exists(Group.objects.filter(user=OuterRef("pk"), name=role))
        for role in roles.ROLES
    }
    return User.objects.annotate(**groups).filter(pk=Slot("pk", IntegerField()))


# A person with their role. Each page asks it.
_PERSON: Final = Prepared(_person)


class AccountBackend(ModelBackend):
    """Django's own backend, but every page reads person and role in one query, not in two."""

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **kwargs: Any,
    ) -> User | None:
        """Return the person of this password. Raises PermissionDenied, so that no other is tried.

        Django's own backend comes after this one: sessions from before name it. It would only
        hash a wrong password a second time.
        """
        user = super().authenticate(request, username=username, password=password, **kwargs)
        if user is None:
            raise PermissionDenied
        return user

    def get_user(self, user_id: Any) -> User | None:
        """Return the person of a session with their role, None if they may not sign in."""
        user = _PERSON.first(pk=user_id)
        if user is None or not self.user_can_authenticate(user):
            return None
        roles.remember(user, {role for role in roles.ROLES if getattr(user, f"is_in_{role}")})
        return user
