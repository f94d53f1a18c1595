"""One spare: a process that has imported torch and waits for its one task (Linux).

It is started like a run: below a guardian, in the enclosure and the sandbox of a run, with a tag
of its own and at the priority of its task. So it ends with the agent, and the next start sweeps it
up. Its folder is empty and becomes the task's. `workers/warm_start.py` is what runs in it.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from workers import warm_start
from workers.agent.attempt import StopRequest
from workers.agent.disk import remove_folder
from workers.agent.grants import Priority
from workers.agent.output.progress import ProgressBuffer
from workers.agent.processes.enclosure import best_enclosure
from workers.agent.processes.process_tree import ProcessTree
from workers.agent.running.environment import script_environment
from workers.agent.running.execution import (
    MAX_DISK_BYTES,
    Beginning,
    Execution,
    Limits,
    follow,
)
from workers.agent.running.interpreter import Interpreter
from workers.agent.running.sandbox import Sandbox

READY_SECONDS: Final = 60.0  # a cold disk, a busy machine
_PROGRAM: Final = Path(warm_start.__file__)
_MOST_ANSWER_BYTES: Final = 8_192
_LOOK_SECONDS: Final = 0.2


class SpareFailed(Exception):
    """The spare cannot take a task; the message says why. The task can still be run cold."""


@dataclass(frozen=True)
class SpareRecipe:
    """What is fixed when a spare is started: it takes a task only if all of it is the same then."""

    python: Interpreter
    data_folder: Path
    sandbox: Sandbox | None = None
    variables: Mapping[str, str] = field(default_factory=dict)  # that the hardware check found
    priority: Priority = Priority.NORMAL
    disk_bytes: int = MAX_DISK_BYTES


class Spare:
    """Starts the process. Raises OSError.

    ``data`` is the data set of a task that is claimed already: a sandbox can read that one file.
    """

    def __init__(
        self, recipe: SpareRecipe, folder: Path, tag: str, data: Path | None = None
    ) -> None:
        self.recipe = recipe
        self.folder = folder
        self.tag = tag
        self.data = data
        self.ready_at: float | None = None  # by the monotonic clock
        self.torch_version = ""
        self._torch_file = Path()
        self._torch_state: tuple[int, ...] = ()
        self._word = secrets.token_hex(8)
        self._unread = b""
        self._is_over = False
        folder.mkdir(parents=True)
        command = [recipe.python.executable, "-u", str(_PROGRAM), self._word]
        if recipe.sandbox is not None:
            readable = [_PROGRAM] if data is None else [_PROGRAM, data]
            command = recipe.sandbox.wrap(command, folder=folder, readable=readable)
        environment = script_environment(
            folder,
            recipe.data_folder,
            threads=1,  # for the import
            user_base=recipe.python.user_base,
            extra=recipe.variables,
        )
        try:
            self._tree = ProcessTree(
                command,
                tag=tag,
                environment=environment | {"GOMP_SPINCOUNT": warm_start.SPIN_COUNT},
                folder=folder,
                file_bytes=recipe.disk_bytes,
                sandboxed=recipe.sandbox is not None,
                enclosure=best_enclosure(),
                priority=recipe.priority,
                stdin=subprocess.PIPE,
            )
        except BaseException:
            remove_folder(folder)
            raise

    @property
    def is_ready(self) -> bool:
        """Whether it has imported torch."""
        return self.ready_at is not None

    def wait(self, stop: StopRequest, seconds: float = READY_SECONDS) -> None:
        """Return when torch is imported. Raises `SpareFailed`, also when asked to stop."""
        end = time.monotonic() + seconds
        while not self.is_ready:
            if stop.requested:
                raise SpareFailed("stopped")
            if time.monotonic() > end:
                raise SpareFailed(f"torch was not imported within {seconds:g} s")
            if not select.select([self._tree.stdout], [], [], _LOOK_SECONDS)[0]:
                continue
            chunk = os.read(self._tree.stdout.fileno(), _MOST_ANSWER_BYTES)
            self._unread += chunk
            if not chunk or len(self._unread) > _MOST_ANSWER_BYTES:
                raise SpareFailed("it ended before torch was imported")
            if self._unread.endswith(b"\n"):
                self._take_answer(self._unread)

    def is_usable(self, recipe: SpareRecipe) -> bool:
        """Return whether it can take a task of this recipe: it lives, and its torch is still so."""
        return (
            self.is_ready
            and recipe == self.recipe
            and _state_of(self._torch_file) == self._torch_state
            and not self._tree.has_exited()
            and not any(self.folder.iterdir())  # what became of it since is not known
        )

    def run(
        self,
        words: Sequence[str],
        *,
        environment: Mapping[str, str],
        threads: int | None,
        limits: Limits,
        stop: StopRequest,
        progress: ProgressBuffer | None = None,
    ) -> Execution:
        """Hand a script over and follow it to its end, like `execute`. Raises `SpareFailed`.

        ``words`` are the script's path and arguments. The run begins with the hand-over.
        """
        order = {
            "script": words[0],
            "arguments": list(words[1:]),
            "environment": dict(environment),
            "threads": threads,
        }
        self._drop_output()
        self._is_over = True
        began = Beginning()
        try:
            with self._tree.stdin as pipe:
                pipe.write(json.dumps(order).encode() + b"\n")
        except OSError as error:
            self._is_over = False
            raise SpareFailed(f"it took no task: {error}") from error
        return follow(
            self._tree,
            began,
            folder=self.folder,
            limits=limits,
            stop=stop,
            progress=progress,
        )

    def end(self, *, keeps_folder: bool = False) -> list[int]:
        """End it and remove its folder, if it never ran a task; return who cannot be killed.

        Afterwards, and after a run, it does nothing.
        """
        if self._is_over:
            return []
        self._is_over = True
        survivors = self._tree.kill()
        for pipe in (self._tree.stdin, self._tree.stdout, self._tree.stderr):
            with contextlib.suppress(OSError):
                pipe.close()
        if not keeps_folder:
            with contextlib.suppress(OSError):
                remove_folder(self.folder)
        return survivors

    def _take_answer(self, line: bytes) -> None:
        word, _, text = line.partition(b" ")
        try:
            answer: dict[str, Any] = json.loads(text)
            problem = answer.get("problem", "")
            self._torch_file = Path(str(answer.get("file", "")))
            self.torch_version = str(answer.get("torch", ""))
        except (ValueError, AttributeError, RecursionError) as error:
            raise SpareFailed("it does not answer like a spare") from error
        if word.decode(errors="replace") != self._word:
            raise SpareFailed("it does not answer like a spare")
        if problem:
            raise SpareFailed(str(problem))
        self._torch_state = _state_of(self._torch_file)
        self._tree.count_from_here()
        self.ready_at = time.monotonic()

    def _drop_output(self) -> None:
        """Read away what was printed so far, by whatever the machine does at a start."""
        for pipe in (self._tree.stdout, self._tree.stderr):
            for _ in range(16):  # no more than a pipe holds
                if not select.select([pipe], [], [], 0)[0] or not os.read(pipe.fileno(), 65_536):
                    break


def _state_of(file: Path) -> tuple[int, ...]:
    """Return what changes when another torch is put in the place of this one."""
    try:
        states = [path.stat() for path in (file, file.with_name("version.py"))]
    except OSError:
        return ()
    return tuple(number for state in states for number in (state.st_ino, state.st_mtime_ns))
