"""``xeenet-worker desktop``: the worker in a window of its own; a first start needs no shell.

Where no window can be opened, the same pages open in the browser.
"""

from __future__ import annotations

import argparse
import contextlib
import queue
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

from workers.agent.browser import forget, open_privately
from workers.agent.desktop import faces
from workers.agent.desktop.agent import AgentProcess, why_ended
from workers.agent.desktop.coordinator import Coordinator, Events
from workers.agent.desktop.first_start import FirstStart
from workers.agent.desktop.pythons import Missing, Shower, find_tray, find_web_view
from workers.agent.desktop.welcome import Welcome
from workers.agent.exits import EXIT_OK, EXIT_STATE_FOLDER
from workers.agent.page.asking import NoPage, ask_for_page
from workers.agent.plain_text import plain
from workers.agent.state import (
    HOME_VARIABLE,
    STATUS_FILE,
    StateFolder,
    StateFolderError,
    default_state_folder,
)
from workers.agent.status.file import read_status

_START_SECONDS: Final = 60.0  # for the first word of an agent on a busy machine
_LOOK_SECONDS: Final = 0.2


def desktop_command(words: Sequence[str]) -> int:
    """Open the worker's window as the words after "desktop" say; return the exit code."""
    own, agent_words = _split(list(words))
    options = _parser().parse_args(own)
    root = (options.state_dir or default_state_folder()).expanduser().absolute()
    try:
        return _desktop(options, root, agent_words)
    except (OSError, NoPage, StateFolderError) as error:
        print(plain(error), file=sys.stderr)
        return EXIT_STATE_FOLDER
    except KeyboardInterrupt:
        return EXIT_OK


@dataclass(frozen=True)
class _Start:
    """What there is to show first, and what may be asked later."""

    address: str
    new_address: Callable[[], str]
    is_joining: Callable[[], bool] = bool
    is_ours: bool = True  # whether this program starts and stops the agent


def _desktop(options: argparse.Namespace, root: Path, agent_words: list[str]) -> int:
    events: Events = queue.Queue()
    agent = AgentProcess(root, agent_words)
    with contextlib.ExitStack() as stack:
        stack.callback(forget, root)
        start = _begin(agent, StateFolder(root), stack)

        def why_page() -> str:
            """Serve the page that says why the agent has ended."""
            return _welcome(agent, stack, is_enrolled=True)[0].open()

        has_tray = start.is_ours and not (options.no_tray or options.browser)
        coordinator = Coordinator(
            agent,
            events,
            open_window=None if options.browser else _windows(events),
            open_browser=lambda address: open_privately(address, root),
            open_tray=_trays(events) if has_tray else None,
            new_address=start.new_address,
            is_joining=start.is_joining,
            why_page=why_page,
        )
        signal.signal(signal.SIGTERM, _end)
        return coordinator.run(start.address)


def _begin(agent: AgentProcess, state: StateFolder, stack: contextlib.ExitStack) -> _Start:
    """Find the agent that runs, start the one that has joined, or begin with the first page.

    Raises `NoPage`, OSError.
    """
    root = agent.root
    if read_status(root / STATUS_FILE).is_living:
        return _Start(ask_for_page(root), lambda: ask_for_page(root), is_ours=False)
    stack.callback(agent.stop)
    if state.load_credentials() is not None:
        agent.start()
        if address := _first_address(agent):
            return _Start(address, agent.address)
        welcome, _ = _welcome(agent, stack, is_enrolled=True)
        return _Start(welcome.open(), lambda: agent.address() or welcome.open())
    welcome, first_start = _welcome(agent, stack, is_enrolled=False)
    return _Start(
        welcome.open(),
        lambda: agent.address() or welcome.open(),
        lambda: not first_start.has_joined,
    )


def _welcome(
    agent: AgentProcess, stack: contextlib.ExitStack, *, is_enrolled: bool
) -> tuple[Welcome, FirstStart]:
    """Serve the first page until the program ends."""
    first_start = FirstStart(agent, lambda: why_ended(agent), is_enrolled=is_enrolled)
    welcome = Welcome(first_start, on_begun=lambda: forget(agent.root))
    welcome.start()
    stack.callback(welcome.stop)
    return welcome, first_start


def _first_address(agent: AgentProcess) -> str:
    """Return the address of an agent that was just started; "" when it has ended again."""
    end = time.monotonic() + _START_SECONDS
    while agent.is_running and time.monotonic() < end:
        if address := agent.address():
            return address
        time.sleep(_LOOK_SECONDS)
    return ""


def _windows(events: Events) -> Callable[[str, str], faces.Face] | None:
    """Return what opens windows; without, say why and what to type."""
    shower = find_web_view()
    if isinstance(shower, Missing):
        print(plain(f"{shower} Until then the page opens in your browser."), file=sys.stderr)
        return None
    python: Shower = shower
    return lambda address, title: faces.window(python, address, title, events)


def _trays(events: Events) -> Callable[[str], faces.Face] | None:
    shower = find_tray()
    if isinstance(shower, Missing):
        return None  # nothing is lost: the window can do all of it
    python: Shower = shower
    return lambda title: faces.tray(python, title, events)


def _end(_number: int, _frame: FrameType | None) -> NoReturn:
    """Exit through every `finally`, so that the agent gives its tasks back."""
    raise SystemExit(EXIT_OK)


def _split(words: list[str]) -> tuple[list[str], list[str]]:
    """Return the words of this command, and those after ``--``, which are the agent's."""
    if "--" not in words:
        return words, []
    place = words.index("--")
    return words[:place], words[place + 1 :]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="xeenet-worker desktop",
        allow_abbrev=False,
        usage="xeenet-worker desktop [options] [-- options of the agent]",
        description="Show the worker in a window of its own; join with an invitation at the first "
        "start. Closing the window stops a worker that was started with it, unless there is an "
        "icon in the tray.",
    )
    add = parser.add_argument
    add("--browser", action="store_true", help="use the browser, no window")
    add("--no-tray", action="store_true", help="show no icon in the tray")
    place = f"the agent's state folder (default: {HOME_VARIABLE}, or the platform's usual place)"
    add("--state-dir", type=Path, help=place)
    return parser
