"""The audit log of what people did: written in the transaction of the change, for operators."""

from __future__ import annotations

import datetime as dt

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet

from workers.models import AuditEntry
from xeenet_site.web import roles


def name_of(actor: User | None) -> str:
    """Return the actor's name for the logs; None means the command line on the server."""
    return actor.get_username() if actor else "command line"


def record(
    actor: User | None, verb: str, target: Model, *, now: dt.datetime, detail: str = ""
) -> None:
    """Add an entry that says that `actor` applied `verb` to `target`. Call it in a transaction."""
    AuditEntry.objects.create(
        at=now,
        actor=actor,
        actor_name=name_of(actor),
        verb=verb,
        target_kind=target._meta.model_name or "",  # noqa: SLF001 - public by its docs
        # The primary key of a script is its hash, which stands in the entry's detail instead.
        target_id=target.pk if isinstance(target.pk, int) else None,
        target_name=str(target)[:250],
        detail=detail[:500],
    )


def readable_by(user: roles.Person) -> QuerySet[AuditEntry]:
    """Return all entries, newest first, for an operator. Raises PermissionDenied for others."""
    if not roles.may_operate(user):
        raise PermissionDenied("Only operators may read the audit log.")
    return AuditEntry.objects.all()
