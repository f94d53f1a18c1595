"""Connections whose health is seen in their socket, where Django asks the server at each request.

A server that stops or crashes closes its connections, which the socket shows at once. Only then is
the server asked (`SELECT 1`), so a request costs one round trip less.
"""

from __future__ import annotations

import select
from typing import Any, Final

from django.db.backends.postgresql import base

_POLLS: Final = hasattr(select, "poll")  # not on Windows


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's wrapper. The settings name this package as the ENGINE of PostgreSQL."""

    def is_usable(self) -> bool:
        if _POLLS and self.connection is not None and is_silent(self.connection):
            return True
        usable: bool = super().is_usable()
        return usable


def is_silent(connection: Any) -> bool:
    """Return whether the open connection has received nothing since its last answer.

    Between two requests the server says something only when it ends the connection.
    """
    if connection.closed:
        return False
    waiting = select.poll()
    waiting.register(connection.fileno(), select.POLLIN)
    return not waiting.poll(0)
