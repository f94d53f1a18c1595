"""Helpers for tests with real processes: ports, environments, and finding processes left behind."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import psutil

ROOT = Path(__file__).resolve().parent.parent


def free_port() -> int:
    """Return a port on which nothing listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def product_environment(home: Path, **more: str) -> dict[str, str]:
    """Return the environment of a new installation in `home`, with the product's settings."""
    return os.environ | {
        "DJANGO_SETTINGS_MODULE": "xeenet_site.settings",
        "DATABASE_URL": f"sqlite:///{home / 'xeenet.sqlite3'}",
        "XEENET_HOME": str(home),
        "XEENET_DATA_DIR": str(home / "cache"),
        "PYTHONPATH": str(ROOT),
        **more,
    }


def database_environment(home: Path) -> dict[str, str]:
    """Return the environment for another process that works on the tests' database.

    For real servers, q-clusters and management commands: it has the product's own settings, `home`
    as its folder, and this process's secret key.
    """
    from django.conf import settings
    from django.db import connection

    name = str(connection.settings_dict["NAME"])
    if connection.vendor == "sqlite":
        url = f"sqlite:///{name}"
    else:
        url = urlsplit(os.environ["XEENET_TEST_DATABASE_URL"])._replace(path=f"/{name}").geturl()
    return os.environ | {
        "DJANGO_SETTINGS_MODULE": "xeenet_site.settings",
        "DATABASE_URL": url,
        "XEENET_HOME": str(home),
        "SECRET_KEY": settings.SECRET_KEY,
        "PYTHONPATH": str(ROOT),
    }


def wait_until(condition: Callable[[], bool], what: str, seconds: float) -> None:
    """Poll until the condition holds; fail with `what` if it does not within `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {seconds:g} s"
        time.sleep(0.1)


def is_alive(pid: int) -> bool:
    """Return whether this process runs; one that has ended and was not collected does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def child_of(pid: int, word: str) -> psutil.Process | None:
    """Return the child of this process with `word` in its command line; None if it has none."""
    for process in psutil.Process(pid).children():
        with contextlib.suppress(psutil.Error):
            if word in " ".join(process.cmdline()):
                return process
    return None


def processes_mentioning(folder: Path) -> list[str]:
    """Return the command lines of running processes with a path in `folder` in their environment.

    Servers and agents have their home there, training scripts their task folder.
    """
    command_lines = []
    for process in psutil.process_iter():
        try:
            mentions = any(str(folder) in value for value in process.environ().values())
            if mentions and process.status() != psutil.STATUS_ZOMBIE:
                command_lines.append(" ".join(process.cmdline()))
        except (psutil.Error, OSError):
            continue
    return command_lines
