"""Sessions in the database, as Django keeps them, read by a prepared query: each page reads one."""

from __future__ import annotations

from typing import Final

from django.contrib.sessions.backends import db
from django.contrib.sessions.models import Session
from django.db.models import CharField, DateTimeField, QuerySet
from django.utils import timezone

from xeenet_site.web.prepared import Prepared, Slot


def _session() -> QuerySet[Session]:
    return Session.objects.filter(
        session_key=Slot("key", CharField()), expire_date__gt=Slot("now", DateTimeField())
    )


_SESSION: Final = Prepared(_session)


class SessionStore(db.SessionStore):
    """Django's own store. The settings name this module as SESSION_ENGINE."""

    def _get_session_from_db(self) -> Session | None:
        session = _SESSION.first(key=self.session_key, now=timezone.now())
        if session is None:
            self._session_key = None
        return session
