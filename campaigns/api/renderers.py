"""The only renderer of the API: JSON as its standard has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rest_framework.renderers import JSONRenderer
from rest_framework.utils.encoders import JSONEncoder

from xeenet_site.web.strict_json import finite

# The parent class makes one for each answer. It keeps no state.
_ENCODER: Final = JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
# Line ends in JavaScript, not in JSON.
_LINE_ENDS: Final = {"\u2028": "\\u2028", "\u2029": "\\u2029"}


class StrictJSONRenderer(JSONRenderer):
    """Writes what the parent class writes, and null for a number that JSON does not have.

    The parent class would raise an error for such a number.
    """

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        if data is None:
            return b""
        try:
            text = _ENCODER.encode(data)
        except ValueError:
            text = _ENCODER.encode(finite(data))
        if not text.isascii():
            for end, escaped in _LINE_ENDS.items():
                text = text.replace(end, escaped)
        return text.encode()
