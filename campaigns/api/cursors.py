"""Pages of lists of the API: by a cursor in the address, not by a number."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from rest_framework.exceptions import NotFound, ParseError
from rest_framework.pagination import Cursor as Position
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request


class Cursor(CursorPagination):
    """Pagination by a cursor in the address `next`: every page is as fast as the first.

    Nothing is counted, and a row that is added meanwhile moves no other row to another page. The
    view's `cursor_ordering` is the order; it must be unique, otherwise paging backwards may repeat
    rows.
    """

    page_size = 100
    page_size_query_param = "page_size"
    max_page_size = 1000
    # Pages within a run of equal sort values are found by an offset; the limit bounds its cost.
    offset_cutoff = 100_000

    def get_ordering(self, request: Request, queryset: QuerySet[Any], view: Any) -> tuple[str, ...]:
        ordering: tuple[str, ...] = view.cursor_ordering
        return ordering

    def decode_cursor(self, request: Request) -> Position | None:
        """Read the cursor in the address. Raises NotFound for NUL characters.

        PostgreSQL refuses a query with a NUL; that would be an error of the server.
        """
        position: Position | None = super().decode_cursor(request)
        if position is not None and "\0" in str(position.position or ""):
            raise NotFound(self.invalid_cursor_message)
        return position

    def paginate_queryset(
        self, queryset: Any, request: Request, view: Any = None
    ) -> list[Any] | None:
        try:
            page: list[Any] | None = super().paginate_queryset(queryset, request, view)
        except (ValueError, ValidationError, OverflowError) as error:
            if self.cursor is None:
                raise ParseError("A value in the address is beyond all that is stored.") from error
            # The cursor was forged: its position is not a value of the column.
            raise NotFound(self.invalid_cursor_message) from error
        return page
