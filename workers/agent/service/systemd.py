"""The systemd user unit, and the entry that starts the presence helper in a person's session.

Both are texts with rules of their own for quotes, blanks and percent signs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Final

from workers.agent.exits import FINAL_EXITS
from workers.agent.service.plan import MARK, Command, Plan, PlannedFile, Request

# All of these imply NoNewPrivileges, which a bubblewrap with the set-user-id bit does not survive.
# What would give the agent a file system or a user namespace of its own (ProtectSystem, PrivateTmp,
# PrivateUsers, RestrictNamespaces …) is left out: the sandbox of tier T1 makes these itself, and
# cannot inside another one.
_HARDENING: Final = """\
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
"""
_ENV: Final = "/usr/bin/env"
_UNSTARTABLE: Final = {'"', "'", "\\"}
_UNIT: Final = """\
# {mark}
[Unit]
Description=XeeNet worker
# Try for ever to start again.
StartLimitIntervalSec=0

[Service]
Type=exec
WorkingDirectory={folder}
ExecStart={command}
# SIGTERM: the agent stops its scripts, gives their tasks back and ends.
KillMode=mixed
TimeoutStopSec={stop_seconds}
# The agent makes a cgroup for each run below its own, and kills it whole.
Delegate=yes
Restart=on-failure
RestartSec=30
# Wrong options, not accepted by the server, cannot run tasks: starting again does not help.
RestartPreventExitStatus={final}
# Whatever a script does, the machine stays usable.
TasksMax=1024
MemoryMax=75%
OOMPolicy=continue
UMask=0077
LimitCORE=0
{hardening}
[Install]
WantedBy=default.target
"""
_ENTRY: Final = """\
# {mark}
[Desktop Entry]
Type=Application
Name=XeeNet worker: presence
Comment=Tells the XeeNet worker, which runs as a service, whether you use this computer
Exec={command}
Path={folder}
Terminal=false
NoDisplay=true
"""
_LINGER_NOTE: Final = (
    "It runs from your first sign-in on, without a window. Without `loginctl enable-linger` it "
    "ends when you have signed out everywhere (its tasks go back), and starts with your next "
    "sign-in. With it, it starts with the machine and stays."
)


def plan(request: Request) -> Plan:
    """Return the plan for a Linux system with systemd."""
    unit = f"{request.name}.service"
    config = _config_folder(request)
    files = [PlannedFile(config / "systemd" / "user" / unit, unit_text(request))]
    notes = [_LINGER_NOTE]
    if request.presence:
        entry = config / "autostart" / f"{request.name}-presence.desktop"
        files.append(PlannedFile(entry, entry_text(request)))
        notes.append(
            "A service cannot see whether you use the computer. The second file starts a small "
            "helper in your session that tells it, for the rules `present` and `idle`; it starts "
            "with your next sign-in."
        )
    if not request.hardened:
        notes.append(
            "The lines that forbid new rights are left out: bubblewrap needs such rights here, "
            "because it has the set-user-id bit."
        )
    reload = Command(_systemctl("daemon-reload"))
    enable = Command(_systemctl("enable", "--now", unit))
    return Plan(
        request.kind,
        request.name,
        tuple(files),
        start=(reload, enable),
        restart=(reload, enable, Command(_systemctl("restart", unit))),
        stop=(Command(_systemctl("disable", "--now", unit), needed=False),),
        after=(Command(_systemctl("daemon-reload"), needed=False),),
        notes=tuple(notes),
        asks_linger=True,
    )


def unit_text(request: Request) -> str:
    """Return the unit file."""
    return _UNIT.format(
        mark=MARK,
        folder=str(request.program.folder).replace("%", "%%"),  # a path without quotes
        command=command_line(request.agent_words),
        stop_seconds=request.stop_seconds,
        final=" ".join(str(code) for code in FINAL_EXITS),
        hardening=_HARDENING if request.hardened else "",
    )


def entry_text(request: Request) -> str:
    """Return the entry for the autostart folder of a desktop."""
    words = (*request.program.words, "presence", *request.state_words)
    return _ENTRY.format(
        mark=MARK,
        command=_in_a_value(entry_command(words)),
        folder=_in_a_value(str(request.program.folder)),
    )


def command_line(words: Sequence[str]) -> str:
    """Return the words as ExecStart= reads them.

    systemd splits at blanks, undoes quotes and backslashes, and replaces %x and, in all words but
    the first, $NAME. It starts no program with a quote or a backslash in its path.
    """
    first, *rest = words if not _UNSTARTABLE & {*words[0]} else (_ENV, *words)
    return " ".join([_quoted(first), *(_quoted(word.replace("$", "$$")) for word in rest)])


def entry_command(words: Sequence[str]) -> str:
    """Return the words as the key Exec of a desktop entry reads them, before its own escapes.

    Desktops look for the program before they undo a %%, and then find none.
    """
    if "%" in words[0]:
        words = (_ENV, *words)
    return " ".join(_entry_word(word) for word in words)


def _quoted(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    # Apostrophes are quotes, and a semicolon between blanks would begin another command.
    is_plain = word and all(letter.isalnum() or letter in "/._-+=:,@%$" for letter in word)
    return escaped if is_plain else f'"{escaped}"'


def _entry_word(word: str) -> str:
    escaped = "".join(f"\\{letter}" if letter in '"`$\\' else letter for letter in word)
    escaped = escaped.replace("%", "%%")
    is_plain = word and all(letter.isalnum() or letter in "/._-+:,@%" for letter in word)
    return escaped if is_plain else f'"{escaped}"'


def _in_a_value(text: str) -> str:
    """Return a text as the value of a key: a backslash stands for more than itself there."""
    return text.replace("\\", "\\\\")


def _config_folder(request: Request) -> PurePath:
    named = request.variables.get("XDG_CONFIG_HOME", "")
    return type(request.home)(named) if named.startswith("/") else request.home / ".config"


def _systemctl(*words: str) -> tuple[str, ...]:
    return ("systemctl", "--user", *words)
