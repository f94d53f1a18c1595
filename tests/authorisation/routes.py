"""All routes of the server (pages, API, admin), read from its URL resolver."""

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
    """One URL pattern. A pattern with a `<verb:…>` part gives one route for each verb."""

    path: str
    view: Any

    @property
    def area(self) -> str:
        """The area it belongs to: "pages", "api" or "admin"."""
        if self.path.startswith(f"{API}/"):
            return "api"
        return "admin" if self.path.startswith("admin/") else "pages"

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods to try: those of an API view; for pages those that browsers send."""
        if self.area != "api":
            return ("GET", "POST")
        view = self.view.view_class
        known = ("get", "post", "put", "patch", "delete")
        return tuple(method.upper() for method in known if hasattr(view, method))


def routes(area: str) -> list[Route]:
    """Return the routes of one area, in the order in which Django looks them up."""
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
    """Return the verbs that the pattern accepts, or one empty text if it has no verb."""
    converter = pattern.pattern.converters.get("verb")
    return converter.regex.split("|") if converter is not None else [""]
