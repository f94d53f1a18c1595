"""Shared by `serve` and `demo`: preparations, and the commands of web server and q-cluster."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.client
import os
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, cast

from django.apps import apps
from django.conf import settings
from django.contrib.staticfiles.apps import StaticFilesConfig
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from xeenet_site.web import addresses

# Requests wait for the database most of the time, so a few more threads than cores pay off.
THREADS_PER_WEB_WORKER: Final = min(8, 2 * (os.cpu_count() or 1))
# The most bytes of a request's head that the web server reads; its own default is 408 KiB.
MAX_HEAD_BYTES: Final = 64 * 1024
# A client that never sends the rest of its request keeps a thread busy, which granian would wait
# for without end. Less than the patience of `serve`, which then kills the whole web server.
STOP_SECONDS: Final = 8
_ANSWER_SECONDS: Final = 5.0
_PORTS_TO_SUGGEST: Final = 50


def _say_nothing(_sentence: str) -> None:
    """Say nothing: for callers that need no progress."""


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


def migrate(say: Callable[[str], None] = _say_nothing) -> None:
    """Apply all migrations, telling `say` how many if any is missing.

    Raises CommandError when the database cannot be used.
    """
    try:
        executor = MigrationExecutor(connection)
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
        if missing:
            many = "migration" if len(missing) == 1 else "migrations"
            say(f"Bringing the database up to date ({len(missing)} {many})…")
        call_command("migrate", interactive=False, verbosity=0)
    except DatabaseError as error:
        raise CommandError(
            f"Cannot use the database: {str(error).strip()}\nIs it running, does it exist, and "
            "is DATABASE_URL right?"
        ) from error


def collect_static_files(say: Callable[[str], None] = _say_nothing) -> bool:
    """Collect and compress static files if any has changed; return whether that was needed.

    `say` is told before the work starts, which takes up to a minute on a busy machine.
    """
    root = Path(settings.STATIC_ROOT)
    stamp = root.with_name(f"{root.name}.sha256")
    state = _static_state()
    if (root / "staticfiles.json").exists() and stamp.exists() and stamp.read_text() == state:
        return False
    say("Collecting and compressing the files of the pages (once; up to a minute)…")
    call_command("collectstatic", interactive=False, verbosity=0)
    stamp.write_text(state)
    return True


def _static_state() -> str:
    """Return a hash over path, size and modification time of every static file."""
    digest = hashlib.sha256()
    config = cast(StaticFilesConfig, apps.get_app_config("staticfiles"))
    for finder in get_finders():
        for path, storage in finder.list(config.ignore_patterns):
            status = Path(storage.path(path)).stat()
            digest.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def server_environment(host: str = "") -> dict[str, str]:
    """Return the environment for web server and q-cluster: ours, plus where to find the code.

    In development a server that listens on `host` is called by the names that other machines have
    for it, unless ALLOWED_HOSTS says how it is called.
    """
    named = {}
    if host and not settings.PRODUCTION and "ALLOWED_HOSTS" not in os.environ:
        named["ALLOWED_HOSTS"] = ",".join(
            [*settings.ALLOWED_HOSTS, *addresses.hosts_to_allow(host)]
        )
    return {
        **os.environ,
        **named,
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
        "--http": "1",
        "--http1-buffer-size": str(MAX_HEAD_BYTES),
        "--host": host,
        "--port": str(port),
        "--workers": str(workers),
        "--blocking-threads": str(THREADS_PER_WEB_WORKER),
        "--workers-kill-timeout": str(STOP_SECONDS),
        "--log-level": "warning",
    }
    flat = [word for option in options.items() for word in option]
    flags = ["--no-ws", "--respawn-failed-workers"]
    return [sys.executable, "-m", "granian", *flags, *flat, "xeenet_site.wsgi:application"]


def cluster_command() -> list[str]:
    """Return the command of the q-cluster, which runs the background jobs."""
    return [sys.executable, str(settings.BASE_DIR / "manage.py"), "qcluster"]


def answers(host: str, port: int) -> bool:
    """Return whether the web server answers a request."""
    with contextlib.closing(
        http.client.HTTPConnection(_reachable(host), port, timeout=_ANSWER_SECONDS)
    ) as line:
        try:
            line.request("GET", "/healthz", headers={"Host": _known_host()})
            return line.getresponse().status < 500
        except (OSError, http.client.HTTPException):
            return False


def _known_host() -> str:
    """Return a host name that ALLOWED_HOSTS accepts."""
    names = [name.lstrip(".") for name in settings.ALLOWED_HOSTS if name != "*"]
    return names[0] if names else "localhost"


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104


def origin_of(host: str, port: int) -> str:
    """Return scheme, host and port by which this machine reaches a server listening on `host`."""
    name = _reachable(host)
    return f"http://{f'[{name}]' if ':' in name else name}:{port}"


def urls_for_others(host: str, port: int) -> list[str]:
    """Return the URLs by which other machines reach a server listening on `host` at once.

    None in production, where a proxy in front has an address of its own.
    """
    if settings.PRODUCTION or "ALLOWED_HOSTS" in os.environ:
        return []
    return [f"http://{name}:{port}{settings.BASE_PATH}" for name in addresses.hosts_to_allow(host)]


def url_of(host: str, port: int) -> str:
    """Return the URL of the pages, with the base path, of a server listening on `host`."""
    return origin_of(host, port) + str(settings.BASE_PATH)
