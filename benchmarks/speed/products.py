"""Databases and servers of a run: PostgreSQL with its durability on, and XeeNet in a checkout."""

import contextlib
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import psycopg

from tests.postgres import DURABLE_OPTIONS, Cluster, kept_cluster, private_cluster
from tests.processes import free_port
from xeenet_site.running.processes import Child, Supervisor

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
START_SECONDS = 120.0
# What a proxy in front adds; production redirects a request without it to https.
PROXY_HEADERS = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1"}


@dataclass(frozen=True)
class Server:
    """A running PostgreSQL server."""

    cluster: Cluster

    @property
    def pid(self) -> int:
        return self.cluster.server.pid

    @property
    def log(self) -> Path:
        return self.cluster.folder / "server.log"

    def url(self, name: str) -> str:
        """Return the address of a database on this server."""
        return urlsplit(self.cluster.url)._replace(path=f"/{name}").geturl()

    def create(self, name: str, *, like: str = "template1") -> str:
        """Create a new database, empty or a copy of another; return its address."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{like}"')
        return self.url(name)

    def has(self, name: str) -> bool:
        """Return whether there is such a database: that of an earlier run."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
            return found.fetchone() is not None

    def drop(self, name: str) -> None:
        """Delete a database, if there is one."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    @property
    def socket_options(self) -> list[str]:
        """Options of PostgreSQL's own programs that lead to this server."""
        return ["--host", str(self.cluster.folder), "--username", "xeenet"]


@contextlib.contextmanager
def durable_server(
    options: Mapping[str, str] | None = None, *, keep: Path | None = None
) -> Iterator[Server]:
    """Start a PostgreSQL server of our own, with its durability on; stop it afterwards.

    Its databases are deleted, unless they lie in the folder `keep`.
    """
    chosen = {**DURABLE_OPTIONS, **(options or {})}
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
    own = kept_cluster(keep.resolve(), chosen) if keep else private_cluster(chosen)
    with own as cluster:
        yield Server(cluster)


class Product:
    """XeeNet as one checkout has it, on a database of its own: orders by a process, web servers.

    `environment` is added to that of a production installation.
    """

    def __init__(
        self,
        name: str,
        checkout: Path,
        url: str,
        home: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.checkout = checkout
        self.home = home
        (home / "static").mkdir(parents=True, exist_ok=True)
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("XEENET_")},
            "DJANGO_SETTINGS_MODULE": "xeenet_site.settings",
            "DATABASE_URL": url,
            "XEENET_ENV": "production",
            "XEENET_HOME": str(home),
            "DEBUG": "false",
            "SECRET_KEY": secrets.token_urlsafe(64),
            "ALLOWED_HOSTS": HOST,
            "PYTHONPATH": str(checkout),
            "PYTHONUNBUFFERED": "1",
            **(environment or {}),
        }
        self._inside: subprocess.Popen[str] | None = None

    def order(self, name: str, /, **arguments: Any) -> Any:
        """Let the checkout's own process do something; return its answer (see `within.orders`)."""
        return self.timed(name, **arguments)["answer"]

    def timed(self, name: str, /, **arguments: Any) -> dict[str, Any]:
        """Order as `order` does; return "answer", and "seconds" and "cpu" that it took."""
        if self._inside is None:
            # -P: the folder of the file, which is that of another checkout, is not searched.
            program = Path(__file__).parent / "within" / "orders.py"
            self._inside = subprocess.Popen(
                [sys.executable, "-P", str(program)],
                cwd=self.checkout,
                env=self.environment | {"LOG_LEVEL": "WARNING"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self._inside.stdin
        assert self._inside.stdout
        self._inside.stdin.write(json.dumps({"order": name, **arguments}) + "\n")
        self._inside.stdin.flush()
        line = self._inside.stdout.readline()
        if not line:
            raise RuntimeError(f"The process of {self.name} ended at the order {name!r}.")
        answer: dict[str, Any] = json.loads(line)
        return answer

    @property
    def inside_pid(self) -> int:
        """The process that obeys the orders; there is one after the first."""
        assert self._inside is not None
        return self._inside.pid

    def close(self) -> None:
        """End the process that obeys the orders."""
        if self._inside is not None:
            assert self._inside.stdin
            self._inside.stdin.close()
            self._inside.wait()
            self._inside = None

    @contextlib.contextmanager
    def serving(
        self, supervisor: Supervisor, *, processes: int = 1, more: Mapping[str, str] | None = None
    ) -> Iterator["Web"]:
        """Start the web server as `serve` does, yield it once it answers, stop it afterwards."""
        port = free_port()
        prepared = self.order("prepare", port=port, processes=processes)
        child = supervisor.start(
            f"web {self.name}", prepared["web"], self._served(prepared) | dict(more or {})
        )
        try:
            web = Web(port, child, prepared["cluster"], self._served(prepared))
            web.wait_until_up()
            yield web
        except Exception:
            print(child.log_tail(), file=sys.stderr)
            raise
        finally:
            supervisor.stop([child])

    def _served(self, prepared: dict[str, Any]) -> dict[str, str]:
        return self.environment | prepared["environment"]


@dataclass(frozen=True)
class Web:
    """A running web server of a product."""

    port: int
    child: Child
    cluster_command: list[str]
    environment: dict[str, str]

    @property
    def pid(self) -> int:
        return self.child.pid

    def wait_until_up(self) -> None:
        """Return once it answers. Raises RuntimeError when it ends, or never does."""
        end = time.monotonic() + START_SECONDS
        address = f"http://{HOST}:{self.port}/healthz"
        while time.monotonic() < end and self.child.is_running:
            with contextlib.suppress(OSError):
                urlopen(Request(address, headers=PROXY_HEADERS), timeout=30).close()
                return
            time.sleep(0.1)
        raise RuntimeError("The web server did not come up; the last lines of its log are above.")


@contextlib.contextmanager
def worktree(commit: str | None) -> Iterator[Path | None]:
    """Yield a checkout of the commit in a temporary folder, removed afterwards; None without one.

    Raises SystemExit when there is no such commit.
    """
    if not commit:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="bench-parent-") as folder:
        place = Path(folder) / "checkout"
        made = _git("worktree", "add", "--detach", "--quiet", str(place), commit)
        if made.returncode:
            raise SystemExit(f"bench: no checkout of {commit!r}: {made.stderr.strip()}")
        try:
            yield place
        finally:
            _git("worktree", "remove", "--force", str(place))


def commit_of(checkout: Path) -> str:
    """Return the short name of the checkout's commit, with a + when files differ from it."""
    name = _git("-C", str(checkout), "rev-parse", "--short", "HEAD").stdout.strip()
    changed = _git("-C", str(checkout), "status", "--porcelain", "--untracked-files=no").stdout
    return f"{name}{'+' if changed.strip() else ''}" or "no git"


def _git(*words: str) -> subprocess.CompletedProcess[str]:
    command = ["git", "-C", str(ROOT), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)
