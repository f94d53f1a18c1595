"""How another program starts this agent: with which words, and in which folder."""

from __future__ import annotations

import site
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path, PurePath

import workers


@dataclass(frozen=True)
class Program:
    """The words that start the agent, before any option, and the folder to start them in."""

    words: tuple[str, ...]
    folder: PurePath


def this_program(state: Path) -> Program:
    """Return how this very installation is started.

    A checkout is found by the folder that it is started in. An installed agent starts in the state
    folder, where no Python file of somebody else may come before it (``-P``).
    """
    if getattr(sys, "frozen", False):
        return Program((sys.executable,), state)
    above = Path(workers.__file__).resolve().parent.parent
    if above in _package_folders():
        return Program((sys.executable, "-P", "-m", "workers.agent"), state)
    return Program((sys.executable, "-m", "workers.agent"), above)


def _package_folders() -> set[Path]:
    named = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    named += [*site.getsitepackages(), site.getusersitepackages()]
    return {Path(name).resolve() for name in named}
