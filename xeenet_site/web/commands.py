"""Commands for people to copy, written for the machine and the shell on which they are typed.

Nobody knows in which folder a reader types, which Python a bare `python` is there, or whether a
virtual environment is active. So a command for the server's machine names this server's own
interpreter and `manage.py` by their paths, and the variables without which it would use another
database.
"""

from __future__ import annotations

import ipaddress
import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest

from xeenet_site.web import roles

# What decides which installation a command works on. Others change how it behaves, not on what.
_DECISIVE: Final = ("XEENET_HOME", "DATABASE_URL", "XEENET_BASE_PATH")
# PowerShell takes these words as they are; it gives a meaning to most other characters.
_PLAIN: Final = re.compile(r"[A-Za-z0-9_./:\\=+-]+")
_SINGLE_QUOTES: Final = re.compile("(['\u2018\u2019\u201a\u201b])")


class Shell(StrEnum):
    """The shells for which commands are written."""

    POSIX = "posix"
    POWERSHELL = "powershell"


def here() -> Shell:
    """Return the shell of this machine's people."""
    return Shell.POWERSHELL if os.name == "nt" else Shell.POSIX


def joined(words: Sequence[str], shell: Shell, variables: Mapping[str, str] | None = None) -> str:
    """Return the words of a command as a line for the shell, quoted where needed.

    `variables` are set for it; in PowerShell they stay set in that window.
    """
    set_for_it = (variables or {}).items()
    line = " ".join(quoted(word, shell) for word in words)
    if shell is Shell.POSIX:
        return " ".join([*(f"{name}={shlex.quote(value)}" for name, value in set_for_it), line])
    if line.startswith("'"):
        line = f"& {line}"  # a quoted first word is a text, which PowerShell would only show
    return "; ".join([*(f"$env:{name} = {_text(value)}" for name, value in set_for_it), line])


def quoted(word: str, shell: Shell) -> str:
    """Return the word as the shell must see it to take it as one word, without any meaning."""
    if shell is Shell.POSIX:
        return shlex.quote(word)
    return word if _PLAIN.fullmatch(word) else _text(word)


def _text(word: str) -> str:
    return "'" + _SINGLE_QUOTES.sub(r"\1\1", word) + "'"


def manage(*arguments: str) -> str:
    """Return a command of `manage.py` that works on this machine from any folder."""
    script = Path(settings.BASE_DIR) / "manage.py"
    if script.exists():
        words = [sys.executable, str(script), *arguments]
    else:  # installed as a package
        words = [sys.executable, "-m", "django", *arguments, "--settings=xeenet_site.settings"]
    return joined(words, here(), _variables()[0])


def unprinted_variables() -> list[str]:
    """Return the variables that `manage`'s commands need and that no page may show."""
    return _variables()[1]


def _variables() -> tuple[dict[str, str], list[str]]:
    """Return the decisive variables that a new shell may lack, and the names of secret ones."""
    kept = _names_in(Path(settings.BASE_DIR) / ".env")
    given = {name: os.environ[name] for name in _DECISIVE if os.environ.get(name)}
    missing = {name: value for name, value in given.items() if name not in kept}
    secret = [name for name, value in missing.items() if _has_password(value)]
    if settings.PRODUCTION:  # its secret key is somewhere, too
        secret.append("SECRET_KEY")
    return {name: value for name, value in missing.items() if name not in secret}, secret


def _names_in(path: Path) -> set[str]:
    """Return the names that an environment file sets; every command of ours reads it."""
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return set()
    return set(re.findall(r"^\s*(?:export\s+)?([A-Z_]+)\s*=", text, re.MULTILINE))


def _has_password(value: str) -> bool:
    try:
        return urlsplit(value).password is not None
    except ValueError:
        return True


def may_see(request: HttpRequest) -> bool:
    """Return whether commands for the server's machine help this reader.

    They do not help somebody on another machine, and would show them where everything lies: so
    only operators see them, and who sits at the machine itself.
    """
    return roles.may_operate(request.user) or is_at_the_machine(request)


def is_at_the_machine(request: HttpRequest) -> bool:
    """Return whether the browser runs on this machine and says so: no proof of who it is."""
    forwarded = {"X-Forwarded-For", "Forwarded", "X-Real-IP"} & set(request.headers)
    host = urlsplit(f"//{request.get_host()}").hostname or ""
    return not forwarded and is_loopback(request.META.get("REMOTE_ADDR", "")) and is_loopback(host)


def is_loopback(host: str) -> bool:
    """Return whether a host name or address means the machine on which it is said."""
    if host.rstrip(".").casefold() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
