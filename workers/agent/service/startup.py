"""The entry in the start-up folder of Windows. Written after its documents, not run here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from workers.agent.service.plan import MARK, Plan, PlannedFile, Request, ServiceError

_FOLDER: Final = ("Microsoft", "Windows", "Start Menu", "Programs", "Startup")
_START_NOTE: Final = (
    "It starts with your next sign-in, without a window, and ends when you sign out (the server "
    "gives its tasks to others then). To start it now, open the file."
)
_STOP_NOTE: Final = "`service remove` asks an agent that runs to stop; its tasks go back."
_SCRIPT: Final = """\
@echo off
rem {mark}
rem The paths below are UTF-8.
chcp 65001 >nul
cd /d {folder}
start "XeeNet worker" /min {command}
"""


def plan(request: Request) -> Plan:
    """Return the plan for Windows."""
    roaming = request.variables.get("APPDATA", "")
    above = type(request.home)(roaming) if roaming else request.home / "AppData" / "Roaming"
    path = above.joinpath(*_FOLDER, f"{request.name}.cmd")
    return Plan(
        request.kind,
        request.name,
        (PlannedFile(path, script(request), newline="\r\n"),),
        start=(),
        restart=(),
        stop=(),
        notes=(_START_NOTE, _STOP_NOTE),
    )


def script(request: Request) -> str:
    """Return the batch file: it starts a Python without a console, which keeps the agent running.

    The start-up folder starts a program once, so the agent runs below ``supervised --restart``.
    """
    program, *rest = request.program.words
    if program.casefold().endswith("\\python.exe"):
        program = f"{program[: -len('python.exe')]}pythonw.exe"
    words = [program, *rest, "supervised", "--restart", "--log-level", "warning"]
    words += [*request.state_words, *request.options]
    return _SCRIPT.format(
        mark=MARK.replace("`", "'"),
        folder=_quoted(str(request.program.folder)),
        command=batch_line(words),
    )


def batch_line(words: Iterable[str]) -> str:
    """Return the words for a batch file. Raises `ServiceError` for a quotation mark in one."""
    return " ".join(_quoted(word) for word in words)


def _quoted(word: str) -> str:
    r"""Return the word in quotes: nothing but % means anything to cmd there.

    A program takes ``\"`` for a quotation mark, so backslashes before the last one are doubled.
    """
    if '"' in word:
        raise ServiceError(f"{word} has a quotation mark, which no batch file can pass on.")
    # Backslashes before a quotation mark count twice.
    trailing = word[len(word.rstrip("\\")) :]
    return '"' + (word + trailing).replace("%", "%%") + '"'
