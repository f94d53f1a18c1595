"""What a person may do, by role. Roles are Django groups; each includes the previous one.

| role       | may                                                                        |
|------------|----------------------------------------------------------------------------|
| (nobody)   | read, where XEENET["ANONYMOUS_READ"] is on                                 |
| viewer     | read; every account is at least a viewer                                   |
| researcher | create campaigns, and change their own                                     |
| operator   | change every campaign, invite and steer workers, read the audit log        |

Staff and superusers are operators.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, Group, User

VIEWER: Final = "viewer"
RESEARCHER: Final = "researcher"
OPERATOR: Final = "operator"
ROLES: Final = (VIEWER, RESEARCHER, OPERATOR)

Person = AbstractBaseUser | AnonymousUser | None


def role_of(user: Person) -> str:
    """Return the person's highest role, "" for nobody. At most one query per user object."""
    if not isinstance(user, User) or not user.is_active:
        return ""
    if user.is_staff or user.is_superuser:
        return OPERATOR
    known: str | None = getattr(user, "_xeenet_role", None)
    if known is None:
        known = remember(user, set(user.groups.values_list("name", flat=True)))
    return known


def remember(user: User, groups: Collection[str]) -> str:
    """Keep the highest role of a person in groups with these names at the object; return it."""
    role = role_among(user, groups)
    user._xeenet_role = role  # type: ignore[attr-defined]  # noqa: SLF001
    return role


def role_among(user: User, groups: Collection[str]) -> str:
    """Return the highest role of a person in groups with these names, without a query."""
    if not user.is_active:
        return ""
    if user.is_staff or user.is_superuser:
        return OPERATOR
    return next((role for role in reversed(ROLES) if role in groups), VIEWER)


def may_read(user: Person) -> bool:
    """Return whether the person may see campaigns, tasks, results and workers."""
    return bool(settings.XEENET["ANONYMOUS_READ"]) or role_of(user) != ""


def may_create(user: Person) -> bool:
    """Return whether the person may create campaigns."""
    return role_of(user) in {RESEARCHER, OPERATOR}


def may_operate(user: Person) -> bool:
    """Return whether the person may change workers and everybody's campaigns."""
    return role_of(user) == OPERATOR


def may_change(user: Person, owner_id: int | None) -> bool:
    """Return whether the person may change an object: its owner and operators may."""
    if may_operate(user):
        return True
    return may_create(user) and isinstance(user, User) and user.pk == owner_id


def install_roles(**_: Any) -> None:
    """Create missing groups of roles. Runs after every migrate and flush (post_migrate)."""
    for role in ROLES:
        Group.objects.get_or_create(name=role)


def give_role(user: User, role: str) -> None:
    """Add the person to the group of this role and remove them from those of other roles."""
    user.groups.remove(*Group.objects.filter(name__in=ROLES).exclude(name=role))
    user.groups.add(Group.objects.get_or_create(name=role)[0])
    user._xeenet_role = None  # type: ignore[attr-defined]  # noqa: SLF001
