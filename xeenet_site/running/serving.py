"""Shared by `serve` and `demo`: preparations, and the commands of web server and q-cluster."""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import OperationalError

# Requests wait for the database most of the time, so a few more threads than cores pay off.
THREADS_PER_WEB_WORKER: Final = min(8, 2 * (os.cpu_count() or 1))
_PORTS_TO_SUGGEST: Final = 50


def check_port(host: str, port: int) -> None:
    """Raise CommandError, suggesting a free port, when we cannot listen on `port`."""
    if not 0 < port < 65536:
        raise CommandError(f"Port {port} does not exist; choose one from 1024 to 65535.")
    problem = _listen_problem(host, port)
    if problem is None:
        return
    if problem.errno == errno.EADDRINUSE:
        candidates = range(port + 1, min(port + _PORTS_TO_SUGGEST, 65536))
        free_ports = (number for number in candidates if _listen_problem(host, number) is None)
        free = next(free_ports, None)
        advice = f" or add --port {free}, which is free" if free else " or choose another --port"
        raise CommandError(
            f"Port {port} on {host} is in use by another program. Stop that program{advice}."
        )
    raise CommandError(
        f"Cannot listen on {host} port {port}: {problem.strerror}. Choose another --host or --port."
    )


def _listen_problem(host: str, port: int) -> OSError | None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        if os.name == "posix":  # counts ports in TIME_WAIT as free; on Windows it would share ports
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error
    return None


def check_home_writable() -> None:
    """Raise CommandError when the server's folder cannot be written."""
    home: Path = settings.XEENET_HOME
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            pass
    except OSError as error:
        raise CommandError(
            f"Cannot write to {home}: {error.strerror}. Make the folder writable, or name another "
            "with the environment variable XEENET_HOME."
        ) from error


def migrate() -> None:
    """Apply all migrations. Raises CommandError when the database cannot be reached."""
    try:
        call_command("migrate", interactive=False, verbosity=0)
    except OperationalError as error:
        raise CommandError(
            f"Cannot use the database: {str(error).strip()}\nIs it running, does it exist, and "
            "is DATABASE_URL right?"
        ) from error


def collect_static_files() -> bool:
    """Collect and compress static files if any has changed; return whether that was needed."""
    root = Path(settings.STATIC_ROOT)
    stamp = root.with_name(f"{root.name}.sha256")
    state = _static_state()
    if (root / "staticfiles.json").exists() and stamp.exists() and stamp.read_text() == state:
        return False
    call_command("collectstatic", interactive=False, verbosity=0)
    stamp.write_text(state)
    return True


def _static_state() -> str:
    """Return a hash over path, size and modification time of every static file."""
    digest = hashlib.sha256()
    for finder in get_finders():
        for path, storage in finder.list(ignore_patterns=None):
            status = Path(storage.path(path)).stat()
            digest.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def server_environment() -> dict[str, str]:
    """Return the environment for web server and q-cluster: ours, plus where to find the code."""
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "xeenet_site.settings",
        "PYTHONPATH": str(settings.BASE_DIR),
        "PYTHONUNBUFFERED": "1",  # a child that dies must leave its last lines in the log
    }


@contextmanager
def metrics_environment(workers: int) -> Iterator[dict[str, str]]:
    """Yield the environment that lets several web server processes sum their request counts.

    It is PROMETHEUS_MULTIPROC_DIR of prometheus_client, set to a new private folder that is removed
    afterwards, so counts of an earlier start are not counted again. It is empty for one process,
    which needs no folder, and when our environment names a folder already.
    """
    if workers == 1 or os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        yield {}
        return
    with tempfile.TemporaryDirectory(
        prefix="xeenet-metrics-", ignore_cleanup_errors=True
    ) as folder:
        yield {"PROMETHEUS_MULTIPROC_DIR": folder}


def web_command(host: str, port: int, *, workers: int = 1) -> list[str]:
    """Return the command of the web server, granian; demo and production use the same."""
    options = {
        "--interface": "wsgi",
        "--host": host,
        "--port": str(port),
        "--workers": str(workers),
        "--blocking-threads": str(THREADS_PER_WEB_WORKER),
        "--log-level": "warning",
    }
    flat = [word for option in options.items() for word in option]
    return [sys.executable, "-m", "granian", "--no-ws", *flat, "xeenet_site.wsgi:application"]


def cluster_command() -> list[str]:
    """Return the command of the q-cluster, which runs the background jobs."""
    return [sys.executable, str(settings.BASE_DIR / "manage.py"), "qcluster"]


def url_of(host: str, port: int) -> str:
    """Return the URL under which this machine reaches a server listening on `host`."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "::1": "[::1]"}.get(host, host)  # noqa: S104
    return f"http://{reachable}:{port}"
