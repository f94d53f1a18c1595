"""What browsers may do with our responses: Content-Security-Policy and Permissions-Policy."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Final

Policy = dict[str, list[str]]

SELF: Final = "'self'"
NONE: Final = "'none'"

# Plotly creates two style elements: an empty one, whose rules it then sets by script, and one for
# maps, which we do not draw. It also empties style attributes. We allow these by hash and nothing
# else. The hash for maps changes with Plotly's release; tests/browser/test_csp.py then fails.
_EMPTY_STYLE: Final = "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"
_PLOTLY_MAP_STYLE: Final = "'sha256-ji27qzEtxXZW+7dun6UwjHXJ18e6WAin1VvNtkzIE/o='"
# "font-weight:bold": Plotly writes <b> in hover texts and labels as this style attribute.
_BOLD: Final = "'sha256-wkY2X5hecQzbhnFCqvTpwrUJ1f4X8LH5WFjYUzv1wmU='"

# Allows no inline script, no further style attribute and no other host.
PAGES_POLICY: Final[Policy] = {
    "default-src": [NONE],
    "script-src": [SELF],
    "style-src": [SELF],
    "style-src-elem": [SELF, _EMPTY_STYLE, _PLOTLY_MAP_STYLE],
    "style-src-attr": ["'unsafe-hashes'", _EMPTY_STYLE, _BOLD],
    "img-src": [SELF, "data:"],
    "font-src": [SELF],
    "connect-src": [SELF],
    "form-action": [SELF],
    "frame-ancestors": [NONE],
    "base-uri": [NONE],
}
# The admin's look (django-unfold) uses Alpine, which compiles expressions in attributes
# ('unsafe-eval'), and sets its colours in a style element and style attributes. Inline scripts stay
# forbidden, so text stored by users cannot run by itself. Only staff may open the admin.
ADMIN_POLICY: Final[Policy] = PAGES_POLICY | {
    "script-src": [SELF, "'unsafe-eval'"],
    "style-src": [SELF, "'unsafe-inline'"],
    "style-src-elem": [SELF, "'unsafe-inline'"],
    "style-src-attr": ["'unsafe-inline'"],
}
# Swagger UI sets style attributes and draws its icons from data: URLs.
API_DOCS_POLICY: Final[Policy] = PAGES_POLICY | {
    "style-src": [SELF, "'unsafe-inline'"],
    "style-src-elem": [SELF, "'unsafe-inline'"],
    "style-src-attr": ["'unsafe-inline'"],
}
# Plotly draws parallel coordinates with WebGL programs that it generates and compiles at runtime.
# The panel is loaded into the analysis page, so the policy of that page applies.
ANALYSIS_POLICY: Final[Policy] = PAGES_POLICY | {"script-src": [SELF, "'unsafe-eval'"]}
# Files need nothing, and a page loads thirty of them: the long policy would be a tenth of it. The
# last three do not follow default-src.
FILES_POLICY: Final[Policy] = {
    "default-src": [NONE],
    "form-action": [NONE],
    "frame-ancestors": [NONE],
    "base-uri": [NONE],
}
# Regular expression for the start of a path -> policy. The first match applies.
POLICY_BY_PATH: Final[dict[str, Policy]] = {
    r"/admin/": ADMIN_POLICY,
    r"/api/docs/": API_DOCS_POLICY,
    r"/campaigns/\d+/analysis/": ANALYSIS_POLICY,
}

_UNUSED_FEATURES: Final = (
    "accelerometer",
    "autoplay",
    "camera",
    "display-capture",
    "encrypted-media",
    "geolocation",
    "gyroscope",
    "magnetometer",
    "microphone",
    "midi",
    "payment",
    "usb",
    "xr-spatial-tracking",
)
# The clipboard stays allowed: pages have copy buttons.
PERMISSIONS_POLICY: Final = ", ".join(f"{feature}=()" for feature in _UNUSED_FEATURES)


def csp_text(directives: Policy) -> str:
    """Return the value of the Content-Security-Policy header for these directives."""
    return "; ".join(" ".join([name, *sources]) for name, sources in directives.items())


def add_file_headers(headers: MutableMapping[str, str], _path: str, _url: str) -> None:
    """Give a static file its own policy. The page for one that is missing has that of pages."""
    headers["Content-Security-Policy"] = csp_text(FILES_POLICY)
