"""Opens an address in the person's browser."""

from __future__ import annotations

import os
import sys
import webbrowser


def open_address(address: str) -> bool:
    """Open a page in a browser with a window of its own; return whether there is one.

    A browser in this terminal would draw over the card.
    """
    graphical = sys.platform in {"win32", "darwin"} or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )
    if not graphical:
        return False
    try:
        return webbrowser.open(address)
    except webbrowser.Error:
        return False
