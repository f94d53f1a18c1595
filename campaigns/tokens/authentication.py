"""Authentication of API requests by the tokens of people and of fleets."""

from __future__ import annotations

import datetime as dt
from typing import Final

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import Q
from rest_framework.exceptions import AuthenticationFailed

from campaigns.clock import database_now
from campaigns.models import PersonalToken
from workers import fleets
from workers.authentication import BearerAuthentication
from workers.fleet_token import FleetToken
from workers.tokens import FLEET_PREFIX, PERSONAL_PREFIX

# How old `last_used_at` may become before it is written again: it is only for people to read, and
# not worth a write with every request.
LAST_USED_PRECISION: Final = dt.timedelta(minutes=1)


class PersonalTokenAuthentication(BearerAuthentication):
    """A person's token: the request's user is its owner, its `auth` the PersonalToken."""

    prefix = PERSONAL_PREFIX

    def look_up(self, token_hash: str) -> tuple[AbstractBaseUser, PersonalToken]:
        token = PersonalToken.objects.select_related("user").filter(token_hash=token_hash).first()
        if token is None or not token.user.is_active:
            raise AuthenticationFailed(
                "This personal token is unknown or its owner may no longer sign in."
            )
        now = database_now()
        stale = Q(last_used_at=None) | Q(last_used_at__lt=now - LAST_USED_PRECISION)
        PersonalToken.objects.filter(stale, pk=token.pk).update(last_used_at=now)
        return token.user, token


class FleetTokenAuthentication(BearerAuthentication):
    """A fleet's token: the request's `auth` is the FleetToken, its user stays anonymous."""

    prefix = FLEET_PREFIX

    def look_up(self, token_hash: str) -> tuple[AnonymousUser, FleetToken]:
        now = database_now()
        token = fleets.find_open(token_hash, now=now)
        if token is None:
            raise AuthenticationFailed("This fleet token is unknown, revoked or expired.")
        stale = Q(last_used_at=None) | Q(last_used_at__lt=now - LAST_USED_PRECISION)
        FleetToken.objects.filter(stale, pk=token.pk).update(last_used_at=now)
        return AnonymousUser(), token
