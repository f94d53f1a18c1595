"""Real servers, agents and demos for tests: ports, environments, and proof that nothing is left."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import psutil

ROOT = Path(__file__).resolve().parent.parent


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def product_environment(home: Path, **more: str) -> dict[str, str]:
    """The environment of a fresh installation in `home`, apart from the suite's own settings."""
    return os.environ | {
        "DJANGO_SETTINGS_MODULE": "xeenet_site.settings",
        "DATABASE_URL": f"sqlite:///{home / 'xeenet.sqlite3'}",
        "XEENET_HOME": str(home),
        "XEENET_DATA_DIR": str(home / "cache"),
        "PYTHONPATH": str(ROOT),
        **more,
    }


def database_environment(home: Path) -> dict[str, str]:
    """The environment in which another process works on the database of the running tests.

    For real servers, q-clusters and management commands started with ``subprocess``: the product's
    own settings, `home` as its folder, the secret key of this process.
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
    """Poll until something is so; fail the test with `what` when it does not come to be."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {seconds:g} s"
        time.sleep(0.1)


def processes_mentioning(folder: Path) -> list[str]:
    """The command lines of living processes whose environment names something in `folder`.

    Servers and agents have it as their home; a training script has its task folder there.
    """
    found = []
    for process in psutil.process_iter():
        try:
            mentions = any(str(folder) in value for value in process.environ().values())
            if mentions and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline()))
        except (psutil.Error, OSError):
            continue
    return found
