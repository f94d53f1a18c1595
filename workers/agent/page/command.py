"""``xeenet-worker open``: shows the page of the agent that runs on this machine.

It asks the agent through the state folder, without its lock. The exit code is 0 when the page is
there, 3 when the agent does not answer or the folder cannot be used, and 6 where no agent runs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from workers.agent.browser import ONCE, open_privately
from workers.agent.exits import EXIT_NOT_RUNNING, EXIT_OK, EXIT_STATE_FOLDER
from workers.agent.page.asking import NoAgent, NoPage, ask_for_page
from workers.agent.plain_text import plain
from workers.agent.state import HOME_VARIABLE, default_state_folder


def open_command(words: Sequence[str], run_agent: Callable[[list[str]], int]) -> int:
    """Open the page as the words after "open" say; return the exit code.

    Where no agent runs, a person at a terminal is asked whether ``run_agent`` may start one.
    """
    options = _parser().parse_args(list(words))
    root = (options.state_dir or default_state_folder()).expanduser().absolute()
    try:
        address = ask_for_page(root)
    except NoAgent as error:
        print(plain(error), file=sys.stderr)
        arguments = ["--page"]
        if options.state_dir:
            arguments += ["--state-dir", str(options.state_dir)]
        if options.start or _wants_to_start():
            return run_agent(arguments)
        print(plain(f"Start one: xeenet-worker {' '.join(arguments)}"), file=sys.stderr)
        return EXIT_NOT_RUNNING
    except NoPage as error:
        print(plain(error), file=sys.stderr)
        return EXIT_STATE_FOLDER
    except OSError as error:
        print(plain(f"The state folder {root} cannot be used: {error}"), file=sys.stderr)
        return EXIT_STATE_FOLDER
    is_open = not options.print and open_privately(address, root)
    show_opened("" if is_open else address)
    return EXIT_OK


def show_opened(address: str) -> None:
    """Say that the page is open in a browser, or print its address where it is not."""
    if not address:
        print("The page is open in your browser.", file=sys.stderr)
        return
    print(ONCE)
    print(address, flush=True)


def _wants_to_start() -> bool:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    print("Start one here, with its page? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="xeenet-worker open",
        allow_abbrev=False,
        description="Show the page of the agent on this machine, without disturbing it.",
        epilog="Exit codes: 0 the page is there, 3 the agent does not answer, 6 none runs.",
    )
    add = parser.add_argument
    add("--print", action="store_true", help="print the address, open no browser")
    add("--start", action="store_true", help="start an agent where none runs, without asking")
    place = f"the agent's state folder (default: {HOME_VARIABLE}, or the platform's usual place)"
    add("--state-dir", type=Path, help=place)
    return parser
