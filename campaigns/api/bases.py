"""The base classes of the API's views: a parameter of the address that a view ignores is refused.

Otherwise a misspelt filter would silently return everything, as if it had been applied.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

from django.db.models import Model
from rest_framework import generics, serializers, views
from rest_framework.exceptions import ValidationError
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request

M = TypeVar("M", bound=Model)

# An answer names at most this many parameters: an address may hold thousands.
MAX_NAMED: Final = 10


class _KnownQuery:
    """Refuses parameters that the view does not read, and those given twice."""

    # What the view reads from the address, beside the filters and the pages of a list.
    query_serializer: type[serializers.Serializer[Any]] | None = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)  # type: ignore[misc]
        if not hasattr(self, str(request.method).lower()):
            # REST framework answers 405.
            return
        known = self.known_parameters() if request.method in SAFE_METHODS else []
        listed = ", ".join(known)
        errors: dict[str, list[str]] = {}
        for name, values in request.query_params.lists():
            if name not in known:
                sentence = f"There is no such parameter; known are: {listed}."
                if not known:
                    sentence = "There is no such parameter; this address takes none."
                errors[name[:100]] = [sentence]
            elif len(values) > 1:
                errors[name[:100]] = ["Give this parameter once."]
        if errors:
            raise ValidationError(dict(list(errors.items())[:MAX_NAMED]))

    def known_parameters(self) -> list[str]:
        """Return the names of all parameters that a GET of this view reads."""
        names = list(self.query_serializer().fields) if self.query_serializer else []
        filterset = getattr(self, "filterset_class", None)
        names += list(filterset.base_filters) if filterset else []
        paginator = getattr(self, "pagination_class", None)
        if paginator is not None:
            names += [paginator.page_size_query_param, paginator.cursor_query_param]
        return names


class APIView(_KnownQuery, views.APIView):
    """REST framework's view of any kind."""


class GenericAPIView(_KnownQuery, generics.GenericAPIView[M]):
    """REST framework's view of one object."""


class ListAPIView(_KnownQuery, generics.ListAPIView[M]):
    """REST framework's view of a list."""
