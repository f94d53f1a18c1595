"""URL path converters beyond Django's own, shared by pages and API."""

from __future__ import annotations

from django.urls import register_converter


class Sha256Converter:
    """Matches only SHA-256 hashes in hex, so that no other text reaches a query."""

    regex = "[0-9a-f]{64}"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


register_converter(Sha256Converter, "sha256")
SHA256 = "<sha256:sha256>"
