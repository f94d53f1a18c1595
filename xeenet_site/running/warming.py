"""What a fresh web process loads before it takes its first request, which would wait for it.

It asks the database nothing: a process starts, and answers that the database is away, while it is.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, Final

from django.template import Template, TemplateDoesNotExist, TemplateSyntaxError
from django.template.loader import get_template
from django.template.loader_tags import ExtendsNode, IncludeNode
from django.urls import URLPattern, URLResolver, get_resolver, reverse

# The pages that people open first. All templates together would take 4 MB more.
PAGES: Final = ("overview.html", "campaigns/campaign.html")
_NAMING: Final[Any] = (ExtendsNode, IncludeNode)

logger = logging.getLogger(__name__)


def warm() -> None:
    """Load the URL table with all views behind it, and the templates of the first pages."""
    for _ in _patterns(get_resolver()):
        pass
    reverse("healthz")  # Django indexes the names of all URLs for the first of them
    try:
        for name in PAGES:
            _load(name, set())
    except (TemplateDoesNotExist, TemplateSyntaxError):
        # Only its pages fail, as they would without warming.
        logger.exception("a template cannot be loaded")


def _patterns(resolver: URLResolver) -> Iterator[URLPattern]:
    for pattern in resolver.url_patterns:
        if isinstance(pattern, URLResolver):
            yield from _patterns(pattern)
        else:
            yield pattern


def _load(name: str, loaded: set[str]) -> None:
    """Load a template, and those that it extends and includes, which rendering would load."""
    loaded.add(name)
    template: Template = get_template(name).template  # type: ignore[attr-defined]
    nodes: list[Any] = template.nodelist.get_nodes_by_type(_NAMING)
    for node in nodes:
        other: Any = node.parent_name if isinstance(node, ExtendsNode) else node.template
        if isinstance(other.var, str) and other.var not in loaded:  # a name, not a variable
            _load(other.var, loaded)
