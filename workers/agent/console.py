"""The console window of Windows: closing it, or signing out, must not cost the tasks.

Written after its documents, not run here. Windows ends the process when the handler returns, and
about five seconds after the event at the latest.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from typing import Any, Final

_CLOSE: Final = frozenset({2, 5, 6})  # CTRL_CLOSE_EVENT, CTRL_LOGOFF_EVENT, CTRL_SHUTDOWN_EVENT
_GRACE_SECONDS: Final = 4.5

# Windows calls a handler as long as the process lives, so it must never be collected.
_kept: list[Any] = []


def _kernel() -> Any:
    """Return Windows' kernel32, None on other systems."""
    libraries = getattr(ctypes, "windll", None)
    return libraries and libraries.kernel32


def end_well_when_closed(
    end: Callable[[], None], is_over: threading.Event, kernel: Any = None
) -> None:
    """Call ``end`` when the console goes, and let the process live until ``is_over``.

    Elsewhere than on Windows it does nothing; there a signal says so.
    """
    if kernel is None:
        kernel = _kernel()
    if kernel is None:
        return

    def handle(event: int) -> int:
        if event not in _CLOSE:
            return 0  # Ctrl-C and Ctrl-Break are signals
        end()
        is_over.wait(_GRACE_SECONDS)
        return 1

    kind = getattr(ctypes, "WINFUNCTYPE", ctypes.CFUNCTYPE)
    handler = kind(ctypes.c_int, ctypes.c_uint)(handle)
    _kept.append(handler)
    kernel.SetConsoleCtrlHandler(handler, 1)
