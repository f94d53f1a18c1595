"""The only renderer of the API: JSON as its standard has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework.renderers import JSONRenderer

from xeenet_site.web.strict_json import finite


class StrictJSONRenderer(JSONRenderer):
    """Write null for a number that JSON does not have; the parent class would raise an error."""

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        try:
            written: bytes = super().render(data, accepted_media_type, renderer_context)
        except ValueError:
            written = super().render(finite(data), accepted_media_type, renderer_context)
        return written
