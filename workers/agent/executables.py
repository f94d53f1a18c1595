"""Which program to start when the agent needs a process of its own code.

Installed as a package, the agent is run by a Python: `sys.executable`. In the folder that
PyInstaller makes, that is the agent itself, and no Python. So no other module of the agent reads
it. A start means one of two things: the agent again (`agent_words`), also to run a helper of its
own, or a Python (`own_python`). Scripts run with the one that `running.interpreter` names.
"""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

AGENT_MODULE: Final = "workers.agent"
# What a Python reads nothing of the owner's with. The frozen agent takes them as its cue.
_ALONE: Final = ("-I", "-S")
_MODULE: Final = "-m"
# PyInstaller's launcher puts its own folder first and keeps the owner's value under another name.
_LIBRARY_PATHS: Final = ("LD_LIBRARY_PATH", "LIBPATH")
_OWNERS: Final = "_ORIG"
_LAUNCHERS: Final = "_PYI_"


def is_frozen() -> bool:
    """Return whether this agent is a program of its own, with no Python beside it."""
    return bool(getattr(sys, "frozen", False))


def own_python() -> str:
    """Return the Python that runs this agent; "" where the agent is a program of its own."""
    return "" if is_frozen() else sys.executable


def own_executable() -> str:
    """Return the program of this very process, to become it again with other arguments."""
    return sys.executable


def agent_words(*options: str) -> list[str]:
    """Return the words that start this agent again; ``options`` are for its Python, if any."""
    return [sys.executable] if is_frozen() else [sys.executable, *options, _MODULE, AGENT_MODULE]


def helper_words(file: Path) -> list[str]:
    """Return the words that start a helper: a plain file of the agent's for the bare library.

    It needs no Python on the machine and none with torch: the frozen agent runs it by itself.
    """
    return [sys.executable, *_ALONE, str(file)]


def module_words(module: str) -> list[str]:
    """Return the words that start a module of the agent as a process of its own."""
    return [sys.executable, _MODULE, module]


def pip_install(*packages: str) -> str:
    """Return the command that adds packages to this agent; "" where nothing can be added to it."""
    quoted = [f'"{package}"' if ">" in package else package for package in packages]
    return "" if is_frozen() else " ".join([sys.executable, "-m pip install", *quoted])


def shipped_program(name: str) -> str:
    """Return the path of a program that came in the frozen agent's folder; "" where none did."""
    if not is_frozen():
        return ""
    path = frozen_folder() / "bin" / (f"{name}.exe" if os.name == "nt" else name)
    return str(path) if path.is_file() else ""


def frozen_folder() -> Path:
    """Return the folder with the frozen agent's files; PyInstaller's launcher names it."""
    return Path(str(getattr(sys, "_MEIPASS", "")))


def restore_environment() -> None:
    """Give variables their values from before PyInstaller's launcher.

    Else every program that the agent starts, the Python of the scripts above all, would load the
    libraries of this folder in place of its own.
    """
    for name in _LIBRARY_PATHS:
        before = os.environ.pop(name + _OWNERS, None)
        os.environ.pop(name, None)
        if before:
            os.environ[name] = before
    for name in [name for name in os.environ if name.startswith(_LAUNCHERS)]:
        del os.environ[name]


def helper_of(words: Sequence[str], folder: Path) -> tuple[str, int] | None:
    """Return which helper the words after the program mean, and the place of its name in them.

    None when they are the agent's own. Only files in ``folder`` and modules of the agent count, so
    that the frozen agent is no Python for anybody else.
    """
    if tuple(words[:2]) == _ALONE and len(words) > 2:
        is_ours = Path(os.path.abspath(words[2])).is_relative_to(folder)  # noqa: PTH100
        return (words[2], 2) if is_ours and words[2].endswith(".py") else None
    if len(words) > 1 and words[0] == _MODULE and words[1].startswith(AGENT_MODULE + "."):
        return words[1], 1
    return None


def run_helper() -> bool:
    """Run the helper that the frozen agent's arguments name; return False where they do not."""
    found = helper_of(sys.argv[1:], frozen_folder())
    if found is None:
        return False
    name, place = found
    sys.argv = sys.argv[place + 1 :]
    if sys.argv[0].endswith(".py"):
        runpy.run_path(name, run_name="__main__")
    else:
        runpy.run_module(name, run_name="__main__", alter_sys=True)
    return True
