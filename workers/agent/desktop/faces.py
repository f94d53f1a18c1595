"""The window and the icon as processes, and what comes back from them."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Final

from workers.agent.desktop.pythons import TRAY_PROGRAM, Shower
from workers.agent.secrecy import ENROLMENT_VARIABLE, TOKEN_VARIABLE

WINDOW_PROGRAM: Final = Path(__file__).with_name("window_program.py")
_SIZE: Final = {"width": 1080, "height": 800}
_GRAPHICS: Final = Path("/dev/dri")
_WITHOUT_GRAPHICS: Final = ("WEBKIT_DISABLE_DMABUF_RENDERER", "WEBKIT_DISABLE_COMPOSITING_MODE")
_END_SECONDS: Final = 5.0
_SECRET: Final = frozenset({TOKEN_VARIABLE, ENROLMENT_VARIABLE})


class Face:
    """A program that shows something. What it says arrives in ``events`` as (name, word)."""

    def __init__(
        self,
        name: str,
        shower: Shower,
        program: Path,
        order: dict[str, Any],
        events: queue.Queue[tuple[str, str]],
    ) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [shower.python, str(program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={name: value for name, value in os.environ.items() if name not in _SECRET},
        )
        self.tell({"packages": shower.packages, **order})
        # Daemons: a window whose end nobody hears of must not keep the program alive.
        threading.Thread(target=self._listen, args=(events,), daemon=True).start()

    @property
    def is_shown(self) -> bool:
        """Whether its process runs."""
        return self._process.poll() is None

    def tell(self, order: dict[str, Any]) -> None:
        """Send it a line; one that has ended hears nothing."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError, ValueError):
                self._process.stdin.write(json.dumps(order) + "\n")
                self._process.stdin.flush()

    def end(self) -> None:
        """Close it."""
        self._process.terminate()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def _listen(self, events: queue.Queue[tuple[str, str]]) -> None:
        if self._process.stdout is not None:
            with contextlib.suppress(OSError, ValueError):
                for line in self._process.stdout:
                    events.put((self.name, line.strip()))
        self._process.wait()
        events.put((self.name, "ended"))


def window(shower: Shower, address: str, title: str, events: queue.Queue[tuple[str, str]]) -> Face:
    """Open a window on an address. Raises OSError."""
    order = {"address": address, "title": title, "variables": _painting(), **_SIZE}
    return Face("window", shower, WINDOW_PROGRAM, order, events)


def _painting() -> dict[str, str]:
    """Return what lets WebKitGTK paint where there is no graphics card; it stays white else."""
    is_bare = sys.platform.startswith("linux") and not _GRAPHICS.exists()
    return dict.fromkeys(_WITHOUT_GRAPHICS, "1") if is_bare else {}


def tray(shower: Shower, title: str, events: queue.Queue[tuple[str, str]]) -> Face:
    """Show the icon. Raises OSError."""
    return Face("tray", shower, TRAY_PROGRAM, {"title": title, "tone": ""}, events)
