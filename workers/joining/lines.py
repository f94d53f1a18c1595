"""What to type on a machine that is to become a worker, for each kind of shell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse

from workers.joining import here
from workers.joining.here import Here
from workers.joining.program import DISTRIBUTION, EXTRA, Program, program
from xeenet_site.web import addresses, commands
from xeenet_site.web.commands import Shell, joined, quoted

# The folder of the program, in the home of who types.
FOLDER: Final = "xeenet-worker"
_BIN: Final = f"~/{FOLDER}/bin"
_WINDOWS_BIN: Final = f"& $HOME\\{FOLDER}\\Scripts"
# Stands where an invitation belongs, on pages that know none. A shell takes it for a plain word.
NO_INVITATION: Final = "xe_INVITATION"


@dataclass(frozen=True)
class Lines:
    """What to type in one shell: once to get the program, then to start it, or its window."""

    shell: Shell
    title: str
    install: str
    start: str
    again: str
    window: str


def lines(server_url: str, arguments: list[str]) -> list[Lines]:
    """Return what to type, for every shell, to get this server's program and to join with it.

    `arguments` are those of the first start beside the server, such as the invitation.
    """
    from_here = f"{DISTRIBUTION}[{EXTRA}] @ {program_url(server_url, program())}"
    first = ["--server", server_url, *arguments]
    return [
        Lines(
            Shell.POSIX,
            "Linux or macOS",
            f"python3 -m venv ~/{FOLDER}\n"
            f"{_BIN}/python -m pip install {quoted(from_here, Shell.POSIX)}",
            f"{_BIN}/{DISTRIBUTION} {joined(first, Shell.POSIX)}",
            f"{_BIN}/{DISTRIBUTION}",
            f"{_BIN}/{DISTRIBUTION} desktop",
        ),
        Lines(
            Shell.POWERSHELL,
            "Windows (PowerShell)",
            f"py -m venv $HOME\\{FOLDER}\n"
            f"{_WINDOWS_BIN}\\python.exe -m pip install {quoted(from_here, Shell.POWERSHELL)}",
            f"{_WINDOWS_BIN}\\{DISTRIBUTION}.exe {joined(first, Shell.POWERSHELL)}",
            f"{_WINDOWS_BIN}\\{DISTRIBUTION}.exe",
            f"{_WINDOWS_BIN}\\{DISTRIBUTION}.exe desktop",
        ),
    ]


def in_a_checkout(server_url: str, arguments: list[str]) -> str:
    """Return what to type in a checkout of this project, where any Python will do."""
    words = ["python3", "dev.py", "worker", "--server", server_url, *arguments]
    return joined(words, Shell.POSIX)


def program_url(server_url: str, wheel: Program) -> str:
    """Return the wheel's address with its hash, which pip checks."""
    return f"{_below(server_url, 'worker-program', wheel.name)}#sha256={wheel.sha256}"


def link(server_url: str, secret: str) -> str:
    """Return the address of the page on which a machine's owner reads what to type.

    The invitation is in its fragment: browsers send that to nobody, so no log keeps it.
    """
    return f"{_below(server_url, 'worker-join')}#{secret}"


def _below(server_url: str, route: str, *arguments: str) -> str:
    """Return a route's address at a server whose address has the base path already."""
    return server_url + reverse(route, args=arguments).removeprefix(str(settings.BASE_PATH))


@dataclass(frozen=True)
class Offers:
    """How a page offers the reader to let a machine join."""

    # Commands for the server's machine, "" for readers whom they would not help.
    invite: str
    here: Here | None
    # Variables that the command needs and no page may show.
    variables: tuple[str, ...]


def joining_offers(request: HttpRequest) -> Offers:
    """Return what the reader may do so that a machine joins; at most one query."""
    sees = commands.may_see(request)
    url = addresses.reach(request).url if sees else ""
    return Offers(
        commands.manage("enroll_worker", *(["--server", url] if url else [])) if sees else "",
        here.look() if sees else None,
        tuple(commands.unprinted_variables()),
    )


def starts_with_token(url: str, secret: str) -> list[tuple[str, str]]:
    """Return for each kind of shell how an agent starts with a token, which `ps` does not show."""
    return [
        (
            "Linux or macOS",
            f"XEENET_WORKER_TOKEN={secret} {_BIN}/{DISTRIBUTION} "
            + joined(["--server", url], Shell.POSIX),
        ),
        (
            "Windows (PowerShell)",
            f"$env:XEENET_WORKER_TOKEN = '{secret}'; {_WINDOWS_BIN}\\{DISTRIBUTION}.exe "
            + joined(["--server", url], Shell.POWERSHELL),
        ),
        (
            "In a checkout of XeeNet",
            f"XEENET_WORKER_TOKEN={secret} "
            + joined(["python3", "dev.py", "worker", "--server", url], Shell.POSIX),
        ),
    ]


def starts_of_fleet(url: str, secret: str) -> list[tuple[str, str]]:
    """Return what a job of a cluster runs with a fleet's token, and how a scheduler starts jobs."""
    agent = joined(["--server", url, "--ephemeral", "--exit-after-idle", "300"], Shell.POSIX)
    slurm = joined(["fleet", "slurm", "--server", url, "--fleet-token-file"], Shell.POSIX)
    return [
        ("What each job runs", f"XEENET_FLEET_TOKEN={secret} {DISTRIBUTION} {agent}"),
        (
            "As many jobs as the tasks want, by Slurm, with the token in a file of mode 600",
            f'{DISTRIBUTION} {slurm} "$HOME/fleet-token"',
        ),
    ]


def joining_context(request: HttpRequest, secret: str = "") -> Mapping[str, object]:
    """Return what templates need to say how a machine joins, with an invitation or without."""
    reach = addresses.reach(request)
    arguments = ["--enrol", secret or NO_INVITATION]
    if not reach.url:
        return {"reach": reach}
    return {
        "reach": reach,
        "lines": lines(reach.url, arguments),
        "checkout": in_a_checkout(reach.url, arguments),
        "link": link(reach.url, secret) if secret else "",
    }
