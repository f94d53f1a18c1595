"""Which Python of this machine can show the window or the icon, and what to do where none can."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from workers.agent.executables import own_python, pip_install

_ANSWER_SECONDS: Final = 30.0
_DISTRIBUTION: Final = Path("/usr/bin/python3")
_OS_RELEASE: Final = Path("/etc/os-release")
# What pywebview needs of the system on Linux; elsewhere pip brings it along.
_WEB_VIEW: Final = """
import sys
sys.path.extend(sys.argv[1:])
import webview
if sys.platform.startswith("linux"):
    import gi
    gi.require_version("Gtk", "3.0")
    try:
        gi.require_version("WebKit2", "4.1")
    except ValueError:
        gi.require_version("WebKit2", "4.0")
    from gi.repository import Gtk, WebKit2
"""
TRAY_PROGRAM: Final = Path(__file__).with_name("tray_program.py")
_NO_WEB_VIEW: Final = "A window of its own needs the package pywebview."
_NOTHING_TO_ADD: Final = (
    "This program has no window of its own. An agent installed by pip, uv or pipx can have one."
)
_NO_MENU: Final = "exit code 9"
_PACKAGES: Final = {
    "debian": "sudo apt-get install python3-gi gir1.2-webkit2-4.1",
    "fedora": "sudo dnf install python3-gobject webkit2gtk4.1",
    "suse": "sudo zypper install python3-gobject typelib-1_0-WebKit2-4_1",
    "arch": "sudo pacman -S python-gobject webkit2gtk-4.1",
}


@dataclass(frozen=True)
class Shower:
    """A Python that can show it, and the folders to add to its search path."""

    python: str
    packages: tuple[str, ...]


@dataclass(frozen=True)
class Missing:
    """Why nothing can be shown, and the command that changes that."""

    why: str
    command: str = ""

    def __str__(self) -> str:
        return f"{self.why} To change that: {self.command}" if self.command else self.why


Works = Callable[[Sequence[str]], str]  # returns the last line of its complaint, "" for success


def complaint(words: Sequence[str]) -> str:
    """Run a Python with a small script; return why that fails, "" when it does not."""
    try:
        ended = subprocess.run(
            list(words),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_ANSWER_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error) or type(error).__name__
    if ended.returncode == 0:
        return ""
    return (ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"])[-1]


def find_web_view(works: Works = complaint) -> Shower | Missing:
    """Return a Python that can open the window, the agent's own first."""
    packages = _folder_of("webview")
    if packages is None:
        command = pip_install("pywebview>=6.2,<7")
        return Missing(_NO_WEB_VIEW if command else _NOTHING_TO_ADD, command)
    tried = "there is no Python here"
    for python in _candidates():
        extra = () if python == own_python() else (packages,)
        tried = works([python, "-c", _WEB_VIEW, *extra])
        if not tried:
            return Shower(python, extra)
    return _no_web_view(tried)


def find_tray(works: Works = complaint) -> Shower | Missing:
    """Return a Python that can show the icon: with a menu, where one of them can."""
    packages = _folder_of("pystray")
    if packages is None or _folder_of("PIL") is None:
        command = pip_install("pystray", "Pillow")
        return Missing("An icon in the tray needs the package pystray.", command)
    without_menu, problem = None, ""
    for python in _candidates():
        extra = () if python == own_python() else (packages,)
        problem = works([python, str(TRAY_PROGRAM), "--check", *extra])
        if not problem:
            return Shower(python, extra)
        if problem == _NO_MENU:
            without_menu = without_menu or Shower(python, extra)
    return without_menu or Missing(f"There is no tray here: {problem}.")


def _no_web_view(problem: str) -> Missing:
    if not sys.platform.startswith("linux"):
        return Missing(f"The system's web view cannot be used: {problem}.")
    return Missing(
        "The window needs PyGObject and WebKitGTK. They come from the distribution, for its own "
        f"Python, so pip cannot install them into another one ({problem}).",
        _command_of_distribution(),
    )


def _command_of_distribution() -> str:
    """Return how this distribution installs PyGObject and WebKitGTK; "" for an unknown one."""
    try:
        lines = _OS_RELEASE.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    values = dict(line.split("=", 1) for line in lines if "=" in line)
    families = f"{values.get('ID', '')} {values.get('ID_LIKE', '')}".replace('"', "").split()
    named = ["debian" if family == "ubuntu" else family for family in families]
    named = ["suse" if "suse" in family else family for family in named]
    return next((_PACKAGES[family] for family in named if family in _PACKAGES), "")


def _candidates() -> list[str]:
    """Return the agent's Python, then the distribution's, which has its own packages."""
    own = [own_python()] if own_python() else []
    others = [str(_DISTRIBUTION)] if sys.platform.startswith("linux") else []
    return [*own, *(python for python in others if shutil.which(python))]


def _folder_of(package: str) -> str | None:
    """Return the folder in which this Python finds a package."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return None
    return str(Path(spec.origin).parent.parent)
