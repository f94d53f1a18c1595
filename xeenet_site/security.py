"""What a browser may do with our answers: the Content-Security-Policy of pages and admin."""

from __future__ import annotations

from typing import Final

Policy = dict[str, list[str]]

SELF: Final = "'self'"
NONE: Final = "'none'"

# No inline script, no inline style, no other host.
PAGES_POLICY: Final[Policy] = {
    "default-src": [NONE],
    "script-src": [SELF],
    "style-src": [SELF],
    "img-src": [SELF, "data:"],
    "font-src": [SELF],
    "connect-src": [SELF],
    "form-action": [SELF],
    "frame-ancestors": [NONE],
    "base-uri": [NONE],
}
POLICY_BY_PREFIX: Final[dict[str, Policy]] = {}

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
