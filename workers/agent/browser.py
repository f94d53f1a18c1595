"""Opens an address in the person's browser."""

from __future__ import annotations

import contextlib
import hashlib
import html
import os
import sys
import webbrowser
from pathlib import Path
from typing import Final

from workers.agent.files import write_new

# Stands above an address that is shown because no browser took it.
ONCE: Final = "This address opens the page once, within ten minutes, on this machine:"
OPENING_FILE: Final = "page-open.html"
# Browsers in a snap read no hidden folder, and the state folder is in one.
_SNAPS: Final = Path("/snap/bin")
_SNAP_BROWSERS: Final = ("firefox", "chromium", "brave", "opera")
_PAGE: Final = """<!doctype html>
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0;url={address}">
<title>XeeNet worker</title>
"""


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


def open_privately(address: str, folder: Path) -> bool:
    """Open an address that holds a secret; return whether a browser took it.

    Where every user of the machine sees the words of a command, the browser gets a file that only
    this user can read, and the file leads to the address. `forget` removes it.
    """
    if sys.platform in {"win32", "darwin"}:  # it goes to the browser by a message, or unseen
        return open_address(address)
    path = opening_file(folder)
    try:
        write_new(path, _PAGE.format(address=html.escape(address)), mode=0o600)
    except OSError:
        return False
    if open_address(path.as_uri()):
        return True
    forget(folder)
    return False


def forget(folder: Path) -> None:
    """Remove the file of `open_privately`, once its address has been opened or opens nothing."""
    with contextlib.suppress(OSError):
        opening_file(folder).unlink(missing_ok=True)


def opening_file(folder: Path) -> Path:
    """Return where the file is for an agent with this state folder."""
    if any((_SNAPS / name).exists() for name in _SNAP_BROWSERS):
        with contextlib.suppress(RuntimeError):  # a user without a home
            of_folder = hashlib.sha256(os.fsencode(folder)).hexdigest()[:8]
            return Path.home() / f"xeenet-worker-{of_folder}.html"
    return folder / OPENING_FILE
