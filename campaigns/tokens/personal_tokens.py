"""Personal API tokens: their owner creates and revokes them; the audit log records it."""

from __future__ import annotations

import datetime as dt
from typing import Final

from django.contrib.auth.models import User
from django.db import transaction

from campaigns.models import PersonalToken
from workers import audit
from workers.tokens import PERSONAL_PREFIX, hash_token, new_token

# Enough for every machine and script of a person; more would be tokens forgotten by their owner.
MAX_TOKENS: Final = 50
MAX_NAME_LENGTH: Final = 100


class TokenRefused(ValueError):
    """The token cannot be made; the message says why and what to do."""


def create(
    owner: User, name: str, *, now: dt.datetime, actor: User | None = None
) -> tuple[PersonalToken, str]:
    """Create a token; return it with its secret, which is not stored.

    An `actor` of None is the command line on the server. Raises TokenRefused.
    """
    if not 0 < len(name) <= MAX_NAME_LENGTH or "\0" in name:
        raise TokenRefused(
            f"Say in 1 to {MAX_NAME_LENGTH} characters what the token is for, so that you know "
            "later which one to revoke."
        )
    secret = new_token(PERSONAL_PREFIX)
    # One transaction: no token without its audit entry. The lock on the person makes concurrent
    # calls respect the limit.
    with transaction.atomic():
        User.objects.select_for_update().get(pk=owner.pk)
        if owner.personal_tokens.count() >= MAX_TOKENS:
            raise TokenRefused(f"{owner} has {MAX_TOKENS} tokens already; revoke one first.")
        token = PersonalToken.objects.create(
            user=owner, name=name, token_hash=hash_token(secret), created_at=now
        )
        audit.record(actor, "create_token", token, now=now)
    return token, secret


def revoke(token: PersonalToken, *, actor: User | None, now: dt.datetime) -> None:
    """Delete the token: from the next request on it is unknown.

    An `actor` of None is the command line on the server.
    """
    with transaction.atomic():
        audit.record(actor, "revoke_token", token, now=now)
        token.delete()
