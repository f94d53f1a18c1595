"""Who may change what on the pages."""

from __future__ import annotations

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, User

from campaigns.models import Campaign


def may_change(user: AbstractBaseUser | AnonymousUser, campaign: Campaign) -> bool:
    """Return whether this person may change the campaign and its tasks: its owner, and staff."""
    if not isinstance(user, User) or not user.is_active:
        return False
    return user.is_staff or campaign.owner_id == user.pk
