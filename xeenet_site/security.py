"""What a browser may do with our answers: the Content-Security-Policy of pages and admin."""

from __future__ import annotations

from typing import Final

Policy = dict[str, list[str]]

SELF: Final = "'self'"
NONE: Final = "'none'"

# Plotly makes two style elements: an empty one, whose rules it then sets by script, and one for
# maps, which we do not draw; and it empties style attributes. Named by their hash, so that nothing
# else gets in; that of the maps changes with Plotly's release, and tests/browser/test_csp.py tells.
_EMPTY_STYLE: Final = "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"
_PLOTLY_MAP_STYLE: Final = "'sha256-ji27qzEtxXZW+7dun6UwjHXJ18e6WAin1VvNtkzIE/o='"
# "font-weight:bold", as Plotly writes the <b> of a hover text and of a label.
_BOLD: Final = "'sha256-wkY2X5hecQzbhnFCqvTpwrUJ1f4X8LH5WFjYUzv1wmU='"

# No inline script, no other style attribute, no other host.
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
# The admin's look (django-unfold) is driven by Alpine, which compiles the expressions in its
# attributes ('unsafe-eval'), and brings its colours in a style element and style attributes. Still
# no inline script: text that somebody wrote cannot run by itself. Only staff come here.
ADMIN_POLICY: Final[Policy] = PAGES_POLICY | {
    "script-src": [SELF, "'unsafe-eval'"],
    "style-src": [SELF, "'unsafe-inline'"],
    "style-src-elem": [SELF, "'unsafe-inline'"],
    "style-src-attr": ["'unsafe-inline'"],
}
# Swagger UI sets style attributes and draws its icons from data addresses.
API_DOCS_POLICY: Final[Policy] = PAGES_POLICY | {
    "style-src": [SELF, "'unsafe-inline'"],
    "style-src-elem": [SELF, "'unsafe-inline'"],
    "style-src-attr": ["'unsafe-inline'"],
}
# Plotly draws parallel coordinates with WebGL programs that it writes and compiles as it goes. The
# panel comes into the analysis page, whose policy is the one that counts.
ANALYSIS_POLICY: Final[Policy] = PAGES_POLICY | {"script-src": [SELF, "'unsafe-eval'"]}
# Path (a regular expression from its beginning) -> policy; the first that fits.
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
# The clipboard stays: pages have buttons that copy.
PERMISSIONS_POLICY: Final = ", ".join(f"{feature}=()" for feature in _UNUSED_FEATURES)
