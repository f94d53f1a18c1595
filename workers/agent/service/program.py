"""How another program starts this agent: with which words, and in which folder."""

from __future__ import annotations

import site
import sysconfig
from dataclasses import dataclass
from pathlib import Path, PurePath

import workers
from workers.agent.executables import agent_words, is_frozen


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
    if is_frozen():
        return Program(tuple(agent_words()), state)
    above = Path(workers.__file__).resolve().parent.parent
    if above in _package_folders():
        return Program(tuple(agent_words("-P")), state)
    return Program(tuple(agent_words()), above)


def _package_folders() -> set[Path]:
    named = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    named += [*site.getsitepackages(), site.getusersitepackages()]
    return {Path(name).resolve() for name in named}
