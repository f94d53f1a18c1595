"""How far a set-up is: told to a terminal, to the agent's status, and to a file beside it.

The file lets everybody see a set-up that runs in a process of its own: `xeenet-worker status`, the
agent that works meanwhile, and whatever shows its status.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final, TextIO

from workers.agent.files import read_regular, write_new
from workers.agent.plain_text import plain
from workers.agent.setup.environments import SetUpRuns
from workers.agent.status import words
from workers.agent.status.board import StatusBoard
from workers.agent.status.encoding import Unreadable, read
from workers.agent.status.living import is_living, start_mark
from workers.agent.status.model import SetUp, SetUpStep

FILE_NAME: Final = "setup.json"
INTERRUPTED: Final = "it was interrupted; start it again"
_MAX_BYTES: Final = 64 * 1024
_LOOK_SECONDS: Final = 2.0
_ON_PAPER: Final = 0.1  # share between two lines where there is no terminal

Sink = Callable[[SetUp], None]


class Reporter:
    """Tells every sink what a set-up in this process does."""

    def __init__(self, sinks: Iterable[Sink]) -> None:
        self._sinks = tuple(sinks)
        pid = os.getpid()
        self._now = SetUp(SetUpStep.ENVIRONMENT, "", time.time(), pid, start_mark(pid))

    def step(self, step: SetUpStep, sentence: str, total_bytes: int = 0) -> None:
        """Begin a step, or say how it ended."""
        now = replace(self._now, step=step, sentence=sentence)
        self._tell(replace(now, done_bytes=0, total_bytes=total_bytes))

    def bytes_done(self, count: int) -> None:
        """Say how many bytes of the step are there."""
        self._tell(replace(self._now, done_bytes=max(0, count)))

    def carry_out(self, act: Callable[[], str]) -> None:
        """Do it and tell how it ended: ``act`` returns the sentence. Raises what it raises."""
        try:
            sentence = act()
        except SetUpRuns:  # what is told belongs to the other one
            raise
        except BaseException as error:
            stopped = not isinstance(error, Exception)
            self.step(SetUpStep.FAILED, "it was stopped" if stopped else str(error))
            raise
        self.step(SetUpStep.DONE, f"{sentence}.")

    def _tell(self, now: SetUp) -> None:
        self._now = now
        for sink in self._sinks:
            sink(now)


def file_sink(state_root: Path) -> Sink:
    """Return what writes the progress into the state folder. A disk that is full stops nothing."""
    path = state_root / FILE_NAME

    def write(now: SetUp) -> None:
        temporary = path.with_suffix(".tmp")
        try:
            write_new(temporary, json.dumps(asdict(now)), mode=0o600)
            temporary.replace(path)
        except OSError:
            return

    return write


def terminal_sink(stream: TextIO | None = None, *, sentences: bool = True) -> Sink:
    """Return what prints the progress: on a terminal in one line that moves, else line by line.

    It does not print why a set-up failed, which is an error of the whole command. Without
    ``sentences`` it prints the bytes alone: something else prints what each step is.
    """
    out = sys.stdout if stream is None else stream
    is_terminal = out.isatty() and os.environ.get("TERM") != "dumb"
    last: dict[str, float | str] = {"sentence": "", "share": 0.0}

    def show(now: SetUp) -> None:
        if now.step is SetUpStep.FAILED:
            print("\r\033[K" if is_terminal else "", end="", file=out, flush=True)
            return
        is_new = now.sentence != last["sentence"]
        share = now.share or 0.0
        if is_new:
            text = f"  {plain(now.sentence)}\n" if sentences else ""
            print(("\r\033[K" if is_terminal else "") + text, end="", file=out)
            last.update(sentence=now.sentence, share=0.0)
        if now.share is None:
            out.flush()
            return
        far = f"{words.size(now.done_bytes)} of about {words.size(now.total_bytes)}"
        if is_terminal:
            filled = round(share * 20)
            print(f"\r\033[K    {'▓' * filled}{'░' * (20 - filled)} {far}", end="", file=out)
        elif share >= float(last["share"]) + _ON_PAPER:
            print(f"    {far}", file=out)
            last["share"] = share
        out.flush()

    return show


def read_progress(state_root: Path) -> SetUp | None:
    """Return how far the last set-up came, None where there was none or the file is broken.

    One whose process is gone before it ended is told as failed.
    """
    try:
        now: SetUp = read(
            SetUp, json.loads(read_regular(state_root / FILE_NAME, _MAX_BYTES)), "set-up"
        )
    except (OSError, ValueError, RecursionError, Unreadable):
        return None
    if now.is_running and not is_living(now.pid, now.start_mark):
        return replace(now, step=SetUpStep.FAILED, sentence=INTERRUPTED)
    return now


class Watch:
    """Tells an agent's status of set-ups in other processes, from now on. Start it once."""

    def __init__(self, state_root: Path, board: StatusBoard) -> None:
        self._root = state_root
        self._board = board
        self._told: SetUp | None = None
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="set-up", daemon=True)

    def start(self) -> None:
        """Look from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._ending.set()

    def look(self) -> None:
        """Tell of a set-up of another process that began or went on since the agent started."""
        now = read_progress(self._root)
        if now is None or now.pid == os.getpid():
            return
        if now == self._told:  # the agent may have taken its Python since, and says so itself
            return
        known = self._board.status.torch_setup
        was_seen = known is not None and (known.pid, known.since) == (now.pid, now.since)
        if now.is_running or was_seen or now.since > self._board.status.identity.started_at:
            self._told = now
            self._board.torch_setup(now)

    def _run(self) -> None:
        while not self._ending.wait(_LOOK_SECONDS):
            self.look()
