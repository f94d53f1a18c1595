"""Every route that the server has, from its URL resolver itself: pages, API, admin."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from django.urls import URLPattern, URLResolver, get_resolver

from workers.protocol import API_PREFIX

API: Final = API_PREFIX.strip("/")
AREAS: Final = ("pages", "api", "admin")


@dataclass(frozen=True)
class Route:
    """One pattern of the URL table; ``path`` has a row of its own for each verb of a button."""

    path: str
    view: Any

    @property
    def area(self) -> str:
        """Which door it belongs to."""
        if self.path.startswith(f"{API}/"):
            return "api"
        return "admin" if self.path.startswith("admin/") else "pages"

    @property
    def methods(self) -> tuple[str, ...]:
        """What the API's view answers to; a page could answer anything, browsers send these two."""
        if self.area != "api":
            return ("GET", "POST")
        view = self.view.view_class
        known = ("get", "post", "put", "patch", "delete")
        return tuple(method.upper() for method in known if hasattr(view, method))


def routes(area: str) -> list[Route]:
    """Return the routes of one area, in the order in which they are looked up."""
    return [route for route in _walk(get_resolver(), "") if route.area == area]


def _walk(resolver: URLResolver, above: str) -> Iterator[Route]:
    for pattern in resolver.url_patterns:
        path = above + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _walk(pattern, path)
        elif isinstance(pattern, URLPattern):
            for verb in _verbs(pattern):
                yield Route(re.sub(r"<\w+:verb>", verb, path), pattern.callback)


def _verbs(pattern: URLPattern) -> list[str]:
    """The words that stand for the route's verb; one empty word where it has none."""
    converter = pattern.pattern.converters.get("verb")
    return converter.regex.split("|") if converter is not None else [""]
