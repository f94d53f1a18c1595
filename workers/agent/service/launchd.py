"""The property list of a launchd agent on macOS. Written after Apple's documents, not run here."""

from __future__ import annotations

import plistlib
from typing import Final

from workers.agent.service.plan import DEFAULT_NAME, MARK, Command, Plan, PlannedFile, Request
from workers.agent.state import SERVICE_LOG_FILE

_PREFIX: Final = "net.xeenet"
_NOTE: Final = (
    "It runs while you are signed in, without a window, and ends when you sign out (its tasks go "
    "back)."
)
_HEAD: Final = '<?xml version="1.0" encoding="UTF-8"?>\n'


def plan(request: Request) -> Plan:
    """Return the plan for macOS."""
    label = label_of(request.name)
    path = request.home / "Library" / "LaunchAgents" / f"{label}.plist"
    domain = f"gui/{request.uid}"
    out = Command(("launchctl", "bootout", f"{domain}/{label}"), needed=False)
    start = Command(("launchctl", "bootstrap", domain, str(path)))
    return Plan(
        request.kind,
        request.name,
        (PlannedFile(path, property_list(request)),),
        # An agent that is loaded already cannot be loaded once more.
        start=(out, start),
        restart=(out, start),
        stop=(out,),
        notes=(_NOTE,),
    )


def label_of(name: str) -> str:
    """Return the label under which launchd knows the service."""
    return f"{_PREFIX}.worker" if name == DEFAULT_NAME else f"{_PREFIX}.{name}"


def property_list(request: Request) -> str:
    """Return the file.

    launchd knows success and failure alone, so the agent runs as ``supervised``: it then ends with
    success where starting again would not help.
    """
    words = [*request.program.words, "supervised", "--log-level", "warning"]
    words += [*request.state_words, *request.options]
    values = {
        "Label": label_of(request.name),
        "ProgramArguments": words,
        "WorkingDirectory": str(request.program.folder),
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": 30,
        "ExitTimeOut": request.stop_seconds,
        "Umask": 0o077,
        "HardResourceLimits": {"Core": 0},
        "StandardErrorPath": str(request.state / SERVICE_LOG_FILE),
    }
    text = plistlib.dumps(values, sort_keys=False).decode()
    return text.replace(_HEAD, f"{_HEAD}<!-- {MARK} -->\n", 1)
