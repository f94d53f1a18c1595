"""Since when the person has not touched keys or mouse, asked from the session's own programs.

Runs in the person's session (`session_helper`). Each source returns seconds, or None when it does
not answer here. X11 and GNOME were tried; macOS and Windows are written after their documents and
only run with doubles.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

from workers.agent.limits.sensors import Run, answer_of

_MUTTER: Final = "org.gnome.Mutter.IdleMonitor"
_SCREEN_SAVER: Final = "org.freedesktop.ScreenSaver"
_IOREG_IDLE: Final = re.compile(r'"HIDIdleTime"\s*=\s*(\d+)')
_WHOLE: Final = re.compile(r"^[a-z]+ (\d+)$")

Source = Callable[[], "float | None"]


class X11:
    """The screen saver extension of an X server (libXss)."""

    def __init__(self) -> None:
        """Connect. Raises OSError without libraries, server or extension."""
        self._x11, self._xss = _library("X11"), _library("Xss")
        self._x11.XOpenDisplay.restype = ctypes.c_void_p
        self._x11.XDefaultRootWindow.restype = ctypes.c_ulong
        self._xss.XScreenSaverAllocInfo.restype = ctypes.POINTER(_ScreenSaverInfo)
        address = self._x11.XOpenDisplay(None)
        if not address:
            raise OSError("no X server answers")
        self._display = ctypes.c_void_p(address)
        event, error = ctypes.c_int(), ctypes.c_int()
        ask = self._xss.XScreenSaverQueryExtension
        if not ask(self._display, ctypes.byref(event), ctypes.byref(error)):
            raise OSError("the X server has no screen saver extension")
        self._root = ctypes.c_ulong(self._x11.XDefaultRootWindow(self._display))
        self._info = self._xss.XScreenSaverAllocInfo()

    def __call__(self) -> float | None:
        """Return the seconds since the last input. A server that ends ends this process, too."""
        if not self._xss.XScreenSaverQueryInfo(self._display, self._root, self._info):
            return None
        return float(self._info.contents.idle) / 1000


class _ScreenSaverInfo(ctypes.Structure):
    _fields_ = (
        ("window", ctypes.c_ulong),
        ("state", ctypes.c_int),
        ("kind", ctypes.c_int),
        ("til_or_since", ctypes.c_ulong),
        ("idle", ctypes.c_ulong),  # milliseconds
        ("event_mask", ctypes.c_ulong),
    )


def gnome(run: Run = answer_of) -> float | None:
    """Return the seconds that GNOME's compositor tells, on Wayland, too."""
    words = ["busctl", "--user", "call", _MUTTER, "/org/gnome/Mutter/IdleMonitor/Core"]
    return _seconds(_WHOLE.match(run([*words, _MUTTER, "GetIdletime"])), 1e3)


def screen_saver(run: Run = answer_of) -> float | None:
    """Return the seconds that the desktop's screen saver tells (KDE Plasma: milliseconds)."""
    words = ["busctl", "--user", "call", _SCREEN_SAVER, "/org/freedesktop/ScreenSaver"]
    return _seconds(_WHOLE.match(run([*words, _SCREEN_SAVER, "GetSessionIdleTime"])), 1e3)


def macos(run: Run = answer_of) -> float | None:
    """Return the seconds that macOS' input system tells."""
    return _seconds(_IOREG_IDLE.search(run(["ioreg", "-c", "IOHIDSystem", "-d", "4"])), 1e9)


def windows(user32: Any = None, kernel32: Any = None) -> float | None:
    """Return the seconds since Windows' last input event."""
    if user32 is None or kernel32 is None:
        libraries: Any = getattr(ctypes, "windll", None)
        if libraries is None:
            return None
        user32, kernel32 = libraries.user32, libraries.kernel32
    info = _LastInput(ctypes.sizeof(_LastInput), 0)
    if not user32.GetLastInputInfo(ctypes.byref(info)):
        return None
    # Both count milliseconds in 32 bits, and start again after 49 days.
    return ((int(kernel32.GetTickCount()) - int(info.time)) & 0xFFFFFFFF) / 1000


class _LastInput(ctypes.Structure):
    _fields_ = (("size", ctypes.c_uint), ("time", ctypes.c_uint))


def find_source(
    platform: str = sys.platform,
    environment: Mapping[str, str] = os.environ,
    run: Run = answer_of,
    x11: Callable[[], Source] = X11,
) -> tuple[Source | None, str]:
    """Return a source that answers in this session and its name; or None and why there is none.

    On Wayland an X server sees only the input of programs that use X, so it is no source there.
    """
    if platform == "darwin":
        return _if_it_answers(lambda: macos(run), "macOS")
    if platform == "win32":
        return _if_it_answers(windows, "Windows")
    for source, name in ((gnome, "GNOME"), (screen_saver, "the screen saver")):
        asked = _bound(source, run)
        if asked() is not None:
            return asked, name
    if environment.get("WAYLAND_DISPLAY") or environment.get("XDG_SESSION_TYPE") == "wayland":
        return None, "this Wayland desktop tells nobody how long it was idle"
    if not environment.get("DISPLAY"):
        return None, "there is no desktop session here"
    try:
        return x11(), "X11"
    except OSError as error:
        return None, f"X11: {error}"


def _bound(source: Callable[[Run], float | None], run: Run) -> Source:
    return lambda: source(run)


def _if_it_answers(source: Source, name: str) -> tuple[Source | None, str]:
    return (None, f"{name} does not tell") if source() is None else (source, name)


def _seconds(match: re.Match[str] | None, units: float) -> float | None:
    return None if match is None else int(match.group(1)) / units


def _library(name: str) -> ctypes.CDLL:
    path = ctypes.util.find_library(name)
    if path is None:
        raise OSError(f"lib{name} is not installed")
    return ctypes.CDLL(path)
