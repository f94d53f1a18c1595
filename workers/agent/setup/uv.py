"""uv, which makes environments: where it is, how it is started, and what its errors mean."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import IO, Final

from workers.agent.executables import pip_install, shipped_program
from workers.agent.plain_text import short
from workers.agent.processes.process_tree import ProcessTree
from workers.agent.secrecy import ENROLMENT_VARIABLE, TOKEN_VARIABLE
from workers.agent.setup.environments import Environments

_NO_UV: Final = "set-up needs the program uv"
_MAX_STDERR: Final = 64 * 1024
_POLL_SECONDS: Final = 0.05
_TICK_SECONDS: Final = 2.0
# What belongs to the agent, or would lead uv to another Python.
_REMOVED: Final = (TOKEN_VARIABLE, ENROLMENT_VARIABLE, "VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME")
_ADDRESS: Final = re.compile(r"https?://([^/\s`)]+)")


class UvMissing(Exception):
    """There is no uv on this machine; the message says how to get it."""


class Cause(StrEnum):
    """Why uv failed, as far as it decides what to do next."""

    UNREACHABLE = "unreachable"  # no other build would come either
    DISK_FULL = "disk full"
    NO_BUILD = "no build"  # another one may exist
    OTHER = "other"


@dataclass(frozen=True)
class Failure:
    """Why uv failed, with a sentence for people."""

    cause: Cause
    sentence: str


@dataclass(frozen=True)
class Answer:
    """How a command of uv ended."""

    exit_code: int | None
    stdout: str
    stderr: str


def find_uv() -> str:
    """Return the path of uv: what came with the agent, or the one on PATH. Raises `UvMissing`."""
    if shipped := shipped_program("uv"):
        return shipped
    try:
        return str(importlib.import_module("uv").find_uv_bin())
    except (ImportError, AttributeError, OSError):
        pass  # FileNotFoundError: the package without its program
    if path := shutil.which("uv"):
        return path
    command = pip_install("uv")
    raise UvMissing(f"{_NO_UV}. Install it: {command}" if command else _NO_UV)


def uv_environment(environments: Environments, extra: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of uv: the owner's, so that its settings for indexes and proxies hold.

    What it fetches stays beside the environments unless the owner names another place.
    """
    variables = {name: value for name, value in os.environ.items() if name not in _REMOVED}
    variables.setdefault("UV_CACHE_DIR", str(environments.cache))
    variables.setdefault("UV_PYTHON_INSTALL_DIR", str(environments.pythons))
    return variables | dict(extra)


class Uv:
    """Runs commands of uv. None of its processes outlives this one."""

    def __init__(
        self, environments: Environments, extra: Mapping[str, str], program: str = ""
    ) -> None:
        self.program = program or find_uv()
        self._environments = environments
        self._variables = uv_environment(environments, extra)
        self._tag = f"xeenet-setup-{os.getpid()}"

    def run(self, *words: str, tick: Callable[[], None] = lambda: None) -> Answer:
        """Run uv to its end; call ``tick`` every two seconds. Raises OSError."""
        tree = ProcessTree(
            [self.program, *words],
            tag=f"{self._tag}-{time.monotonic_ns()}",
            environment=self._variables,
            folder=self._environments.root,
        )
        outputs: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
        readers = [
            threading.Thread(target=_read, args=(stream, outputs[name]), daemon=True)
            for name, stream in (("stdout", tree.stdout), ("stderr", tree.stderr))
        ]
        for reader in readers:
            reader.start()
        try:
            next_tick = time.monotonic() + _TICK_SECONDS
            while not tree.has_exited():
                time.sleep(_POLL_SECONDS)
                if time.monotonic() >= next_tick:
                    tick()
                    next_tick = time.monotonic() + _TICK_SECONDS
        finally:
            tree.kill()
        for reader in readers:
            reader.join(5.0)
        texts = {name: bytes(output).decode("utf-8", "replace") for name, output in outputs.items()}
        return Answer(tree.exit_code, texts["stdout"], texts["stderr"])


def _read(stream: IO[bytes], output: bytearray) -> None:
    """Keep the newest bytes of a stream of a process, to its end."""
    with stream:
        while chunk := stream.read(8192):
            output += chunk
            del output[:-_MAX_STDERR]


def failure(stderr: str) -> Failure:
    """Return why uv failed, from what it printed. Pure."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("error:", "cause:"))]
    text = "\n".join(errors) or "\n".join(lines)
    lower = text.lower()
    if "no space left" in lower or "disk quota" in lower or "os error 112" in lower:
        return Failure(Cause.DISK_FULL, "the disk is full")
    if "network was disabled" in stderr or "network connectivity is disabled" in lower:
        return Failure(Cause.UNREACHABLE, "uv may not use the network (UV_OFFLINE)")
    if any(words in lower for words in _NETWORK) and (match := _ADDRESS.search(text)):
        host = match.group(1).rpartition("@")[2]  # without a password
        reason = errors[-1].partition(": ")[2] if errors else ""
        return Failure(Cause.UNREACHABLE, f"{host} cannot be reached ({reason})")
    if any(words in lower for words in _NO_BUILD):
        return Failure(Cause.NO_BUILD, "there is no such build for this machine")
    if "no solution found" in lower and len(errors) > 1:  # what torch needs is not there
        words = errors[1].removeprefix("cause: ").partition(", we can conclude")[0]
        return Failure(Cause.NO_BUILD, f"the packages do not fit together. {short(words, 300)}")
    last = (errors or lines or ["it said nothing"])[0].removeprefix("error: ")
    return Failure(Cause.OTHER, last)


_NETWORK: Final = (
    "failed to fetch",
    "failed to download",
    "error sending request",
    "could not connect",
    "dns error",
    "timed out",
)
_NO_BUILD: Final = (
    "no version of torch",
    "torch was not found",
    "has no wheels with a matching",
    "unknown amd gpu architecture",
)
